"""What a row of the benchmark is: its table, its raw samples, its faults, and how it stands to the targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Cells = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """A figure beside what it was to be: at least ``bound``, or at most with ``at_most``."""

    measure: str
    figure: float
    bound: float
    unit: str = ""
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Say whether the figure is as good as it was to be."""
        return self.figure <= self.bound if self.at_most else self.figure >= self.bound


@dataclass(frozen=True, slots=True)
class Row:
    """One row. It counts only if it has no ``faults``; ``note`` is for the reader, ``samples`` for programs."""

    name: str
    title: str
    header: Cells
    lines: Sequence[Cells]
    samples: Mapping[str, Any]
    faults: Sequence[str]
    targets: Sequence[Target] = ()
    note: str = ""

    @property
    def counts(self) -> bool:
        """Say whether the simulator's counters agree with it."""
        return not self.faults
