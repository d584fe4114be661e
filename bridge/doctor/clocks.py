"""Whether Space Invoices answers at all, and whether its clock and PostgreSQL's agree with this machine's."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from bridge.doctor.finding import Finding, Level, lasting

SPACE_INVOICES, POSTGRESQL = "Space Invoices", "PostgreSQL"  # whose clocks there are
TOLERANCE = timedelta(seconds=30)
PATIENCE = 10.0  # seconds for an answer, where SPACEBRIDGE_API_TIMEOUT allows more


class Watch:
    """This machine's clock: shows a given moment when it is made, and goes on from there."""

    def __init__(self, now: datetime) -> None:
        self._start = now
        self._started = time.monotonic()

    def now(self) -> datetime:
        """The time by now."""
        return self._start + timedelta(seconds=time.monotonic() - self._started)


def ahead(there: datetime, *, asked: datetime, answered: datetime) -> timedelta:
    """How far another clock is ahead of this machine's, given when it was asked and had answered by that one.

    Whatever it showed in between is no difference.
    """
    return there - min(max(there, asked), answered)


@dataclass(frozen=True, slots=True)
class Greeting:
    """What became of a request without a token: why it failed, or how far the API's clock is ahead."""

    problem: str | None = None
    clock_ahead: timedelta | None = None


def greet(api_url: str, *, timeout: float, watch: Watch) -> Greeting:
    """Ask the API for anything. Its clock is in every answer, be it a refusal (RFC 9110, 6.6.1)."""
    asked = watch.now() - timedelta(seconds=1)  # the header knows no fractions of a second
    try:
        with requests.get(
            api_url,
            timeout=timeout,
            allow_redirects=False,
            stream=True,
            headers={"Cache-Control": "no-cache"},  # an answer kept by a proxy shows an old time
        ) as answer:
            date = answer.headers.get("Date", "")
    except (requests.RequestException, HTTPError, ValueError) as error:
        # Its text would quote the address, which may hold a password.
        return Greeting(problem=type(error).__name__)
    try:
        there = parsedate_to_datetime(date)
        there = there.replace(tzinfo=there.tzinfo or UTC)
    except (ValueError, OverflowError):
        return Greeting()
    return Greeting(clock_ahead=ahead(there, asked=asked, answered=watch.now()))


def compare(clocks: Mapping[str, timedelta | None]) -> Finding:
    """This machine's clock beside others: how far each is ahead, None where that was not told."""
    read = {whose: by for whose, by in clocks.items() if by is not None}
    if not read:
        return Finding(
            "clock",
            Level.WARNING,
            "There was no other clock to compare this machine's with.",
            "Compare what `date --utc` shows with a clock that is right.",
        )
    apart = {whose: by for whose, by in read.items() if abs(by) > TOLERANCE}
    if not apart:
        return Finding("clock", Level.OK, f"This machine's clock agrees with that of {' and '.join(read)}.")
    differences = " and ".join(
        f"{lasting(abs(by))} {'behind' if by > timedelta(0) else 'ahead of'} that of {whose}"
        for whose, by in apart.items()
    )
    # Space Invoices is never the one to be mended; PostgreSQL is, where it stands alone.
    where = "PostgreSQL's machine" if set(apart) == {POSTGRESQL} and len(read) > 1 else "this machine"
    mend = f"On {where}: timedatectl set-ntp true"
    return Finding("clock", Level.WRONG, f"This machine's clock is {differences}.", mend)


def shown(url: str) -> str:
    """An address without the user and the password in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
