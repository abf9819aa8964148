"""Output whose reader may leave early (`ripcord list | head`): a command then ends as it would have ended."""

import io
import os
import sys
from typing import Any


class ForgivingPipe(io.FileIO):
    """A file descriptor that takes everything, also when nobody reads it any more."""

    def write(self, data: Any) -> int:
        """Write *data*, or throw it away if the reader is gone."""
        try:
            return super().write(data)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return len(data)


def forgive_broken_pipes() -> None:
    """Have this process's standard output and error outlive their readers; what replaces them is left alone."""
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        sys.stdout = _forgiving(sys.stdout, lines=sys.stdout.line_buffering)
    if sys.stderr is sys.__stderr__ and sys.stderr is not None:
        sys.stderr = _forgiving(sys.stderr, lines=True)  # what is told there is not kept back


def _forgiving(stream: Any, *, lines: bool) -> io.TextIOWrapper:
    stream.flush()
    raw = ForgivingPipe(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, stream.errors, line_buffering=lines)
