"""The configuration; the only place that reads the environment and the secrets' files."""

import math
import os
import re
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlsplit

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from connectors.binance_signing import check_private_key
from connectors.calls import Limit, Scope
from connectors.credentials import Credentials
from connectors.registry import VENUES
from connectors.venue import Venue
from tasks.batch import Account
from tasks.client import check_address
from tasks.errors import BadAddress, RipcordError
from worker.sweeps import Heartbeat, Schedule, SweepTroubles, read_heartbeat, read_schedule

Named = TypeVar("Named", Schedule, Heartbeat)
CONFIG_VARIABLE: Final = "RIPCORD_CONFIG"
REDIS_VARIABLE: Final = "RIPCORD_REDIS_URL"
METRICS_VARIABLE: Final = "RIPCORD_METRICS_PORT"
LOG_VARIABLE: Final = "RIPCORD_LOG"
DEFAULT_CONFIG: Final = "ripcord.toml"
DEFAULT_REDIS_URL: Final = "redis://127.0.0.1:6379/0"
ACCOUNT_DEPTH: Final = 2  # accounts.NAME
SECRET_FIELDS: Final = ("api_key", "api_secret", "passphrase", "public_key", "private_key")
ACCOUNT_NAME: Final = r"[A-Za-z0-9._-]{1,64}"
NAME_RULE: Final = "a name is 1 to 64 of A-Z a-z 0-9 . _ -"


class ConfigurationError(RipcordError):
    """The configuration cannot be used; the text names the file, the key and what is allowed."""


class PortTaken(RipcordError):
    """A port that the configuration names is not to be had."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a command needs to know, resolved."""

    redis_url: str = field(repr=False)  # it may hold a password
    keep_days: float
    accounts: Mapping[str, Account]
    guard_ms: int = 10
    cleanup_share: float = 0.7
    schedules: tuple[Schedule, ...] = ()
    heartbeats: tuple[Heartbeat, ...] = ()


class LimitsSchema(Schema):
    """[accounts.X.limits]: what a user may change of a venue's limits."""

    class Meta:
        """An unknown key is an error, not a guess."""

        unknown = RAISE

    calls_per_s = fields.Float(validate=validate.Range(0.001, 10_000))
    max_orders_per_call = fields.Integer(strict=True, validate=validate.Range(1))
    max_in_flight = fields.Integer(strict=True, validate=validate.Range(1, 256))


class AccountSchema(Schema):
    """[accounts.X]."""

    class Meta:
        """An unknown key is an error, not a guess."""

        unknown = RAISE

    venue = fields.String(
        required=True,
        validate=validate.OneOf(VENUES, error="must be one of {choices}"),
        error_messages={"required": f"must be one of {', '.join(VENUES)}"},
    )
    base_url = fields.String()
    egress = fields.String(load_default="default", validate=validate.Regexp(rf"\A{ACCOUNT_NAME}\Z", error=NAME_RULE))
    api_key = fields.String(required=True, error_messages={"required": "must be env:NAME or file:PATH"})
    api_secret = fields.String()
    passphrase = fields.String()
    public_key = fields.String()
    private_key = fields.String()
    jwt_algorithm = fields.String(validate=validate.OneOf(["HS256", "HS512"], error="must be one of {choices}"))
    limits = fields.Nested(LimitsSchema, load_default=dict)


class RedisSchema(Schema):
    """[redis]."""

    class Meta:
        """An unknown key is an error, not a guess."""

        unknown = RAISE

    url = fields.String(load_default=DEFAULT_REDIS_URL)
    keep_days = fields.Float(load_default=7.0, validate=validate.Range(0, 3650, min_inclusive=False))


class LimiterSchema(Schema):
    """[limiter]."""

    class Meta:
        """An unknown key is an error, not a guess."""

        unknown = RAISE

    guard_ms = fields.Integer(strict=True, load_default=10, validate=validate.Range(0, 1000))
    cleanup_share = fields.Float(load_default=0.7, validate=validate.Range(0, 1, min_inclusive=False))


class SettingsSchema(Schema):
    """The whole file."""

    class Meta:
        """An unknown key is an error, not a guess."""

        unknown = RAISE

    redis = fields.Nested(RedisSchema, load_default=lambda: RedisSchema().load({}))
    limiter = fields.Nested(LimiterSchema, load_default=lambda: LimiterSchema().load({}))
    accounts = fields.Dict(
        keys=fields.String(validate=validate.Regexp(rf"\A{ACCOUNT_NAME}\Z", error=NAME_RULE)),
        values=fields.Nested(AccountSchema),
        load_default=dict,
    )
    sweeps = fields.List(fields.Dict(), load_default=list)
    heartbeats = fields.List(fields.Dict(), load_default=list)


