"""WriteLock: whoever writes to an SQLite file does so one after the other, first come first served."""

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
    """The queue for a file, of all threads of all processes.

    SQLite's own busy handler polls, so under load some writers starve while others pass them. Here, the
    threads of a process stand in line, and the first of each waits for a lock on the file `path`: the
    kernel queues the waiters of flock(), and releases a dead process' lock.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[int, _Line] = {}

    @contextmanager
    def next(self, *, within: float | None) -> Iterator[None]:
        """A writer's turn, for the length of the block.

        Raises LedgerUnavailableError if it does not come within so many seconds; None: however long it takes.
        """
        until = None if within is None else time.monotonic() + within
        # A line for each process: the threads that stand in the one before a fork are not there after it.
        line = self._lines.setdefault(os.getpid(), _Line())
        me = line.join()
        try:
            is_head = me is None or me.wait(within)
            descriptor = self._lock(until) if is_head else None
            if descriptor is None:
                raise LedgerUnavailableError(f"{self._path}: others went on writing for {within} seconds")
            try:
                yield
            finally:
                # A copy of the descriptor, in a child just forked, would keep the lock beyond its closing.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
                os.close(descriptor)
        finally:
            line.leave(me)

    def _lock(self, until: float | None) -> int | None:
        """The file, opened and locked; None if that was not possible until then."""
        try:
            # Opened for each turn: a lock belongs to an open file, not to its user.
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return descriptor if _comes(descriptor, until) else None
        except OSError as error:
            raise LedgerUnavailableError(f"{self._path}: {error.strerror}") from error
        return descriptor


class _Line:
    """The threads of one process, in the order they came. The first has always been called."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event | None] = deque()

    def join(self) -> threading.Event | None:
        """Stand in line. The event is set when it is one's turn; None if it is already."""
        with self._lock:
            me = threading.Event() if self._waiting else None
            self._waiting.append(me)
        return me

    def leave(self, me: threading.Event | None) -> None:
        """Leave the line, be it as its head or because of a wait that was too long."""
        with self._lock:
            self._waiting.remove(me)
            if self._waiting and (first := self._waiting[0]) is not None:
                first.set()


def _comes(descriptor: int, until: float | None) -> bool:
    """Wait for the lock on an open file. If it does not come in time, the file is closed when it does.

    flock() knows no timeout, so a thread waits in our stead.
    """
    lock: Future[None] = Future()
    threading.Thread(target=_wait_for, args=(lock, descriptor), name="turn", daemon=True).start()
    try:
        lock.result(None if until is None else until - time.monotonic())
    except TimeoutError:
        return not lock.cancel()  # which fails where the lock has come at the last moment
    return True


def _wait_for(lock: Future[None], descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    if lock.set_running_or_notify_cancel():
        lock.set_result(None)
    else:
        os.close(descriptor)
