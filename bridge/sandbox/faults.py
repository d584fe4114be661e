"""Faults on purpose: failures by share, and the rate limit."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from random import Random

WINDOW = 1.0  # seconds


class Failures:
    """Picks the requests that fail, and the status of each."""

    def __init__(self, shares: Mapping[int, float], random: Random) -> None:
        """`shares`: the share (0 to 1) of each status (400 to 599); raises ValueError for any other."""
        for status, share in shares.items():
            if not 400 <= status <= 599:
                raise ValueError(f"a request cannot fail with status {status}: give one from 400 to 599")
            if not 0 <= share <= 1:
                raise ValueError(f"the share of status {status} is {share}: give one from 0 to 1")
        if sum(shares.values()) > 1 + 1e-9:  # in floats, 0.7 + 0.2 + 0.1 is slightly off 1
            raise ValueError("the shares of the failures add up to more than 1")
        self._shares = tuple(shares.items())
        self._random = random

    def pick(self) -> int | None:
        """The status with which the next request fails; None if it may succeed."""
        if not self._shares:
            return None
        draw = self._random.random()
        for status, share in self._shares:
            if draw < share:
                return status
            draw -= share
        return None


class RateLimit:
    """Admits at most `rate` requests in any second. Thread-safe."""

    def __init__(self, rate: float, monotonic: Callable[[], float]) -> None:
        """`rate`: at least 1, or infinite; raises ValueError for less. `monotonic`: a clock in seconds."""
        if not rate >= 1:
            raise ValueError(f"a rate limit of {rate} requests a second would admit none: give 1 or more")
        self._rate = rate
        self._monotonic = monotonic
        self._admitted: deque[float] = deque()
        self._lock = threading.Lock()

    def admit(self) -> bool:
        """Whether the next request is within the limit; a refused request does not count."""
        with self._lock:
            now = self._monotonic()
            while self._admitted and self._admitted[0] <= now - WINDOW:
                self._admitted.popleft()
            if len(self._admitted) + 1 > self._rate:
                return False
            self._admitted.append(now)
            return True