def config_path(given: str | None) -> Path:
    """Say which configuration file counts: the one given, $RIPCORD_CONFIG, or ./ripcord.toml."""
    return Path(given or os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG)


def use_config(path: Path) -> None:
    """Make *path* the configuration of this process and its children."""
    os.environ[CONFIG_VARIABLE] = str(path.resolve())


def child_environment(config: Path) -> dict[str, str]:
    """Give the environment for a process of ours that is to know *config* and nothing else of ours."""
    ours = {CONFIG_VARIABLE, REDIS_VARIABLE, METRICS_VARIABLE, LOG_VARIABLE}
    return {name: value for name, value in os.environ.items() if name not in ours} | {CONFIG_VARIABLE: str(config)}


def metrics_port() -> int | None:
    """Give the port for Prometheus metrics, or None.  Raises ConfigurationError."""
    text = os.environ.get(METRICS_VARIABLE)
    if not text:
        return None
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise ConfigurationError(f"${METRICS_VARIABLE} must be a port from 1 to 65535, not {text!r}")
    return int(text)


def log_format() -> str:
    """Give ``json`` or ``console``; empty if the environment does not say."""
    return os.environ.get(LOG_VARIABLE, "")


def load(path: Path, *, secrets: bool = True, need_file: bool = True) -> Settings:
    """Load the configuration from *path*.

    Without *secrets*, keys are not resolved (enough for commands that never call a venue).  Without
    *need_file*, $RIPCORD_REDIS_URL alone will do.  Raises ConfigurationError.
    """
    override = os.environ.get(REDIS_VARIABLE)
    if not need_file and override and not path.is_file():
        return Settings(_redis_url(override, f"${REDIS_VARIABLE}"), 7.0, {})
    try:
        document = cast("dict[str, Any]", SettingsSchema().load(_read_toml(path)))
    except ValidationError as error:
        raise ConfigurationError("\n".join(f"{path}: {line}" for line in _sentences(error.messages))) from None
    accounts = {name: _account(path, name, table, secrets) for name, table in document["accounts"].items()}
    url = (
        _redis_url(override, f"${REDIS_VARIABLE}")
        if override
        else _redis_url(document["redis"]["url"], f"{path}: redis.url")
    )
    limiter = document["limiter"]
    schedules = _sweeps(path, "sweeps", document["sweeps"], read_schedule, accounts)
    heartbeats = _sweeps(path, "heartbeats", document["heartbeats"], read_heartbeat, accounts)
    keep_days, guard_ms, cleanup_share = document["redis"]["keep_days"], limiter["guard_ms"], limiter["cleanup_share"]
    return Settings(url, keep_days, accounts, guard_ms, cleanup_share, schedules, heartbeats)


def _sweeps(
    path: Path,
    section: str,
    tables: Sequence[dict[str, Any]],
    read: Callable[[Mapping[str, Any], Collection[str]], Named],
    accounts: Collection[str],
) -> tuple[Named, ...]:
    """Read the tables of a section.  Raises ConfigurationError with everything that is wrong with them."""
    found: dict[str, Named] = {}
    lines: list[str] = []
    for place, table in enumerate(tables):
        where = f"{path}: {section}[{place}]"
        try:
            sweep = read(table, accounts)
        except SweepTroubles as error:
            lines += [f"{where}{'.' if key else ''}{key} {trouble}" for key, trouble in error.troubles]
            continue
        if sweep.name in found:
            lines.append(f"{where}.name {sweep.name!r} is another one's already: choose another name")
        found[sweep.name] = sweep
    if lines:
        raise ConfigurationError("\n".join(lines))
    return tuple(found.values())


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        hint = (
            f"name one with --config or ${CONFIG_VARIABLE}; README.md shows one, "
            "and `ripcord simulator --config-out PATH` writes one for simulated venues"
        )
        raise ConfigurationError(f"{path}: there is no such file: {hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: is not TOML: {error}") from None


def _redis_url(url: str, where: str) -> str:
    try:
        check_address(url)
    except BadAddress as error:
        raise ConfigurationError(f"{where}: {error}") from None
    return url


def _account(path: Path, name: str, table: Mapping[str, Any], secrets: bool) -> Account:
    where = f"{path}: accounts.{name}"
    venue = VENUES[table["venue"]]
    credentials = _credentials(where, venue, table) if secrets else Credentials("")
    limits = table["limits"]
    size = limits.get("max_orders_per_call", venue.max_orders_per_call)
    if size > venue.max_orders_per_call:
        allowed = f"{venue.title} takes at most {venue.max_orders_per_call}; it may be lowered, never raised"
        raise ConfigurationError(f"{where}.limits.max_orders_per_call is {size}, but {allowed}")
    return Account(
        name=name,
        venue=venue,
        credentials=credentials,
        base_url=_base_url(where, table.get("base_url", venue.base_url)),
        max_orders_per_call=size,
        max_in_flight=limits.get("max_in_flight", venue.max_in_flight),
        limits=_limits(venue, limits.get("calls_per_s")),
        egress=table["egress"],
    )


