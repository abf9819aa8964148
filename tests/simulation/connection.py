"""What a worker has for a connection to Redis: every command gives way to others, and may go wrong."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import redis

if TYPE_CHECKING:
    from tests.simulation.world import World

from tests.simulation.threads import Process

ATTEMPTS: Final = 60  # of a patient connection, as of a worker's


@dataclass(frozen=True, slots=True)
class Connection:
    """The methods of redis-py that the product calls."""

    world: "World"
    process: Process
    patient: bool = False

    def _do(self, name: str, *args: object) -> Any:
        return self._try(lambda: self.world.command(name, *args), name)

    def _try(self, work: Any, label: str) -> Any:
        for attempt in range(1, ATTEMPTS if self.patient else 2):
            try:
                return self.world.carry_out(work, label)
            except redis.RedisError:
                if not self.patient or attempt == ATTEMPTS - 1:
                    raise
                self.world.scheduler.sleep(min(1_000, 50 << min(attempt, 6)))
        raise AssertionError

    def register_script(self, text: str) -> Any:
        name = self.world.script_name(text)

        def run(keys: list[str], args: list[Any]) -> Any:
            return self._try(lambda: self.world.run_script(name, text, keys, args), name)

        return run

    def pipeline(self, transaction: bool = True) -> "Pipeline":
        return Pipeline(self, [])

    def hget(self, key: str, name: str) -> Any:
        return self._do("HGET", key, name)

    def hset(self, key: str, name: str, value: object) -> Any:
        return self._do("HSET", key, name, value)

    def hmget(self, key: str, *names: Any) -> Any:
        flat = names[0] if len(names) == 1 and not isinstance(names[0], str) else names
        return self._do("HMGET", key, *flat)

    def hgetall(self, key: str) -> dict[str, str]:
        return pairs(self._do("HGETALL", key))

    def hdel(self, key: str, name: str) -> Any:
        return self._do("HDEL", key, name)

    def hscan_iter(self, key: str, count: int) -> Any:
        return iter(self.hgetall(key).items())

    def smembers(self, key: str) -> Any:
        return self._do("SMEMBERS", key)

    def srandmember(self, key: str, number: int) -> Any:
        return sorted(self._do("SRANDMEMBER", key, number))

    def zrange(self, key: str, start: int, end: int) -> Any:
        return self._do("ZRANGE", key, start, end)

    def zrangebyscore(self, key: str, least: str, most: int, start: int, num: int) -> Any:
        return self._do("ZRANGEBYSCORE", key, least, most)[start : start + num]

    def zremrangebyscore(self, key: str, least: str, most: int) -> Any:
        return self._do("ZREMRANGEBYSCORE", key, least, most)

    def exists(self, key: str) -> Any:
        return self._do("EXISTS", key)

    def get(self, key: str) -> Any:
        return self._do("GET", key)

    def set(self, key: str, value: str, *, nx: bool = False, px: int) -> Any:
        return self._do("SET", key, value, "PX", px, *(["NX"] if nx else []))

    def pexpire(self, key: str, ms: int) -> Any:
        return self._do("PEXPIRE", key, ms)

    def delete(self, key: str) -> Any:
        return self._do("DEL", key)

    def xadd(self, key: str, fields: Mapping[str, object], *, maxlen: int, approximate: bool) -> Any:
        return self._do("XADD", key, "MAXLEN", "~", maxlen, "*", *(part for pair in fields.items() for part in pair))

    def xrange(self, key: str) -> list[tuple[str, dict[str, str]]]:
        return [(entry, pairs(flat)) for entry, flat in self._do("XRANGE", key, "-", "+")]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Several commands at once."""

    connection: Connection
    commands: list[tuple[object, ...]]

    def hset(self, key: str, name: str, value: object) -> None:
        self.commands.append(("HSET", key, name, value))

    def hmget(self, key: str, *names: str) -> None:
        self.commands.append(("HMGET", key, *names))

    def execute(self) -> list[Any]:
        found: list[Any] = self.connection._try(lambda: self.connection.world.commands(self.commands), "pipeline")
        return found


def pairs(flat: list[str]) -> dict[str, str]:
    """Make a dictionary of a flat list."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
