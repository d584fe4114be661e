"""Pauses of threads that a test begins and ends."""

from __future__ import annotations

import threading


class Pauses:
    """Pauses that last until the test says so."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.lengths: list[float] = []
        self._over = threading.Semaphore(0)

    def sleep(self, seconds: float) -> None:
        self.lengths.append(seconds)
        self.begun.release()
        self._over.acquire()

    def wait_for_one(self) -> None:
        assert self.begun.acquire(timeout=30)

    def end_one(self) -> None:
        self._over.release()
