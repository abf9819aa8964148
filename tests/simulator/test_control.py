import http.client
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from simulator.config import write_config
from simulator.control import Control, ControlRefusedError, references
from simulator.serve import RunningSimulator, running_simulator
from tests.simulator.callers import SIGNERS, Caller


def test_seeding_makes_what_was_asked_for(control: Control) -> None:
    made = control.seed("upbit-sim", 10, filled=2, canceled=1, partly=3, symbol="SGD-BTC", side="sell", age_ms=60_000)
    book = control.book("upbit-sim")
    assert [order["order_id"] for order in book] == [order["order_id"] for order in made]
    assert [order["state"] for order in book] == ["open"] * 4 + ["partly_filled"] * 3 + ["canceled"] + ["filled"] * 2
    assert {(order["symbol"], order["side"]) for order in book} == {("SGD-BTC", "sell")}
    assert len({order["order_id"] for order in book}) == 10
    assert all(control.health()["now_ms"] - order["created_ms"] >= 60_000 for order in book)
    assert "client_order_id" not in control.seed("kuna-sim", 1)[0]


def test_many_are_seeded_in_one_call(control: Control) -> None:
    assert len({order["order_id"] for order in control.seed("kuna-sim", 20_000)}) == 20_000


def test_orders_can_be_given_one_by_one(control: Control) -> None:
    given = [
        {"order_id": "77", "client_order_id": "mine", "symbol": "CRO_USD", "state": "filled", "qty": "3.5"},
        {"kind": "advanced", "state": "expired"},
    ]
    named = control.seed_orders("crypto_com-sim", given)
    assert named[0] == {"order_id": "77", "client_order_id": "mine", "symbol": "CRO_USD"}
    first, second = control.book("crypto_com-sim")
    assert (first["filled_qty"], second["kind"], second["state"]) == ("3.5", "advanced", "expired")
    with pytest.raises(ControlRefusedError, match="there already"):
        control.seed_orders("crypto_com-sim", given)


def test_references_have_one_id_each(control: Control) -> None:
    named = control.seed("binance-sim", 1, lists=1, symbol="LTCBTC")
    assert references(named, account="a") == [
        {"order_id": named[0]["order_id"], "symbol": "LTCBTC", "account": "a"},
        {"order_list_id": named[1]["order_list_id"], "symbol": "LTCBTC", "account": "a"},
    ]
    assert references(named, by="client_order_id")[0] == {"client_order_id": "sim-1", "symbol": "LTCBTC"}


@pytest.mark.parametrize(
    ("ask", "why"),
    [
        (lambda control: control.seed("nobody", 1), "no account"),
        (lambda control: control.seed("upbit-sim", 1, filled=2), "more orders"),
        (lambda control: control.seed("upbit-sim", -1), "negative"),
        (lambda control: control.seed("upbit-sim", 1, lists=1), "no order lists"),
        (lambda control: control.seed("upbit-sim", 1, kind="advanced"), "no kind"),
        (lambda control: control.seed("upbit-sim", 1, colour="red"), "unknown: colour"),
        (lambda control: control.seed("upbit-sim", 2_000_000), "at most"),
        (lambda control: control.add_account("kraken", "x"), "no venue"),
        (lambda control: control.add_account("upbit", "upbit-sim"), "taken"),
        (lambda control: control.fault("gremlins"), "no fault"),
        (lambda control: control.fault("html", on=["dance"]), "dance"),
        (lambda control: control.fault("html", account="nobody"), "no account"),
        (lambda control: control.limits(venue="upbit", rule="order"), "no rule"),
        (lambda control: control.limits(venue="kraken", enabled=False), "no venue"),
        (lambda control: control.behavior(speed=1), "unknown: speed"),
        (lambda control: control.book("nobody"), "nobody"),
        (lambda control: control._ask("POST", "nothing"), "there is no POST"),
    ],
)
def test_what_makes_no_sense_is_refused(control: Control, ask: Callable[[Control], Any], why: str) -> None:
    with pytest.raises(ControlRefusedError, match=why):
        ask(control)


def test_accounts_of_one_venue_have_books_keys_and_limits_of_their_own(running: RunningSimulator) -> None:
    control = Control(running.url)
    control.reset()
    control.add_account("kuna", "kuna-2", api_key="another-key")
    one, two = Caller(running.url, "kuna-sim"), Caller(running.url, "kuna-2")
    assert two.keys["api_key"] == "another-key"
    order_id = control.seed("kuna-sim", 1)[0]["order_id"]
    assert two.cancel(order_id).json == {"data": []}
    assert one.states() == {order_id: "open"}
    assert [one.cancel(order_id).status for _ in range(5)] == [200] * 5
    assert [one.cancel(order_id).status, two.cancel(order_id).status] == [429, 200]


