"""Many at once: threads that start together, and processes of their own."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing.synchronize import Barrier
from types import FrameType
from typing import Generic, TypeVar

from sqlalchemy import text

from bridge.db import Ledger, batch_writer, write_lock
from tests.support.servers import START_WITHIN, wait_until

_Result = TypeVar("_Result")
_barriers: list[Barrier] = []  # of a process of a crew: the one where it meets the other


def wait_until_queued(threads: int) -> None:
    """Return when so many threads of this process have something to commit for an issuance.

    While they are held up, the first has begun to commit what it brought; the others are next, and together.
    """
    wait_until(lambda: _queued() == threads, f"{threads} threads that have something to commit")


def _queued() -> int:
    return sum(_is_in(frame, batch_writer.__file__) for frame in sys._current_frames().values())


def _is_in(frame: FrameType | None, file: str) -> bool:
    """Whether what is carried out there was called from a file's code."""
    while frame is not None and frame.f_code.co_filename != file:
        frame = frame.f_back
    return frame is not None


def at_once(threads: int, work: Callable[[int], _Result]) -> Sequence[_Result]:
    """What `work` returns in each of so many threads, each given its number, that start together."""
    barrier = threading.Barrier(threads)

    def start(number: int) -> _Result:
        barrier.wait(START_WITHIN)
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(start, range(threads)))


class Crew:
    """Two processes that share nothing with the test but the database."""

    def __init__(self) -> None:
        # Spawned, as a worker is: a fork would inherit the test's connections.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(
            2, mp_context=context, initializer=_begin, initargs=(context.Barrier(2),)
        )

    def at_once(
        self, url: str, work: Callable[[Ledger, int], _Result], *, threads: int = 4
    ) -> Sequence[_Result]:
        """What `work` (a function of a module) returns in each thread of each process; all start together."""
        both = [self._pool.submit(_work, url, work, process * threads, threads) for process in range(2)]
        return [result for one in both for result in one.result(START_WITHIN)]

    def close(self) -> None:
        self._pool.shutdown()


def _begin(barrier: Barrier) -> None:
    _barriers.append(barrier)


def _work(url: str, work: Callable[[Ledger, int], _Result], first: int, threads: int) -> Sequence[_Result]:
    ledger = Ledger(url)
    ledger.check()
    try:
        _barriers[0].wait(START_WITHIN)
        return at_once(threads, lambda number: work(ledger, first + number))
    finally:
        ledger.close()


class Other(Generic[_Result]):
    """Somebody else, who does something in a thread of their own while the test goes on."""

    def __init__(self, work: Callable[[], _Result]) -> None:
        self._result: Future[_Result] = Future()
        self._thread = threading.Thread(target=partial(self._run, work), daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[], _Result]) -> None:
        try:
            self._result.set_result(work())
        except BaseException as error:  # it is the test's to judge
            self._result.set_exception(error)

    def wait_until_it_waits(self, ledger: Ledger) -> None:
        """Return when it waits for another transaction; fails if it has come to its end instead."""
        wait_until(lambda: self.has_ended() or self._waits(ledger), "a transaction that waits")
        assert not self.has_ended(), "it has waited for nobody"

    def has_ended(self) -> bool:
        return self._result.done()

    def result(self) -> _Result:
        """What it returned, or raised."""
        result = self._result.result(START_WITHIN)
        self._thread.join(START_WITHIN)
        return result

    def _waits(self, ledger: Ledger) -> bool:
        with ledger.read() as connection:
            if connection.dialect.name == "postgresql":
                waiting = text(
                    "SELECT count(*) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
                return bool(connection.execute(waiting).scalar_one())
        return self._waits_for_the_write_lock()

    def _waits_for_the_write_lock(self) -> bool:
        """Whether the thread waits in the code of SQLite's write lock."""
        innermost = sys._current_frames().get(self._thread.ident or 0)
        if innermost is None or innermost.f_code.co_qualname != "Condition.wait":
            return False
        return _is_in(innermost, write_lock.__file__)
