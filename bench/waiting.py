"""Waiting for other processes so seldom that it does not disturb what is measured."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_for(condition: Callable[[], bool], *, every: float, within: float, what: str) -> None:
    """Wait, and look again `every` so many seconds; raises TimeoutError that says what did not come about."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come about within {within:.0f} s")
        time.sleep(every)
