"""Contract section 2: what a configuration may say, and what becomes of it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from connectors.calls import Limit, Scope
from connectors.credentials import Credentials
from connectors.registry import VENUES
from worker.settings import (
    DEFAULT_REDIS_URL,
    ConfigurationError,
    Settings,
    child_environment,
    config_path,
    load,
    metrics_port,
    use_config,
)

SECRET = "s3cr3t/value+that=nobody-may-see"
ACCOUNT = """
[accounts.main]
venue = "upbit"
api_key = "env:TEST_KEY"
api_secret = "env:TEST_SECRET"
"""
PRIVATE = (PrivateFormat.PKCS8, NoEncryption())
Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("RIPCORD_CONFIG", "RIPCORD_REDIS_URL", "RIPCORD_METRICS_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TEST_KEY", "made-up-key")
    monkeypatch.setenv("TEST_SECRET", SECRET)
    return monkeypatch


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        path = tmp_path / "ripcord.toml"
        path.write_text(text)
        return path

    return written


def limits_of(write: Write, text: str, venue: str = "upbit") -> tuple[Limit, ...]:
    kept = ACCOUNT.replace("upbit", venue) + f"[accounts.main.limits]\n{text}"
    more = 'passphrase = "env:TEST_KEY"\n' if venue == "weex" else ""
    return load(write(kept.replace("[accounts.main.limits]", f"{more}[accounts.main.limits]"))).accounts["main"].limits


# What is taken


def test_an_account_has_what_its_venue_documents(write: Write) -> None:
    settings = load(write(ACCOUNT))

    venue = VENUES["upbit"]
    account = settings.accounts["main"]
    assert (settings.redis_url, settings.keep_days, settings.guard_ms) == (DEFAULT_REDIS_URL, 7.0, 10)
    assert (account.name, account.venue, account.egress) == ("main", venue, "default")
    assert (account.base_url, account.limits) == (venue.base_url, venue.limits)
    assert (account.max_orders_per_call, account.max_in_flight) == (venue.max_orders_per_call, venue.max_in_flight)
    assert account.credentials == Credentials("made-up-key", SECRET)


@pytest.mark.parametrize(
    ("text", "share"), [("", 0.7), ("[limiter]\ncleanup_share = 0.25", 0.25), ("[limiter]\ncleanup_share = 1", 1)]
)
def test_a_clean_up_has_its_share(write: Write, text: str, share: float) -> None:
    assert load(write(ACCOUNT + text)).cleanup_share == share


def test_the_configuration_of_the_contract(write: Write, tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("UPBIT_ACCESS_KEY", "an-access-key")
    (tmp_path / "upbit").write_text("from-a-file\n")
    settings = load(
        write(f"""
            [redis]
            url = "redis://127.0.0.1:6379/0"
            [accounts.upbit-main]
            venue = "upbit"
            base_url = "https://sg-api.upbit.com"
            api_key = "env:UPBIT_ACCESS_KEY"
            api_secret = "file:{tmp_path}/upbit"
            [accounts.upbit-main.limits]
            calls_per_s = 30
            max_orders_per_call = 20
            max_in_flight = 16
        """)
    )

    account = settings.accounts["upbit-main"]
    assert account.credentials == Credentials("an-access-key", "from-a-file")
    assert (account.max_orders_per_call, account.max_in_flight) == (20, 16)
    assert account.limits == VENUES["upbit"].limits


def test_limits_may_be_lowered(write: Write) -> None:
    account = load(write(ACCOUNT + "[accounts.main.limits]\nmax_orders_per_call = 3\nmax_in_flight = 2")).accounts[
        "main"
    ]

    assert (account.max_orders_per_call, account.max_in_flight) == (3, 2)


@pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
def test_upbit_signs_with_the_algorithm_that_is_named(write: Write, algorithm: str) -> None:
    settings = load(write(ACCOUNT + f'jwt_algorithm = "{algorithm}"'))

    assert settings.accounts["main"].credentials.jwt_algorithm == algorithm


def test_kuna_takes_one_key_or_three(write: Write) -> None:
    three = 'public_key = "env:TEST_KEY"\napi_secret = "env:TEST_SECRET"\n'
    one = '[accounts.one]\nvenue = "kuna"\napi_key = "env:TEST_KEY"\n'

    accounts = load(write(one + one.replace("one", "three") + three)).accounts

    assert accounts["one"].credentials == Credentials("made-up-key")
    assert accounts["three"].credentials == Credentials("made-up-key", SECRET, public_key="made-up-key")


@pytest.mark.parametrize(
    "key", [ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)], ids=["ed25519", "rsa"]
)
def test_binance_takes_a_private_key(write: Write, tmp_path: Path, key: rsa.RSAPrivateKey) -> None:
    pem = key.private_bytes(Encoding.PEM, *PRIVATE).decode()
    (tmp_path / "key.pem").write_text(pem)
    text = f'[accounts.b]\nvenue = "binance"\napi_key = "env:TEST_KEY"\nprivate_key = "file:{tmp_path}/key.pem"'

    assert load(write(text)).accounts["b"].credentials == Credentials("made-up-key", private_key=pem.strip())


def test_secrets_are_left_alone_where_nothing_is_sent(write: Write, environment: pytest.MonkeyPatch) -> None:
    environment.delenv("TEST_SECRET")

    assert load(write(ACCOUNT), secrets=False).accounts["main"].credentials == Credentials("")


def test_an_account_shows_no_secret(write: Write) -> None:
    settings = load(write(ACCOUNT))

    assert SECRET not in repr(settings)
    assert "made-up-key" not in repr(settings)


def test_a_base_url_keeps_its_path_and_loses_its_slash(write: Write) -> None:
    settings = load(write(ACCOUNT + 'base_url = "http://127.0.0.1:8000/upbit/"'))

    assert settings.accounts["main"].base_url == "http://127.0.0.1:8000/upbit"


# Where it comes from


def test_the_file_that_is_given_counts_before_the_environment(environment: pytest.MonkeyPatch) -> None:
    assert config_path(None) == Path("ripcord.toml")
    environment.setenv("RIPCORD_CONFIG", "/etc/b.toml")
    assert config_path(None) == Path("/etc/b.toml")
    assert config_path("/etc/a.toml") == Path("/etc/a.toml")


def test_the_environment_overrides_redis(write: Write, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RIPCORD_REDIS_URL", "rediss://other:1/2")

    assert load(write('[redis]\nurl = "redis://file:6379"')).redis_url == "rediss://other:1/2"


def test_redis_alone_may_come_from_the_environment(tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RIPCORD_REDIS_URL", "redis://h:1/2")

    assert load(tmp_path / "none.toml", need_file=False) == Settings("redis://h:1/2", 7.0, {})
    with pytest.raises(ConfigurationError, match="there is no such file"):
        load(tmp_path / "none.toml")


def test_a_child_knows_its_configuration_and_nothing_else_of_ours(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RIPCORD_REDIS_URL", "redis://h:1/2")
    environment.setenv("RIPCORD_METRICS_PORT", "9100")

    child = child_environment(Path("/etc/ripcord.toml"))

    assert {name: value for name, value in child.items() if name.startswith("RIPCORD_")} == {
        "RIPCORD_CONFIG": "/etc/ripcord.toml"
    }
    assert child["TEST_KEY"] == "made-up-key"


def test_a_configuration_in_use_is_that_of_the_children_too(tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RIPCORD_CONFIG", "")
    use_config(tmp_path / "x.toml")

    assert config_path(None) == tmp_path.resolve() / "x.toml"


@pytest.mark.parametrize(("text", "port"), [("", None), ("9100", 9100), ("65535", 65535)])
def test_metrics_have_a_port_if_one_is_named(environment: pytest.MonkeyPatch, text: str, port: int | None) -> None:
    environment.setenv("RIPCORD_METRICS_PORT", text)

    assert metrics_port() == port


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "9100 ", "1e3"])
def test_what_is_no_port_is_refused(environment: pytest.MonkeyPatch, text: str) -> None:
    environment.setenv("RIPCORD_METRICS_PORT", text)

    with pytest.raises(ConfigurationError, match=r"^\$RIPCORD_METRICS_PORT must be a port from 1 to 65535"):
        metrics_port()


# The limits


@pytest.mark.parametrize(
    ("venue", "calls_per_s", "units", "per_ms"),
    [
        ("upbit", 30, 30, 1000),
        ("upbit", 5, 5, 1000),
        ("upbit", 1.9, 2, 1053),
        ("upbit", 0.5, 1, 2000),
        ("upbit", 0.3, 1, 3334),
        ("crypto_com", 30, 3, 100),
        ("crypto_com", 20, 2, 100),
        ("crypto_com", 10, 1, 100),
        ("crypto_com", 29, 3, 104),
        ("crypto_com", 15, 2, 134),
        ("crypto_com", 4, 1, 250),
        ("crypto_com", 0.1, 1, 10_000),
    ],
)
def test_calls_a_second_are_kept_in_the_venues_own_window(
    write: Write, venue: str, calls_per_s: float, units: int, per_ms: int
) -> None:
    (limit,) = limits_of(write, f"calls_per_s = {calls_per_s}", venue)

    assert (limit.units, limit.per_ms, limit.cost) == (units, per_ms, 1)
    assert limit.scope is VENUES[venue].limits[0].scope
    assert limit.units * 1000 / limit.per_ms <= calls_per_s


def test_longer_windows_and_those_of_the_ip_stay(write: Write) -> None:
    venue = VENUES["weex"]
    second, *others = limits_of(write, "calls_per_s = 2", "weex")

    assert (second.units, second.per_ms) == (2, 1000)
    assert tuple(others) == venue.limits[1:]


def test_a_venue_without_such_a_window_gets_one(write: Write) -> None:
    ours, *others = limits_of(write, "calls_per_s = 7", "binance")

    assert ours == Limit("calls", Scope.ACCOUNT, 7, 1000)
    assert tuple(others) == VENUES["binance"].limits
