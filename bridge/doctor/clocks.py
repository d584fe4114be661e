"""Checks whether Space Invoices answers, and whether its clock and PostgreSQL's agree with this machine's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from bridge.doctor.finding import Finding, Level, format_duration

SPACE_INVOICES, POSTGRESQL = "Space Invoices", "PostgreSQL"  # the other clocks
TOLERANCE = timedelta(seconds=30)
API_TIMEOUT = 10.0  # seconds, if SPACEBRIDGE_API_TIMEOUT is longer

Clock = Callable[[], datetime]  # returns the current time


def clock_from(now: datetime) -> Clock:
    """This machine's clock. It starts at a given time, and is not set again while it runs."""
    started = time.monotonic()
    return lambda: now + timedelta(seconds=time.monotonic() - started)


def ahead(theirs: datetime, *, asked: datetime, answered: datetime) -> timedelta:
    """How far another clock is ahead of this machine's.

    This machine's clock showed `asked` before `theirs` was read, and `answered` after that. A time between
    the two is no difference.
    """
    return theirs - min(max(theirs, asked), answered)


@dataclass(frozen=True, slots=True)
class ApiObservation:
    """The result of a request without a token: why it failed, or how far the API's clock is ahead."""

    problem: str | None = None
    clock_ahead: timedelta | None = None


def observe_api(api_url: str, *, timeout: float, clock: Clock) -> ApiObservation:
    """Send the API a request. Its clock is in every response, also in a refusal (RFC 9110, 6.6.1)."""
    asked = clock() - timedelta(seconds=1)  # the header has no fractions of a second
    try:
        with requests.get(
            api_url,
            timeout=timeout,
            allow_redirects=False,
            stream=True,
            headers={"Cache-Control": "no-cache"},  # a cached response has an old time
        ) as response:
            date = response.headers.get("Date", "")
    except (requests.RequestException, HTTPError, ValueError) as error:
        # Its text would quote the address, which may hold a password.
        return ApiObservation(problem=type(error).__name__)
    try:
        theirs = parsedate_to_datetime(date)
        theirs = theirs.replace(tzinfo=theirs.tzinfo or UTC)
    except (ValueError, OverflowError):
        return ApiObservation()
    return ApiObservation(clock_ahead=ahead(theirs, asked=asked, answered=clock()))


def check_clocks(clocks: Mapping[str, timedelta | None]) -> Finding:
    """Compare this machine's clock with others: how far each is ahead, None if it could not be read."""
    known = {name: offset for name, offset in clocks.items() if offset is not None}
    if not known:
        return Finding(
            "clock",
            Level.WARNING,
            "There was no other clock to compare this machine's with.",
            "Compare what `date --utc` shows with a clock that is right.",
        )
    apart = {name: offset for name, offset in known.items() if abs(offset) > TOLERANCE}
    if not apart:
        return Finding("clock", Level.OK, f"This machine's clock agrees with that of {' and '.join(known)}.")
    differences = " and ".join(
        f"{format_duration(abs(offset))} {'behind' if offset > timedelta(0) else 'ahead of'} that of {name}"
        for name, offset in apart.items()
    )
    # An operator cannot mend Space Invoices. PostgreSQL is wrong if only its clock is apart.
    where = "PostgreSQL's machine" if set(apart) == {POSTGRESQL} and len(known) > 1 else "this machine"
    mend = f"On {where}: timedatectl set-ntp true"
    return Finding("clock", Level.WRONG, f"This machine's clock is {differences}.", mend)


def without_credentials(url: str) -> str:
    """An address without user, password and query."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
