"""What comes out of a case: figures of both sides, a ratio, and whether it is where it is wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

_Figure = TypeVar("_Figure")


@dataclass(frozen=True, slots=True)
class Bound:
    """Where the comparison has to end: a ratio of the medians, or their difference."""

    at_least: float | None = None
    at_most: float | None = None
    is_difference: bool = False

    def admits(self, value: float) -> bool:
        """Whether the value is within."""
        low = self.at_least is None or value >= self.at_least
        high = self.at_most is None or value <= self.at_most
        return low and high

    def __str__(self) -> str:
        unit = "" if self.is_difference else "x"
        parts = [(">=", self.at_least), ("<=", self.at_most)]
        return " and ".join(f"{sign} {value:g}{unit}" for sign, value in parts if value is not None)


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table: a figure of each round, of the bridge and of its baseline.

    A baseline that is no measurement, such as a rate that was asked for, is one figure. Without a bound, the
    line is there to be read.
    """

    what: str
    unit: str
    measured: Sequence[float]
    baseline: Sequence[float]
    bound: Bound | None = None

    @property
    def comparison(self) -> float:
        """The ratio of the medians, or their difference if the bound is for that."""
        ours, theirs = median(self.measured), median(self.baseline)
        if self.bound is not None and self.bound.is_difference:
            return ours - theirs
        return ours / theirs if theirs else float("inf")

    @property
    def is_reached(self) -> bool:
        """Whether the bound, if there is one, is kept."""
        return self.bound is None or self.bound.admits(self.comparison)


def alternate(
    rounds: int, ours: Callable[[], _Figure], theirs: Callable[[], _Figure]
) -> tuple[Sequence[_Figure], Sequence[_Figure]]:
    """Measure the two in turn, each as often first as second; the figures of each."""
    of_ours, of_theirs = [], []
    for number in range(rounds):
        if number % 2:
            of_theirs.append(theirs())
            of_ours.append(ours())
        else:
            of_ours.append(ours())
            of_theirs.append(theirs())
    return of_ours, of_theirs
