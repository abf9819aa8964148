"""Redis in memory: the tables and the scripts live in one Lua, and a command costs some microseconds."""

from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from typing import Any, Final

try:
    import lupa.luajit20 as lupa  # a third faster than the Lua that Redis has, and the schedules are the same
except ImportError:
    import lupa.lua51 as lupa


class Memory:
    """The commands that ripcord uses, under a clock that ``at`` moves."""

    def __init__(self, before_scripts: str = "") -> None:
        """*before_scripts* is Lua that is put in front of every script."""
        self._before = before_scripts
        self._lua = lupa.LuaRuntime(unpack_returned_tuples=True)
        self._tables: Any = self._lua.execute(_text("memory"))
        self._structure: Any = self._lua.execute(_text("structure"))(self._tables.db)
        self._command: Any = self._tables.command
        self._commands: Any = self._tables.commands
        self._run: Any = self._tables.run
        self._compiled: dict[str, Any] = {}
        self._now_ms = 0

    def reset(self) -> None:
        """Forget everything."""
        self._tables.reset()
        self._now_ms = 0

    def at(self, ms: int) -> None:
        """Move the clock."""
        if ms != self._now_ms:
            self._now_ms = ms
            self._tables.at(ms)

    def command(self, name: str, *args: object) -> Any:
        """Run one command; the reply is as Redis' own protocol has it."""
        return _reply(self._command(name, *map(str, args)))

    def commands(self, every: Iterable[Sequence[object]]) -> Any:
        """Run one command after the other."""
        flat: list[object] = []
        for one in every:
            flat.append(len(one))
            flat += map(str, one)
        return _reply(self._commands(*flat))

    def script(self, text: str, keys: Sequence[str], args: Sequence[object]) -> Any:
        """Run a script."""
        compiled = self._compiled.get(text) or self._compiled.setdefault(
            text, self._tables.compile(self._before + text)
        )
        return _reply(self._run(compiled, *keys, *map(str, args)))

    def snapshot(self) -> Any:
        """Copy everything."""
        return self._tables.snapshot()

    def restore(self, kept: Any) -> None:
        """Go back to a copy."""
        self._tables.restore(kept)

    def faults(self, forgetful: bool) -> list[str]:
        """Say what is wrong with the structure; *forgetful* if a plan may be lost in part."""
        found: list[str] = _reply(self._structure(forgetful))
        return found

    def close(self) -> None:
        """Nothing is open."""


_Table: Final = type(lupa.LuaRuntime().table())


def _reply(found: Any) -> Any:
    if type(found) is _Table:
        return [_reply(one) for one in found.values()]
    return None if found is False else found


@cache
def _text(name: str) -> str:
    return resources.files("tests.simulation").joinpath(f"{name}.lua").read_text(encoding="utf-8")
