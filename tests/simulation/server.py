"""The same commands on a real server; what expires there does so by the simulation's clock."""

from collections.abc import Iterable, Sequence
from typing import Any

from redis import Redis

NOTES = 2  # arguments of SET before its options
# What a script lets expire would do so by the server's clock, and the simulation's runs at another pace.
NOTHING_EXPIRES = """
local server = redis
local redis = { call = function(name, ...)
  if name == 'PEXPIRE' then return 1 end
  return server.call(name, ...)
end }
"""
NOW = "simulation:now"  # what a script on the server has for a clock
SIMULATED_TIME = f"""
local expiring = redis
local redis = {{ call = function(name, ...)
  if name ~= 'TIME' then return expiring.call(name, ...) end
  local now_ms = tonumber(expiring.call('GET', '{NOW}'))
  return {{ math.floor(now_ms / 1000), now_ms % 1000 * 1000 }}
end }}
"""


class Server:
    """A real Redis in the place of the one in memory."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url, decode_responses=True)
        self._plain = Redis.from_url(url)
        self._scripts: dict[str, Any] = {}
        self._expires: dict[str, int] = {}
        self._now_ms = 0

    def reset(self) -> None:
        """Forget everything."""
        self._redis.flushall()
        self._expires.clear()

    def at(self, ms: int) -> None:
        """Move the clock, and let go of what has expired since."""
        self._now_ms = ms
        for key in [key for key, at_ms in self._expires.items() if at_ms <= ms]:
            self._redis.delete(key)
            del self._expires[key]

    def command(self, name: str, *args: object) -> Any:
        """Run one command; the reply is as Redis' own protocol has it."""
        given = [str(arg) for arg in args]
        if name in {"SET", "PEXPIRE"}:
            return self._expiring(name, given)
        if name == "DEL":
            self._expires.pop(given[0], None)
        found = self._redis.execute_command(name, *given)
        if name in {"SMEMBERS", "SRANDMEMBER", "KEYS"}:
            return sorted(found)
        if isinstance(found, dict):
            return [part for pair in found.items() for part in pair]
        if name == "XRANGE":
            return [[entry, [part for pair in fields.items() for part in pair]] for entry, fields in found]
        if name == "ZSCORE" and found is not None:
            return f"{found:.0f}"
        return found

    def commands(self, every: Iterable[Sequence[object]]) -> Any:
        """Run one command after the other."""
        return [self.command(str(name), *args) for name, *args in every]

    def _expiring(self, name: str, given: list[str]) -> Any:
        key = given[0]
        if name == "PEXPIRE":
            found = int(bool(self._redis.exists(key)))
            if found:
                self._expires[key] = self._now_ms + int(given[1])
            return found
        options = given[NOTES:]
        taken = self._redis.set(key, given[1], nx="NX" in options)
        if taken:
            self._expires[key] = self._now_ms + int(options[options.index("PX") + 1])
        return "OK" if taken else None

    def script(self, text: str, keys: Sequence[str], args: Sequence[object]) -> Any:
        """Run a script."""
        script = self._scripts.get(text) or self._scripts.setdefault(
            text, self._redis.register_script(NOTHING_EXPIRES + SIMULATED_TIME + text)
        )
        self._redis.set(NOW, self._now_ms)
        return script(keys=keys, args=[str(arg) for arg in args])

    def snapshot(self) -> Any:
        """Copy everything."""
        found: Any = self._plain.keys()
        return {key: (self._plain.dump(key), max(0, self._plain.pttl(key))) for key in found}, dict(self._expires)

    def restore(self, kept: Any) -> None:
        """Go back to a copy."""
        dumped, expires = kept
        self._plain.flushdb()
        for key, (value, ttl_ms) in dumped.items():
            self._plain.restore(key, ttl_ms, value)
        self._expires = dict(expires)

    def faults(self, forgetful: bool) -> list[str]:
        """Say nothing: the structure was looked at in memory, and the two tell the same."""
        return []

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
        self._plain.close()
