"""Percentiles, ratios and their spread; pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle, the least and the greatest of some samples, in their unit."""

    middle: float
    least: float
    greatest: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Spread":
        """Sum up *samples*.  Raises ValueError if there is none."""
        if not samples:
            raise ValueError("no samples")
        return cls(median(samples), min(samples), max(samples))

    def words(self, unit: str = "") -> str:
        """Write it as ``2.50x (2.41 to 2.63)``."""
        return f"{self.middle:.2f}{unit} ({self.least:.2f} to {self.greatest:.2f})"


def percentile(samples: Sequence[float], share: float) -> float:
    """Give the smallest sample that at least *share* (0 to 1) of all *samples* do not exceed (the nearest rank).

    Never interpolates, so that a p99 is a time that was really taken.  Raises ValueError if there is no sample.
    """
    if not samples or not 0 <= share <= 1:
        raise ValueError("a percentile needs samples and a share from 0 to 1")
    rank = max(1, math.ceil(share * len(samples)))
    return sorted(samples)[rank - 1]


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Give how many times *theirs* our figure was, round by round.

    Raises ValueError unless both have one figure a round: what was measured at different times is not compared.
    """
    return Spread.of([mine / other for mine, other in zip(ours, theirs, strict=True)])


def ideal_span_s(calls: int, units: int, per_s: float) -> float:
    """Say in what time from the first call to the last *calls* may be made at best, with *units* in any *per_s*."""
    return (max(calls, 1) - 1) // units * per_s


def share_of_schedule(at_s: Sequence[float], units: int, per_s: float) -> float:
    """Give the ideal span of the calls made at *at_s* (seconds, in any order) as a share of their real span.

    Raises ValueError for calls that fit into one window, which have no ideal.
    """
    ideal_s = ideal_span_s(len(at_s), units, per_s)
    if ideal_s == 0:
        raise ValueError("calls that fit into one window show nothing")
    return ideal_s / (max(at_s) - min(at_s))
