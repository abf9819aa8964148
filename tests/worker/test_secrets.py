"""A whole run with keys that can be told from anything else, and a search for them in all that it has left."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from redis import Redis

from connectors.calls import Request, Stamp
from connectors.credentials import Credentials
from connectors.orders import IdKind, OrderRef
from connectors.registry import VENUES
from simulator.accounts import CREDENTIALS
from tests.end_to_end.batches import document, named
from tests.end_to_end.stage import Stage, add_account, free_port, staged
from worker.settings import ConfigurationError, load

pytestmark = pytest.mark.processes

FAULTS: Final = (
    "cut_after", "cut_before", "error_5xx_after", "html", "missing_items", "wrong_types", "truncated", "rate_429",
    "maintenance", "forbidden",
)  # fmt: skip
TOKEN: Final = re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}")  # a JSON Web Token
SIGNATURE: Final = re.compile(r"(?i)(\bsig\"?[=:]|signature=|ACCESS-SIGN|Bearer |X-MBX-APIKEY)")


def secret(account: str, field: str) -> str:
    """Make up a key that no other text holds."""
    return f"TOPSECRET{hashlib.sha256(f'{account} {field}'.encode()).hexdigest()[:32]}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, dict[str, str], list[str]]]:
    """Good, wrong and unreachable accounts of every venue, faults, and every way out: stage, secrets, outputs."""
    with staged(tmp_path_factory.mktemp("secrets")) as stage:
        secrets: dict[str, str] = {}
        stage.config.write_text(f'[redis]\nurl = "{stage.redis.url}"\n', encoding="utf-8")
        asked: list[dict[str, str]] = []
        for venue in sorted(VENUES):
            own = {}
            for suffix in ("good", "bad", "away"):
                name = f"{venue}-{suffix}"
                own = {field: secret(name, field) for field in CREDENTIALS[venue]}
                secrets |= {f"{name} {field}": value for field, value in own.items()}
                if suffix == "good":
                    stage.control.add_account(venue, name, **own)
                    seeded = named(stage.control.seed(name, 12, filled=2), name)
                url = f"http://127.0.0.1:{free_port()}" if suffix == "away" else stage.simulator_url
                add_account(stage.config, name, venue, url, own)
                asked += [row | {"account": name} for row in seeded]
        asked += pem_account(stage, secrets)
        stage.worker(PYTHONUNBUFFERED="1", RIPCORD_LOG="json")
        # Each account is tried before a fault's pause, which may be all its venue's, can keep it from that.
        first = document(list({row["account"]: row for row in asked}.values()), deadline_s=5)
        tried = stage.here("cancel", "--file", "-", "--wait", "--json", stdin=json.dumps(first))
        for number, fault in enumerate(FAULTS):
            stage.control.fault(fault, probability=0.3, seed=number)
        outputs = [tried.stdout, tried.stderr, *every_way(stage, asked)]
        assert stage.workers[0].end() == 0
        yield stage, secrets, outputs


def pem_account(stage: Stage, secrets: dict[str, str]) -> list[dict[str, str]]:
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    own = {"api_key": secret("binance-pem", "api_key"), "private_key": pem}
    stage.control.add_account("binance", "binance-pem", api_key=own["api_key"], public_pem=public)
    add_account(stage.config, "binance-pem", "binance", stage.simulator_url, own)
    secrets |= {"binance-pem api_key": own["api_key"], "binance-pem private_key": pem.splitlines()[1]}
    return named(stage.control.seed("binance-pem", 5), "binance-pem")


def every_way(stage: Stage, asked: list[dict[str, str]]) -> list[str]:
    """Hand the orders in, wait, and read them in every form; gives all that was printed."""
    given = document(asked, deadline_s=2)
    commands = [
        ["cancel", "--file", "-", "--wait", "--json"],
        *([word, given["batch_id"], *form] for word in ("show", "outcomes") for form in ([], ["--json"])),
        ["outcomes", given["batch_id"], "--csv"],
        ["watch", given["batch_id"]],
        ["list"],
        ["check"],
        ["check", "--json"],
        ["cancel", "--file", "-", "--account", "nobody", "--json"],
    ]
    done = [stage.here(*words, stdin=json.dumps(given)) for words in commands]
    assert stage.client.report(given["batch_id"])["state"] == "done"
    printed = [text for each in done for text in (each.stdout, each.stderr)]
    return [*printed, repr(stage.client.report(given["batch_id"])), repr(stage.client.outcomes(given["batch_id"]))]


def dump(url: str) -> str:
    """Write out every key and value of a Redis, whatever their type."""
    with Redis.from_url(url, decode_responses=True, encoding_errors="replace") as client:
        readers: dict[str, Any] = {
            "string": client.get,
            "hash": client.hgetall,
            "set": client.smembers,
            "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
            "list": lambda key: client.lrange(key, 0, -1),
            "stream": client.xrange,
        }
        return repr([(key, readers[str(client.type(key))](key)) for key in client.scan_iter()])


def forms(value: str) -> set[str]:
    """Give the shapes in which a secret might stand somewhere."""
    raw = value.encode()
    return {value, value[:24], base64.b64encode(raw).decode().rstrip("="), raw.hex()}


def check(text: str, secrets: dict[str, str], where: str) -> None:
    for name, value in secrets.items():
        assert not any(form in text for form in forms(value)), f"{name} stands in {where}"
    for pattern in (TOKEN, SIGNATURE):
        found = pattern.search(text)
        assert found is None, f"{text[max(0, found.start() - 60) : found.end() + 60]!r} stands in {where}"


def test_the_run_was_one_worth_searching(run: tuple[Stage, dict[str, str], list[str]]) -> None:
    """Every account was tried, with refusals, faults and lost answers among it."""
    stage, _, outputs = run
    log = stage.workers[0].text()
    assert {event["account"] for event in stage.workers[0].events("call.answered")} >= {
        f"{venue}-{suffix}" for venue in VENUES for suffix in ("good", "bad")
    }
    assert stage.workers[0].events("call.not_sent")
    assert '"refusal": "credentials"' in log
    assert '"refusal": "uncertain"' in log
    assert len("".join(outputs)) > 10_000


def test_nothing_in_the_workers_log(run: tuple[Stage, dict[str, str], list[str]]) -> None:
    stage, secrets, _ = run

    check(stage.workers[0].text(), secrets, "the worker's log")


def test_nothing_in_redis(run: tuple[Stage, dict[str, str], list[str]]) -> None:
    stage, secrets, _ = run
    content = dump(stage.redis.url)

    assert len(content) > 10_000
    check(content, secrets, "Redis")


def test_nothing_in_what_is_printed(run: tuple[Stage, dict[str, str], list[str]]) -> None:
    _, secrets, outputs = run

    for text in outputs:
        check(text, secrets, "the output of a command")


def test_nothing_in_the_configuration_or_its_repr(run: tuple[Stage, dict[str, str], list[str]]) -> None:
    stage, secrets, _ = run
    settings = load(stage.config)

    check(stage.config.read_text(encoding="utf-8"), secrets, "the configuration")
    check(repr(settings) + str(settings), secrets, "the settings' repr")
    for account in settings.accounts.values():
        check(repr(account) + f"{account}" + repr(account.credentials), secrets, "an account's repr")


@pytest.mark.parametrize("venue", sorted(VENUES))
def test_nothing_in_the_repr_of_a_request(venue: str) -> None:
    own = {field: secret(f"{venue}-repr", field) for field in CREDENTIALS[venue]}
    kind = VENUES[venue].id_kinds[0]
    orders = (OrderRef(kind, "6c1eac69-b9bc-4fbf-9982-e9c4641c453f" if kind is IdKind.ORDER_ID else "1", "LTCBTC"),)
    request = VENUES[venue].build_cancel(
        orders, Credentials(**own), Stamp(1_763_632_800_000, "b2f1e3f8-2dc1-4d6f-a838-c74c49b0e39a")
    )

    assert isinstance(request, Request)
    check(repr(request) + str(request), {f"{venue} {name}": value for name, value in own.items()}, "a request's repr")


def test_a_key_that_is_wrong_in_the_configuration_is_not_repeated(tmp_path: Path) -> None:
    config = tmp_path / "ripcord.toml"
    for reference in ("TOPSECRETVALUE", "env:", "plain:TOPSECRETVALUE"):
        config.write_text(f'[accounts.a]\nvenue = "kuna"\napi_key = "{reference}"\n', encoding="utf-8")
        with pytest.raises(ConfigurationError) as error:
            load(config)
        assert "TOPSECRET" not in str(error.value)
    (tmp_path / "key").write_text("TOPSECRET VALUE\nwith a line", encoding="utf-8")
    config.write_text(f'[accounts.a]\nvenue = "kuna"\napi_key = "file:{tmp_path}/key"\n', encoding="utf-8")
    with pytest.raises(ConfigurationError) as error:
        load(config)
    assert "TOPSECRET" not in str(error.value)
