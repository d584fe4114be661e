"""The batch writer: writes that wait at the same time share a commit, and none returns before its own."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from queue import SimpleQueue

import pytest

from bridge.db import LedgerUnavailableError
from bridge.db.batch_writer import BatchWriter
from tests.support.crowds import Other
from tests.support.servers import wait_until

WITHIN = 10  # seconds in which what is to happen has happened


class Disk:
    """Commits when the test lets it, and keeps what it committed, batch by batch."""

    def __init__(self, *, concurrency: int = 1, max_batch_size: int = 64) -> None:
        self.begun: SimpleQueue[list[int]] = SimpleQueue()
        self.may_end = threading.Semaphore(0)
        self.fails_with: BaseException | None = None
        self.writer = BatchWriter(self._commit, concurrency=concurrency, max_batch_size=max_batch_size)

    def _commit(self, items: Sequence[int]) -> Sequence[str]:
        self.begun.put(list(items))
        assert self.may_end.acquire(timeout=WITHIN)
        if self.fails_with is not None:
            raise self.fails_with
        return [f"{item} is kept" for item in items]

    def next(self) -> list[int]:
        """The batch that is being committed."""
        return self.begun.get(timeout=WITHIN)

    def waiting(self) -> int:
        """How many wait in the queue."""
        (queue,) = self.writer._queues.values()
        return len(queue._waiting)

    def write_each(self, *items: int) -> Sequence[Other[str]]:
        """Write each in a thread of its own, in this order, while the disk is busy."""
        others = []
        for item in items:
            before = self.waiting()
            others.append(Other(lambda item=item: self.writer.write(item)))  # type: ignore[misc]
            wait_until(lambda before=before: self.waiting() > before, "one more in the queue")  # type: ignore[misc]
        return others


def busy_disk(*, max_batch_size: int = 64) -> tuple[Disk, Other[str]]:
    """A disk that is committing the item 1, and the thread that writes it."""
    disk = Disk(max_batch_size=max_batch_size)
    first = Other(lambda: disk.writer.write(1))
    assert disk.next() == [1]
    return disk, first


def test_a_write_that_arrives_alone_is_committed_at_once_by_its_own_thread() -> None:
    threads = []

    def commit(items: Sequence[int]) -> Sequence[int]:
        threads.append(threading.current_thread())
        return items

    assert BatchWriter(commit).write(7) == 7
    assert threads == [threading.current_thread()]


def test_writes_that_arrive_during_a_commit_share_the_next_in_the_order_of_arrival() -> None:
    disk, first = busy_disk()
    others = disk.write_each(2, 3, 4, 5)
    disk.may_end.release()
    assert disk.next() == [2, 3, 4, 5]
    disk.may_end.release()
    assert [one.result() for one in (first, *others)] == [f"{item} is kept" for item in range(1, 6)]


def test_no_write_returns_before_its_own_commit() -> None:
    disk, first = busy_disk()
    others = disk.write_each(2, 3)
    assert not first.has_ended()
    disk.may_end.release()
    first.result()
    disk.next()
    assert not any(one.has_ended() for one in others)
    disk.may_end.release()
    for one in others:
        one.result()


def test_no_commit_has_more_than_the_largest_batch() -> None:
    disk, first = busy_disk(max_batch_size=3)
    others = disk.write_each(*range(2, 10))
    batches = []
    for _ in range(3):
        disk.may_end.release()
        batches.append(disk.next())
    disk.may_end.release()
    assert batches == [[2, 3, 4], [5, 6, 7], [8, 9]]
    for one in (first, *others):
        one.result()


def test_a_commit_that_fails_fails_for_its_whole_batch_and_for_no_other() -> None:
    disk, first = busy_disk()
    shared = disk.write_each(2, 3, 4)
    disk.may_end.release()
    assert first.result() == "1 is kept"
    assert disk.next() == [2, 3, 4]
    later = disk.write_each(5, 6)
    disk.fails_with = ZeroDivisionError()
    disk.may_end.release()
    with pytest.raises(ZeroDivisionError):
        shared[0].result()
    for one in shared[1:]:
        with pytest.raises(LedgerUnavailableError):
            one.result()
    assert disk.next() == [5, 6]
    disk.fails_with = None
    disk.may_end.release()
    assert [one.result() for one in later] == ["5 is kept", "6 is kept"]


@pytest.mark.parametrize("raised", [SystemExit(), KeyboardInterrupt()])
def test_no_thread_is_left_waiting_when_the_committing_one_is_stopped(raised: BaseException) -> None:
    disk, first = busy_disk()
    shared = disk.write_each(2, 3)
    disk.may_end.release()
    first.result()
    disk.next()
    disk.fails_with = raised
    disk.may_end.release()
    with pytest.raises(type(raised)):
        shared[0].result()
    with pytest.raises(LedgerUnavailableError):
        shared[1].result()
    disk.fails_with = None
    disk.may_end.release()
    assert disk.writer.write(4) == "4 is kept"


def test_a_commit_has_to_return_a_result_for_each_item() -> None:
    writer: BatchWriter[int, int] = BatchWriter(lambda items: [])
    with pytest.raises(ValueError, match="shorter"):
        writer.write(1)


def test_as_many_commits_as_allowed_run_at_once_and_other_writes_wait() -> None:
    disk = Disk(concurrency=2)
    first, second = Other(lambda: disk.writer.write(1)), Other(lambda: disk.writer.write(2))
    assert sorted([disk.next(), disk.next()]) == [[1], [2]]
    others = disk.write_each(3, 4)
    disk.may_end.release()
    assert disk.next() == [3, 4]
    disk.may_end.release(2)
    for one in (first, second, *others):
        one.result()
    for item in (5, 6):  # there is room for two again
        Other(lambda item=item: disk.writer.write(item))  # type: ignore[misc]
    assert sorted([disk.next(), disk.next()]) == [[5], [6]]
    disk.may_end.release(2)


FORK = """
import os
import threading
from bridge.db.batch_writer import BatchWriter

begun, may_end = threading.Event(), threading.Event()
parent = os.getpid()

def commit(items):
    if os.getpid() == parent:
        begun.set()
        assert may_end.wait(20)
    return items

writer = BatchWriter(commit)
busy = threading.Thread(target=writer.write, args=(1,))
busy.start()
assert begun.wait(20)
child = os.fork()
if child == 0:
    os._exit(writer.write(7))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
may_end.set()
busy.join(20)
"""


def test_a_fork_of_a_process_that_is_committing_waits_for_nobody() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=60)
