"""A finding, and how findings show durations and lists of names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from bridge.settings import SettingsError

WEBHOOKS = "WooCommerce > Settings > Advanced > Webhooks"  # where a person finds them in a shop


class Level(StrEnum):
    """How bad a finding is; only `wrong` has to be mended."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: its level, a message, and the mend, which says what to type or to do.

    `store` is the name of the store that it is about, if it is about one. No part of it holds a secret or
    personal data.
    """

    check: str
    level: Level
    message: str
    mend: str | None = None
    store: str | None = None


def settings_finding(error: SettingsError) -> Finding:
    """The finding for a setting that is wrong or missing. The last sentence of such an error is the mend."""
    problem, _, mend = str(error).rpartition(". ")
    return Finding("settings", Level.WRONG, f"{problem}.", mend)


def format_duration(duration: timedelta | float) -> str:
    """A duration, or a number of seconds, in the largest unit of which there are at least two."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return "1 second" if round(seconds) == 1 else f"{seconds:.0f} seconds"


def format_names(names: Sequence[str]) -> str:
    """The first few names, and the number of the others."""
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return ", ".join(names)
