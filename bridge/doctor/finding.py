"""A finding, and the words that findings have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from bridge.settings import SettingsError


class Level(StrEnum):
    """How bad a finding is; `wrong` is what has to be mended."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was found there, and what to do about it. `store` is its name, if it is one's.

    No part of it holds a secret or a customer's data.
    """

    check: str
    level: Level
    message: str
    mend: str | None = None
    store: str | None = None


def of_wrong_setting(error: SettingsError) -> Finding:
    """A setting that is wrong or missing. The last sentence of such an error is its mend."""
    problem, _, mend = str(error).rpartition(". ")
    return Finding("settings", Level.WRONG, f"{problem}.", mend)


def lasting(span: timedelta | float) -> str:
    """A span of time, or so many seconds, as people say it: in the largest unit that it is two of."""
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return "1 second" if round(seconds) == 1 else f"{seconds:.0f} seconds"


def enumerated(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return ", ".join(names)
