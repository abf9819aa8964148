"""Contract section 2: every error of the configuration says where and what is allowed, and tells no secret."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.worker.test_settings import ACCOUNT, PRIVATE, SECRET, Write, environment, write
from worker.settings import ConfigurationError, load

__all__ = ["environment", "write"]  # the fixtures


def refused(path: Path) -> str:
    """Give the error of a configuration, which names its file and tells no secret."""
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert SECRET not in f"{caught.value!r}{caught.value.__cause__!r}"
    return str(caught.value).replace(str(path), "FILE")


REFUSED: dict[str, tuple[str, str]] = {
    "not TOML": ("[accounts", "FILE: is not TOML: "),
    "unknown section": ("[redys]", "FILE: redys: is not a known key; allowed: redis, limiter, accounts"),
    "unknown redis key": ("[redis]\nhost='x'", "FILE: redis.host: is not a known key; allowed: url, keep_days"),
    "unknown limiter key": ("[limiter]\nx=1", "FILE: limiter.x: is not a known key; allowed: guard_ms"),
    "unknown account key": (
        ACCOUNT + "sekret = 'x'",
        "FILE: accounts.main.sekret: is not a known key; allowed: venue, base_url, egress, api_key, api_secret,",
    ),
    "unknown limit": (
        ACCOUNT + "[accounts.main.limits]\ncalls = 1",
        ".limits.calls: is not a known key; allowed: calls_per_s, max_orders_per_call, max_in_flight",
    ),
    "unknown venue": (
        ACCOUNT.replace("upbit", "kraken"),
        "FILE: accounts.main.venue: must be one of crypto_com, binance, upbit, kuna, weex",
    ),
    "no venue": (
        "[accounts.main]\napi_key = 'env:TEST_KEY'",
        "FILE: accounts.main.venue: must be one of crypto_com, binance",
    ),
    "no key": ("[accounts.main]\nvenue = 'kuna'", "FILE: accounts.main.api_key: must be env:NAME or file:PATH"),
    "account name": ("[accounts.'a b']\nvenue='kuna'\napi_key='env:TEST_KEY'", "a name is 1 to 64 of A-Z a-z 0-9"),
    "account no table": ("accounts.main = 5", "FILE: accounts.main"),
    "more orders a call": (
        ACCOUNT + "[accounts.main.limits]\nmax_orders_per_call = 21",
        ".limits.max_orders_per_call is 21, but Upbit takes at most 20; it may be lowered, never raised",
    ),
    "no orders a call": (
        ACCOUNT + "[accounts.main.limits]\nmax_orders_per_call = 0",
        "FILE: accounts.main.limits.max_orders_per_call: Must be greater than or equal to 1.",
    ),
    "a fraction of a call": (ACCOUNT + "[accounts.main.limits]\nmax_in_flight = 1.5", "max_in_flight: Not a valid"),
    "too many in flight": (ACCOUNT + "[accounts.main.limits]\nmax_in_flight = 257", "less than or equal to 256"),
    "no calls": (
        ACCOUNT + "[accounts.main.limits]\ncalls_per_s = 0",
        "calls_per_s: Must be greater than or equal to 0.001",
    ),
    "fewer than no calls": (ACCOUNT + "[accounts.main.limits]\ncalls_per_s = -1", "calls_per_s: Must be greater"),
    "calls nan": (ACCOUNT + "[accounts.main.limits]\ncalls_per_s = nan", "calls_per_s: Special numeric values"),
    "calls inf": (ACCOUNT + "[accounts.main.limits]\ncalls_per_s = inf", "calls_per_s: Special numeric values"),
    "guard": ("[limiter]\nguard_ms = -1", "limiter.guard_ms: Must be greater than or equal to 0"),
    "share of nothing": ("[limiter]\ncleanup_share = 0", "limiter.cleanup_share: Must be greater than 0"),
    "share of more than all": ("[limiter]\ncleanup_share = 1.01", "limiter.cleanup_share: Must be greater than 0"),
    "keep": ("[redis]\nkeep_days = 0", "redis.keep_days: Must be greater than 0"),
    "redis url": ("[redis]\nurl = 'http://x'", "FILE: redis.url: the address of Redis must be redis://["),
    "passphrase": (
        ACCOUNT + "passphrase = 'env:TEST_KEY'",
        "FILE: accounts.main has the credentials api_key, api_secret, passphrase; Upbit takes api_key with api_secret",
    ),
    "half a key": (
        "[accounts.k]\nvenue='kuna'\napi_key='env:TEST_KEY'\npublic_key='env:TEST_KEY'",
        "has the credentials api_key, public_key; Kuna takes api_key, or api_key with api_secret with public_key",
    ),
    "algorithm": (ACCOUNT + "jwt_algorithm = 'none'", "jwt_algorithm: must be one of HS256, HS512"),
    "another's algorithm": (
        ACCOUNT.replace("upbit", "crypto_com") + "jwt_algorithm = 'HS512'",
        "FILE: accounts.main.jwt_algorithm is for upbit alone",
    ),
    "the value itself": (
        f"[accounts.k]\nvenue='kuna'\napi_key='{SECRET}'",
        "FILE: accounts.k.api_key must be env:NAME or file:PATH, never the value itself",
    ),
    "empty env": ("[accounts.k]\nvenue='kuna'\napi_key='env:'", "must be env:NAME or file:PATH"),
    "unset": (
        ACCOUNT.replace("TEST_SECRET", "TEST_UNSET"),
        "FILE: accounts.main.api_secret: the environment variable TEST_UNSET is not set",
    ),
    "no file": (
        ACCOUNT.replace("env:TEST_SECRET", "file:/nowhere/at-all"),
        "FILE: accounts.main.api_secret: '/nowhere/at-all' cannot be read: FileNotFoundError",
    ),
    "a folder": (ACCOUNT.replace("env:TEST_SECRET", "file:/"), "api_secret: '/' cannot be read: IsADirectoryError"),
    "no home": (
        ACCOUNT.replace("env:TEST_SECRET", "file:~nobody-here/x"),
        "api_secret: '~nobody-here/x' cannot be read",
    ),
    "null": (ACCOUNT.replace("env:TEST_SECRET", "file:a\\u0000b"), "api_secret: 'a\\x00b' cannot be read"),
    "egress": (ACCOUNT + "egress = 'a b'", "accounts.main.egress: a name is 1 to 64 of A-Z a-z 0-9 . _ -"),
    "a name with dots": (
        ACCOUNT.replace("accounts.main", "accounts.'eu.main'") + "sekret = 'x'",
        "FILE: accounts.eu.main.sekret: is not a known key; allowed: venue, base_url",
    ),
    "next to no calls": (ACCOUNT + "[accounts.main.limits]\ncalls_per_s = 5e-324", "calls_per_s: Must be greater"),
    "redis port": ("[redis]\nurl = 'redis://127.0.0.1:port/0'", "FILE: redis.url: the address of Redis must be"),
    "redis host": ("[redis]\nurl = 'redis://[oops'", "FILE: redis.url: the address of Redis must be"),
    "redis password": (f"[redis]\nurl = 'redis://:pa/{SECRET}@h'", "FILE: redis.url: the address of Redis must be"),
    "base_url ftp": (
        ACCOUNT + "base_url='ftp://x'",
        "FILE: accounts.main.base_url must be http(s)://HOST[:PORT][/PATH]",
    ),
    "base_url user": (ACCOUNT + "base_url='https://me:pw@x'", "FILE: accounts.main.base_url must be http(s)"),
    "base_url query": (ACCOUNT + "base_url='https://x/?a=1'", "FILE: accounts.main.base_url must be http(s)"),
    "base_url password": (ACCOUNT + "base_url='https://:pw@x'", "FILE: accounts.main.base_url must be http(s)"),
    "base_url port": (ACCOUNT + "base_url='https://x:port'", "FILE: accounts.main.base_url must be http(s)"),
    "base_url large port": (ACCOUNT + "base_url='https://x:99999'", "FILE: accounts.main.base_url must be http(s)"),
    "base_url bracket": (ACCOUNT + "base_url='https://[x'", "FILE: accounts.main.base_url must be http(s)"),
    "base_url space": (ACCOUNT + "base_url='https://x/a b'", "FILE: accounts.main.base_url must be http(s)"),
    "base_url letters": (ACCOUNT + "base_url='https://x/größe'", "FILE: accounts.main.base_url must be http(s)"),
    "base_url nothing": (ACCOUNT + "base_url='https://'", "FILE: accounts.main.base_url must be http(s)"),
}


@pytest.mark.parametrize(("text", "error"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_refused_and_said_where(write: Write, text: str, error: str) -> None:
    assert error in refused(write(text))


def test_every_error_is_listed(write: Write) -> None:
    text = "[redys]\n" + ACCOUNT.replace("upbit", "kraken") + "[accounts.main.limits]\ncalls = 1\nmax_in_flight = 0"

    lines = refused(write(text)).splitlines()

    assert len(lines) == 4
    assert all(line.startswith("FILE: ") for line in lines)


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    error = refused(tmp_path / "none.toml")

    assert "--config" in error
    assert "$RIPCORD_CONFIG" in error
    assert "ripcord simulator --config-out PATH" in error


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")

    assert "FILE: cannot be read" in refused(tmp_path / "x.toml")


@pytest.mark.parametrize("value", ["with space", "line\nbreak", "größe", "tab\t", "\x7f"])
def test_a_secret_that_no_header_can_carry_is_refused_without_telling_it(
    write: Write, tmp_path: Path, value: str
) -> None:
    (tmp_path / "secret").write_text(value + "x")
    error = refused(write(ACCOUNT.replace("env:TEST_SECRET", f"file:{tmp_path}/secret")))

    assert "accounts.main.api_secret: the value has spaces, line breaks or characters outside ASCII" in error
    assert value not in error


def test_an_empty_file_or_variable_is_no_secret(write: Write, tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").write_text(" \n")
    environment.setenv("TEST_EMPTY", "")

    assert "is empty" in refused(write(ACCOUNT.replace("env:TEST_SECRET", f"file:{tmp_path}/empty")))
    assert "TEST_EMPTY is not set" in refused(write(ACCOUNT.replace("TEST_SECRET", "TEST_EMPTY")))


@pytest.mark.parametrize("pem", ["nonsense PRIVATE KEY", "p256"])
def test_a_private_key_that_cannot_sign_is_refused_without_telling_it(write: Write, tmp_path: Path, pem: str) -> None:
    if pem == "p256":
        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, *PRIVATE).decode()
    (tmp_path / "key.pem").write_text(pem)
    text = f'[accounts.b]\nvenue = "binance"\napi_key = "env:TEST_KEY"\nprivate_key = "file:{tmp_path}/key.pem"'

    error = refused(write(text))

    assert error.startswith("FILE: accounts.b.private_key ")
    assert pem.splitlines()[-1] not in error
