"""The threads of this process that take tasks: how many have nothing to do, and could share some work."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

_Item = TypeVar("_Item")


class Crew:
    """So many threads, which say when they are at work."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._at_work = 0
        self._lock = threading.Lock()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The calling thread has something to do for as long as the block takes."""
        with self._lock:
            self._at_work += 1
        try:
            yield
        finally:
            with self._lock:
                self._at_work -= 1

    def share(self, items: Sequence[_Item]) -> Sequence[Sequence[_Item]]:
        """The items in parts of about the same length: one for the caller, one for each idle thread.

        None is empty but the caller's, if there are no items.
        """
        return parts(items, most=1 + self.idle()) or [[]]

    def idle(self) -> int:
        """How many threads have nothing to do."""
        return max(0, self.size - self._at_work)


def parts(items: Sequence[_Item], *, most: int) -> Sequence[Sequence[_Item]]:
    """The items in so many parts at most, none of them empty."""
    number = min(most, len(items))
    return [items[start::number] for start in range(number)]
