"""Group commit: what waits to be written at the same time is written together, by one of those who wait."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from bridge.db.errors import LedgerUnavailableError

MOST_AT_ONCE = 64

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class BatchWriter(Generic[_Item, _Result]):
    """Commits what the threads of a process bring, in few transactions.

    Who comes while fewer than `width` are committing does so at once. Those who come meanwhile wait, and the
    first of them then commits for all: the longer a commit takes, the more share the next. There is no thread
    but theirs, so who comes alone waits for nobody.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[_Item]], Sequence[_Result]],
        *,
        width: int = 1,
        most: int = MOST_AT_ONCE,
    ) -> None:
        """`commit` writes up to `most` items in one transaction, and returns the result of each in order."""
        self._commit = commit
        self._width = width
        self._most = most
        self._lines: dict[int, _Line[_Item, _Result]] = {}

    def write(self, item: _Item) -> _Result:
        """The item's result, when it is committed.

        What `commit` raises is raised by whoever called it. The others, whose items failed with that one's,
        raise LedgerUnavailableError: theirs may be good, and trying again makes sense.
        """
        # A line for each process: the threads that stand in the one before a fork are not there after it.
        line = self._lines.setdefault(os.getpid(), _Line(self._width))
        mine = _Place[_Item, _Result](item)
        if line.is_called(mine):
            self._write_for_all(line, mine)
        if mine.result is None:
            raise LedgerUnavailableError("what was written together with others was not committed")
        return mine.result[0]

    def _write_for_all(self, line: _Line[_Item, _Result], mine: _Place[_Item, _Result]) -> None:
        others = line.take(self._most - 1)
        batch = [mine, *others]
        try:
            results = self._commit([place.item for place in batch])
            for place, result in zip(batch, results, strict=True):
                place.result = (result,)
        finally:
            # Whatever was raised: nobody may be left waiting. The next ones first, since the disk is idle.
            line.call_next()
            for place in others:
                place.wake()


class _Place(Generic[_Item, _Result]):
    """A thread's place in the line: what it brings, and what becomes of that."""

    __slots__ = ("_asleep", "is_called", "item", "result")

    def __init__(self, item: _Item) -> None:
        self.item = item
        self.result: tuple[_Result] | None = None
        self.is_called = False  # to commit
        # A bare lock, held until the thread is woken: an Event takes many times as long.
        self._asleep = threading.Lock()
        self._asleep.acquire()

    def wake(self) -> None:
        self._asleep.release()

    def sleep(self) -> None:
        self._asleep.acquire()


class _Line(Generic[_Item, _Result]):
    """The threads of one process that bring something, in the order they came."""

    def __init__(self, width: int) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[_Place[_Item, _Result]] = deque()
        self._free = width  # so many more may be committing; none if somebody waits

    def is_called(self, place: _Place[_Item, _Result]) -> bool:
        """Stand in line. True as soon as it is one's turn to commit; False when somebody else has."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            self._waiting.append(place)
        place.sleep()
        return place.is_called

    def take(self, most: int) -> Sequence[_Place[_Item, _Result]]:
        """Take the first ones who wait out of the line."""
        with self._lock:
            return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def call_next(self) -> None:
        """Have the first of those who wait commit for all that do then."""
        with self._lock:
            if not self._waiting:
                self._free += 1
                return
            place = self._waiting.popleft()
            place.is_called = True
            place.wake()
