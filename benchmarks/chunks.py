"""Cuts a list into chunks; pure."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def chunked(things: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Give *things* in their order, *size* at a time; the last chunk may be smaller."""
    return (things[start : start + size] for start in range(0, len(things), size))