def _base_url(where: str, url: str) -> str:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        fits = False
    if not fits or "@" in url or not re.fullmatch(r"[\x21-\x7e]+", url) or "?" in url or "#" in url:
        raise ConfigurationError(f"{where}.base_url must be http(s)://HOST[:PORT][/PATH]")
    return url.rstrip("/")


def _credentials(where: str, venue: Venue, table: Mapping[str, Any]) -> Credentials:
    given = {name for name in SECRET_FIELDS if name in table}
    if given not in venue.credential_sets:
        allowed = ", or ".join(" with ".join(sorted(names)) for names in venue.credential_sets)
        has = ", ".join(sorted(given)) or "none"
        raise ConfigurationError(f"{where} has the credentials {has}; {venue.title} takes {allowed}")
    if "jwt_algorithm" in table and venue.name != "upbit":
        raise ConfigurationError(f"{where}.jwt_algorithm is for upbit alone")
    values = {name: _secret(f"{where}.{name}", table[name]) for name in given}
    trouble = check_private_key(values["private_key"]) if "private_key" in values else None
    if trouble is not None:
        raise ConfigurationError(f"{where}.private_key {trouble}")
    return Credentials(**values, jwt_algorithm=table.get("jwt_algorithm", "HS256"))


def _secret(where: str, reference: str) -> str:
    """Resolve ``env:NAME`` or ``file:PATH``; the value itself is never repeated in an error."""
    kind, _, name = reference.partition(":")
    if kind == "env" and name:
        value = os.environ.get(name)
        if not value:
            raise ConfigurationError(f"{where}: the environment variable {name} is not set")
    elif kind == "file" and name:
        try:
            value = Path(name).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, ValueError, RuntimeError) as error:  # no file, not text or a null in the path, no home
            raise ConfigurationError(f"{where}: {name!a} cannot be read: {type(error).__name__}") from None
        if not value:
            raise ConfigurationError(f"{where}: {name} is empty")
    else:
        raise ConfigurationError(f"{where} must be env:NAME or file:PATH, never the value itself")
    if "PRIVATE KEY" not in value and not re.fullmatch(r"[\x21-\x7e]+", value):
        raise ConfigurationError(f"{where}: the value has spaces, line breaks or characters outside ASCII")
    return value


def _limits(venue: Venue, calls_per_s: float | None) -> tuple[Limit, ...]:
    """Give the venue's limits, those of a second or less replaced by *calls_per_s* where it is given."""
    if calls_per_s is None:
        return venue.limits
    mine = [limit for limit in venue.limits if limit.scope is not Scope.IP and limit.per_ms <= 1000]
    others = tuple(limit for limit in venue.limits if limit not in mine)
    base = min(mine, key=lambda limit: limit.per_ms, default=Limit("calls", Scope.ACCOUNT, 1, 1000))
    units = max(1, math.ceil(calls_per_s * base.per_ms / 1000))
    paced = replace(base, units=units, per_ms=math.ceil(units * 1000 / calls_per_s), cost=1)
    return (paced, *others)


def _sentences(messages: object, path: tuple[str, ...] = ()) -> list[str]:
    """Write marshmallow's nested messages as one sentence each, with the path of the key."""
    if isinstance(messages, dict):
        lines = []
        for name, below in messages.items():
            # A dict field puts a value's errors below "value" and a key's below "key".
            here = path if len(path) == ACCOUNT_DEPTH and name in {"value", "key"} else (*path, str(name))
            lines += _sentences(below, here)
        return lines
    given = messages if isinstance(messages, list) else [messages]
    return [f"{'.'.join(path)}: {_explain(str(line), path)}" for line in given]


def _explain(line: str, path: tuple[str, ...]) -> str:
    """Say what is allowed where marshmallow only says that something is not."""
    if line != "Unknown field.":
        return line
    sections = {"redis": RedisSchema, "limiter": LimiterSchema}
    schema: type[Schema] = SettingsSchema if len(path) == 1 else sections.get(path[0], AccountSchema)
    if schema is AccountSchema and len(path) > ACCOUNT_DEPTH + 1:
        schema = LimitsSchema
    return f"is not a known key; allowed: {', '.join(schema().fields)}"
