from simulator.limiter import Limiter, Rule, Scope

SECOND_US = 1_000_000


def limiter(**more: int) -> Limiter:
    made = Limiter()
    made.set_rule("upbit", Rule("default", Scope.ACCOUNT, 3, 1000, **more))
    return made


def call(made: Limiter, at_us: int, units: int = 1, holder: str = "a") -> str:
    costs = (("default", units),)
    breach = made.check("upbit", costs, holder, at_us)
    if breach is None:
        made.charge("upbit", costs, holder, at_us)
        return "ok"
    return f"banned {breach.retry_ms}" if breach.banned else f"wait {breach.retry_ms}"


def test_a_window_slides_and_its_edge_is_exact() -> None:
    made = limiter()
    assert [call(made, at_us) for at_us in (0, 400_000, 900_000)] == ["ok"] * 3
    assert call(made, SECOND_US - 1) == "wait 1"
    assert call(made, SECOND_US) == "ok"  # the first call is a whole window old
    assert call(made, SECOND_US) == "wait 400"
    assert call(made, 1_400_000) == "ok"


def test_units_count_and_holders_are_apart() -> None:
    made = limiter()
    assert call(made, 0, units=2) == "ok"
    assert call(made, 1, units=2) == "wait 1000"
    assert call(made, 1, units=1) == "ok"
    assert call(made, 1, units=3, holder="b") == "ok"
    assert made.used("upbit", "default", "a", 2) == 3
    assert made.used("upbit", "default", "a", SECOND_US) == 1


def test_refused_calls_use_up_nothing() -> None:
    made = limiter()
    assert [call(made, at_us) for at_us in (0, 1, 2)] == ["ok"] * 3
    assert {call(made, at_us).split()[0] for at_us in range(3, 1000)} == {"wait"}
    assert call(made, SECOND_US) == "ok"


def test_a_lock_outlasts_the_window() -> None:
    made = limiter(lock_ms=10_000)
    assert [call(made, 0) for _ in range(4)] == ["ok", "ok", "ok", "wait 10000"]
    assert call(made, 9 * SECOND_US) == "wait 1000"
    assert call(made, 10 * SECOND_US) == "ok"


def test_impatience_bans_and_a_ban_ends() -> None:
    made = limiter(patience=1, ban_ms=5_000)
    assert [call(made, 0) for _ in range(5)] == ["ok", "ok", "ok", "wait 1000", "banned 5000"]
    assert call(made, 2 * SECOND_US) == "banned 3000"
    assert call(made, 5 * SECOND_US) == "ok"


def test_limits_can_be_off_and_forgotten() -> None:
    made = limiter()
    made.off.add("upbit")
    assert {call(made, 0) for _ in range(100)} == {"ok"}
    made.off.clear()
    assert [call(made, 0) for _ in range(4)] == ["ok"] * 3 + ["wait 1000"]
    made.forget()
    assert call(made, 0) == "ok"
