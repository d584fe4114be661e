"""Moments that are compared with a clock that may be set back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, overload

from sqlalchemy import ColumnElement


@overload
def has_passed(at: datetime, now: datetime, *, at_most: timedelta) -> bool: ...


@overload
def has_passed(at: ColumnElement[datetime], now: datetime, *, at_most: timedelta) -> ColumnElement[bool]: ...


def has_passed(at: Any, now: datetime, *, at_most: timedelta) -> Any:
    """Whether a moment has come that was set `at_most` so long ahead.

    One that lies further ahead was set by a clock that has been set back since, and would be waited for in
    vain.
    """
    return (at <= now) | (at > now + at_most)