def test_the_log_and_the_counters_tell_the_calls(caller: Callable[[str], Caller]) -> None:
    made = caller("weex")
    live, filled = (each["order_id"] for each in made.control.seed(made.account, 2, filled=1))
    made.cancel(live, filled)
    made.cancel(live, secret="wrong")
    first, second = made.control.log(made.account)
    assert (first["asked"], first["applied"], first["status"]) == ([live, filled], [live], 200)
    assert (first["method"], first["path"]) == ("POST", "/capi/v2/order/cancel_batch_orders")
    assert (second["asked"], second["applied"], second["status"]) == ([], [], 400)
    assert made.control.log(made.account, limit=1) == [second]
    assert made.control.log("upbit-sim") == []
    sums = made.control.counters()["accounts"][made.account]
    assert (sums["calls"], sums["cancel_calls"], sums["asked"], sums["applied"]) == (2, 2, 2, 1)
    assert (sums["bad_signatures"], sums["breaches"]) == (1, {})
    assert sum(sums["orders"].values()) == 2
    assert made.control.counters(orders=False)["accounts"][made.account]["orders"] == {}


def test_limits_can_be_switched_off_and_on(caller: Callable[[str], Caller]) -> None:
    made = caller("kuna")
    made.control.limits(venue="kuna", enabled=False)
    assert [made.cancel("x").status for _ in range(8)] == [500] * 8
    assert made.control.limits()["off"] == ["kuna"]
    made.control.limits(venue="kuna", enabled=True)
    assert [made.cancel("x").status for _ in range(6)] == [500] * 5 + [429]


@pytest.mark.parametrize("venue", list(SIGNERS))
def test_one_order_that_many_cancel_at_once_is_canceled_once(caller: Callable[[str], Caller], venue: str) -> None:
    made = caller(venue)
    made.control.limits(venue=venue, enabled=False)
    order_id = made.control.seed(made.account, 1, symbol="LTCBTC")[0]["order_id"]
    threads = [threading.Thread(target=made.cancel, args=(order_id,)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made.control.limits(venue=venue, enabled=True)
    log = made.control.log(made.account)
    assert len(log) == 12
    assert [applied for entry in log for applied in entry["applied"]] == [order_id]
    assert made.control.book(made.account)[0]["asked"] == 12


def test_the_configuration_is_whole_and_holds_no_secret(running: RunningSimulator, tmp_path: Path) -> None:
    path = tmp_path / "ripcord.toml"
    accounts = list(running.desk.accounts.values())
    write_config(path, running.url, accounts, "redis://127.0.0.1:1/0")
    write_config(path, running.url, accounts)  # again, over the first
    text = path.read_text()
    document = tomllib.loads(text)
    assert document["redis"] == {"url": "redis://127.0.0.1:6379/0"}
    for account in accounts:
        section = document["accounts"][account.name]
        assert section.pop("venue") == account.venue
        assert section.pop("base_url").startswith(running.url)
        assert section.keys() == account.keys().keys()
        for name, value in account.keys().items():
            assert value not in text
            secret = Path(section[name].removeprefix("file:"))
            assert secret.is_absolute()
            assert secret.read_text() == value
            assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_a_simulator_in_a_process_of_its_own_starts_and_ends(tmp_path: Path) -> None:
    path = tmp_path / "ripcord.toml"
    command = [sys.executable, "-m", "simulator", "--config-out", str(path), "--redis-url", "redis://h:1/2"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONWARNINGS": "error"}
    ) as process:
        assert process.stderr is not None
        found = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", process.stderr.readline())
        assert found is not None
        document = tomllib.loads(path.read_text())
        assert document["redis"]["url"] == "redis://h:1/2"
        assert document["accounts"]["crypto_com-sim"]["base_url"] == f"{found[1]}/crypto_com/exchange/v1"
        made = Caller(found[1], "upbit-sim")
        made.control.fault("hang", calls=1)

        def hang() -> None:
            with suppress(http.client.HTTPException, OSError):
                made.cancel("a")

        thread = threading.Thread(target=hang)  # a call that hangs must not keep the process alive
        thread.start()
        while not made.control.log():
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        thread.join()
        assert process.stderr.read() == ""


def test_a_port_that_is_taken_is_said_so(running: RunningSimulator) -> None:
    port = running.url.rpartition(":")[2]
    command = [sys.executable, "-m", "simulator", "--port", port]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert ended.returncode == 4
    assert re.fullmatch(r"the simulator cannot start: .*address already in use\n", ended.stderr)
    with pytest.raises(OSError, match="already in use"), running_simulator(int(port)):
        pass
