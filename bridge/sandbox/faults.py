"""What goes wrong on purpose: failures by share, and the limit on requests per second."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from random import Random

WINDOW = 1.0  # seconds


class Failures:
    """Picks the requests that fail, and the status each fails with."""

    def __init__(self, shares: Mapping[int, float], random: Random) -> None:
        """`shares` maps an HTTP status (400 to 599) to its share, 0 to 1; raises ValueError otherwise."""
        for status, share in shares.items():
            if not 400 <= status <= 599:
                raise ValueError(f"a request cannot fail with status {status}: give one from 400 to 599")
            if not 0 <= share <= 1:
                raise ValueError(f"the share of status {status} is {share}: give one from 0 to 1")
        if sum(shares.values()) > 1 + 1e-9:  # 0.7 + 0.2 + 0.1 is a hair off 1
            raise ValueError("the shares of the failures add up to more than 1")
        self._shares = tuple(shares.items())
        self._random = random

    def pick(self) -> int | None:
        """The status the next request fails with, or None if it may succeed."""
        if not self._shares:
            return None
        draw = self._random.random()
        for status, share in self._shares:
            if draw < share:
                return status
            draw -= share
        return None


class RateLimit:
    """Admits `rate` requests in any one second. Not safe for threads: its user holds a lock."""

    def __init__(self, rate: float, monotonic: Callable[[], float]) -> None:
        """`rate` is at least 1 and may be infinite, `monotonic` a clock in seconds; ValueError otherwise."""
        if not rate >= 1:
            raise ValueError(f"a rate limit of {rate} requests a second would admit none: give 1 or more")
        self._rate = rate
        self._monotonic = monotonic
        self._admitted: deque[float] = deque()

    def admit(self) -> bool:
        """Whether one more request is within the limit; a refused one does not count towards it."""
        now = self._monotonic()
        while self._admitted and self._admitted[0] <= now - WINDOW:
            self._admitted.popleft()
        if len(self._admitted) + 1 > self._rate:
            return False
        self._admitted.append(now)
        return True
