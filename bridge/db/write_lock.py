"""WriteLock: one thread at a time writes to an SQLite ledger, first come, first served."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from bridge.db.errors import LedgerUnavailableError


class WriteLock:
    """A fair lock for all threads of all processes that use the same file `path`.

    SQLite's own busy handler polls, so under load some writers starve while others pass them. Here the
    threads of a process queue in memory, and the first of them waits for a lock on the file: the kernel
    queues the waiters of flock(), and releases the lock of a process that dies.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queues: dict[int, _Queue] = {}

    @contextmanager
    def hold(self, *, timeout: float | None) -> Iterator[None]:
        """Hold the lock for the block.

        Raises LedgerUnavailableError if it is not acquired within `timeout` seconds; None waits for ever.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        # A queue for each process: the threads that wait before a fork do not exist after it.
        queue = self._queues.setdefault(os.getpid(), _Queue())
        turn = queue.join()
        try:
            is_first = turn is None or turn.wait(timeout)
            descriptor = self._lock(deadline) if is_first else None
            if descriptor is None:
                raise LedgerUnavailableError(f"{self._path}: others went on writing for {timeout} seconds")
            try:
                yield
            finally:
                # Closing alone would not release it while a child that was just forked has a copy of the
                # descriptor.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
                os.close(descriptor)
        finally:
            queue.leave(turn)

    def _lock(self, deadline: float | None) -> int | None:
        """Open and lock the file; returns its descriptor, or None if the deadline passed."""
        try:
            # Opened each time, since a flock belongs to an open file and not to a thread.
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return descriptor if _flock_until(deadline, descriptor) else None
        except OSError as error:
            raise LedgerUnavailableError(f"{self._path}: {error.strerror}") from error
        return descriptor


class _Queue:
    """The threads of one process that want the lock, in the order of arrival. The first has its turn."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event | None] = deque()

    def join(self) -> threading.Event | None:
        """Join the queue. Returns an event that is set when the thread is first, or None if it is already."""
        with self._lock:
            turn = threading.Event() if self._waiting else None
            self._waiting.append(turn)
        return turn

    def leave(self, turn: threading.Event | None) -> None:
        """Leave the queue, after the lock was held or the wait timed out."""
        with self._lock:
            self._waiting.remove(turn)
            if self._waiting and (first := self._waiting[0]) is not None:
                first.set()


def _flock_until(deadline: float | None, descriptor: int) -> bool:
    """Wait for the lock on an open file; returns whether it was acquired before the deadline.

    flock() has no timeout, so another thread calls it. If that thread gets the lock too late, it closes the
    file, which releases the lock.
    """
    lock: Future[None] = Future()
    threading.Thread(target=_flock, args=(lock, descriptor), name="flock", daemon=True).start()
    try:
        lock.result(None if deadline is None else deadline - time.monotonic())
    except TimeoutError:
        return not lock.cancel()  # which fails if the lock was acquired at the last moment
    return True


def _flock(lock: Future[None], descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    if lock.set_running_or_notify_cancel():
        lock.set_result(None)
    else:
        os.close(descriptor)
