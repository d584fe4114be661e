"""Group commit: writes that wait at the same time are committed together, by one of the waiting threads."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from bridge.db.errors import LedgerUnavailableError

MAX_BATCH_SIZE = 64

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class BatchWriter(Generic[_Item, _Result]):
    """Commits the items of a process' threads in few transactions.

    A thread that arrives while fewer than `concurrency` are committing commits at once. Those that arrive
    meanwhile wait, and the first of them then commits for all: the longer a commit takes, the more items
    share the next. There is no extra thread and no timer, so an item that arrives alone does not wait.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[_Item]], Sequence[_Result]],
        *,
        concurrency: int = 1,
        max_batch_size: int = MAX_BATCH_SIZE,
    ) -> None:
        """`commit` writes up to `max_batch_size` items in one transaction, and returns a result for each."""
        self._commit = commit
        self._concurrency = concurrency
        self._max_batch_size = max_batch_size
        self._queues: dict[int, _Queue[_Item, _Result]] = {}

    def write(self, item: _Item) -> _Result:
        """Return the item's result after it is committed.

        1. If fewer than `concurrency` threads are committing, the calling thread commits its item at once.
        2. Otherwise it waits in the queue, until another thread has committed the item with its own.
        3. Or until it is the first in the queue when a commit ends: it takes the next ones out of the queue
           and commits all of them. When it is done, it wakes the next first, and then those it took.

        An exception of `commit` is raised by the thread that called it. The other threads of that batch raise
        LedgerUnavailableError: their items may be good, and trying again makes sense.
        """
        # A queue for each process: the threads that wait before a fork do not exist after it.
        queue = self._queues.setdefault(os.getpid(), _Queue(self._concurrency))
        write = _Write[_Item, _Result](item)
        if queue.must_commit(write):
            self._commit_batch(queue, write)
        if write.result is None:
            raise LedgerUnavailableError("what was written together with others was not committed")
        return write.result[0]

    def _commit_batch(self, queue: _Queue[_Item, _Result], write: _Write[_Item, _Result]) -> None:
        others = queue.take(self._max_batch_size - 1)
        batch = [write, *others]
        try:
            results = self._commit([each.item for each in batch])
            for each, result in zip(batch, results, strict=True):
                each.result = (result,)
        finally:
            # Whatever was raised, no thread may be left waiting. The next commit first: the disk is idle.
            queue.start_next()
            for each in others:
                each.wake()


class _Write(Generic[_Item, _Result]):
    """An item that a thread writes, and its result."""

    __slots__ = ("_asleep", "item", "must_commit", "result")

    def __init__(self, item: _Item) -> None:
        self.item = item
        self.result: tuple[_Result] | None = None
        self.must_commit = False
        # A bare lock, held until the thread is woken: an Event takes many times as long.
        self._asleep = threading.Lock()
        self._asleep.acquire()

    def wake(self) -> None:
        self._asleep.release()

    def sleep(self) -> None:
        self._asleep.acquire()


class _Queue(Generic[_Item, _Result]):
    """The writes of one process that wait for a commit, in the order of arrival."""

    def __init__(self, concurrency: int) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[_Write[_Item, _Result]] = deque()
        self._free = concurrency  # how many more commits may begin; 0 while a write waits

    def must_commit(self, write: _Write[_Item, _Result]) -> bool:
        """Wait for a commit. Returns True if the calling thread has to do it, False if another thread has."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            self._waiting.append(write)
        write.sleep()
        return write.must_commit

    def take(self, limit: int) -> Sequence[_Write[_Item, _Result]]:
        """Remove the first writes from the queue, and return them."""
        with self._lock:
            return [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]

    def start_next(self) -> None:
        """Wake the first write's thread to do the next commit."""
        with self._lock:
            if not self._waiting:
                self._free += 1
                return
            write = self._waiting.popleft()
            write.must_commit = True
            write.wake()
