"""Group commit: who waits at the same time shares a commit, and nobody is answered before their own."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Sequence

import pytest

from bridge.db import LedgerUnavailableError
from bridge.db.batch_writer import BatchWriter
from tests.integration.ledger.crowds import Other
from tests.servers import wait_until

WITHIN = 10  # seconds in which what is to happen has happened


class Disk:
    """Commits when the test lets it, and keeps what it committed, batch by batch."""

    def __init__(self, *, width: int = 1, most: int = 64) -> None:
        self.begun: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
        self.may_end = threading.Semaphore(0)
        self.fails_with: BaseException | None = None
        self.group = BatchWriter(self._commit, width=width, most=most)

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
        """How many stand in line."""
        (line,) = self.group._lines.values()
        return len(line._waiting)

    def bring(self, *items: int) -> Sequence[Other[str]]:
        """Have each brought by a thread of its own, in this order, to a disk that is busy."""
        others = []
        for item in items:
            before = self.waiting()
            others.append(Other(lambda item=item: self.group.write(item)))  # type: ignore[misc]
            wait_until(lambda before=before: self.waiting() > before, "one more in line")  # type: ignore[misc]
        return others


def busy_disk(*, most: int = 64) -> tuple[Disk, Other[str]]:
    """A disk that is just committing the item 1, and who has brought that."""
    disk = Disk(most=most)
    first = Other(lambda: disk.group.write(1))
    assert disk.next() == [1]
    return disk, first


def test_who_comes_alone_commits_at_once_in_the_thread_that_came() -> None:
    threads = []

    def commit(items: Sequence[int]) -> Sequence[int]:
        threads.append(threading.current_thread())
        return items

    assert BatchWriter(commit).write(7) == 7
    assert threads == [threading.current_thread()]


def test_those_who_come_while_one_commits_share_the_next_in_the_order_they_came() -> None:
    disk, first = busy_disk()
    others = disk.bring(2, 3, 4, 5)
    disk.may_end.release()
    assert disk.next() == [2, 3, 4, 5]
    disk.may_end.release()
    assert [one.result() for one in (first, *others)] == [f"{item} is kept" for item in range(1, 6)]


def test_nobody_is_answered_before_their_own_commit() -> None:
    disk, first = busy_disk()
    others = disk.bring(2, 3)
    assert not first.has_ended()
    disk.may_end.release()
    first.result()
    disk.next()
    assert not any(one.has_ended() for one in others)
    disk.may_end.release()
    for one in others:
        one.result()


def test_no_commit_is_of_more_than_the_most() -> None:
    disk, first = busy_disk(most=3)
    others = disk.bring(*range(2, 10))
    batches = []
    for _ in range(3):
        disk.may_end.release()
        batches.append(disk.next())
    disk.may_end.release()
    assert batches == [[2, 3, 4], [5, 6, 7], [8, 9]]
    for one in (first, *others):
        one.result()


def test_a_commit_that_fails_fails_for_each_of_it_and_for_nobody_else() -> None:
    disk, first = busy_disk()
    shared = disk.bring(2, 3, 4)
    disk.may_end.release()
    assert first.result() == "1 is kept"
    assert disk.next() == [2, 3, 4]
    later = disk.bring(5, 6)
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
def test_nobody_is_left_waiting_when_whoever_commits_is_stopped(raised: BaseException) -> None:
    disk, first = busy_disk()
    shared = disk.bring(2, 3)
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
    assert disk.group.write(4) == "4 is kept"


def test_a_result_for_each_is_what_a_commit_owes() -> None:
    group: BatchWriter[int, int] = BatchWriter(lambda items: [])
    with pytest.raises(ValueError, match="shorter"):
        group.write(1)


def test_as_many_commit_at_once_as_may_and_the_others_wait() -> None:
    disk = Disk(width=2)
    first, second = Other(lambda: disk.group.write(1)), Other(lambda: disk.group.write(2))
    assert sorted([disk.next(), disk.next()]) == [[1], [2]]
    others = disk.bring(3, 4)
    disk.may_end.release()
    assert disk.next() == [3, 4]
    disk.may_end.release(2)
    for one in (first, second, *others):
        one.result()
    for item in (5, 6):  # there is room for two again
        Other(lambda item=item: disk.group.write(item))  # type: ignore[misc]
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

group = BatchWriter(commit)
busy = threading.Thread(target=group.write, args=(1,))
busy.start()
assert begun.wait(20)
child = os.fork()
if child == 0:
    os._exit(group.write(7))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
may_end.set()
busy.join(20)
"""


def test_a_fork_of_a_process_in_which_one_commits_waits_for_nobody() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=60)
