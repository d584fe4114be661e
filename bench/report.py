"""Shows what was measured: a table for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich.table import Table

from bench.results import Result


@dataclass(frozen=True, slots=True)
class Ran:
    """A case that was run: its lines and, if it could not be carried out to its end, why."""

    name: str
    about: str
    results: Sequence[Result]
    seconds: float
    error: str | None = None

    @property
    def is_reached(self) -> bool:
        """Whether it ran to its end and kept all its bounds."""
        return self.error is None and all(result.is_reached for result in self.results)


def table_of(ran: Ran) -> Table:
    """The lines of one case."""
    title = f"{ran.name}: {ran.about} ({ran.seconds:.0f} s)"
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in ("median of", "bridge", "baseline", "ratio", "wanted", ""):
        table.add_column(name, justify="left" if name in {"median of", ""} else "right")
    for result in ran.results:
        bound = result.bound
        is_difference = bound is not None and bound.is_difference
        verdict = "" if bound is None else "[green]reached" if result.is_reached else "[red]MISSED"
        table.add_row(
            result.what,
            _figure(median(result.measured), result.unit),
            _figure(median(result.baseline), result.unit),
            f"{result.comparison:+.2f} {result.unit}" if is_difference else f"{result.comparison:.2f}x",
            "" if bound is None else str(bound),
            verdict,
        )
    if ran.error is not None:
        table.add_row(f"[red]failed: {ran.error}", "", "", "", "", "[red]FAILED")
    return table


def document_of(machine: Mapping[str, str], rans: Sequence[Ran], **plan: object) -> dict[str, Any]:
    """All of it, with the figures of each round."""
    return {
        "machine": machine,
        "plan": plan,
        "cases": [
            {
                "name": ran.name,
                "about": ran.about,
                "seconds": round(ran.seconds, 1),
                "error": ran.error,
                "results": [_document(result) for result in ran.results],
            }
            for ran in rans
        ],
    }


def _document(result: Result) -> dict[str, Any]:
    return {
        "what": result.what,
        "unit": result.unit,
        "measured": list(result.measured),
        "baseline": list(result.baseline),
        "measured_median": median(result.measured),
        "baseline_median": median(result.baseline),
        "comparison": result.comparison,
        "wanted": None if result.bound is None else str(result.bound),
        "reached": None if result.bound is None else result.is_reached,
    }


def _figure(value: float, unit: str) -> str:
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}".replace(" /", "/")
