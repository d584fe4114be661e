"""WriteLock: in SQLite, one thread at a time writes, in the order of arrival."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from bridge.db import Ledger, LedgerUnavailableError
from bridge.ledger import store_pauses, stores
from tests.support.books import NOW, add_store
from tests.support.crowds import Other, at_once
from tests.support.servers import START_WITHIN


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(file: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{file}")
    ledger.upgrade()
    with ledger.write() as connection:
        add_store(connection)
    yield ledger
    ledger.close()


def test_writers_hold_the_lock_in_the_order_of_arrival(ledger: Ledger) -> None:
    order: list[int] = []

    def write(number: int) -> None:
        with ledger.write():
            order.append(number)

    others = []
    with ledger.write():
        for number in range(8):
            others.append(Other(partial(write, number)))
            others[-1].wait_until_it_waits(ledger)
    for other in others:
        other.result()
    assert order == list(range(8))


def test_a_writer_that_times_out_does_not_break_the_queue(file: Path, ledger: Ledger) -> None:
    hasty = Ledger(f"sqlite:///{file}", lock_timeout=0.1)
    with ledger.write():
        for other in [Other(lambda: _ping(hasty)) for _ in range(4)]:
            with pytest.raises(LedgerUnavailableError, match="others went on writing"):
                other.result()
    _ping(hasty)
    hasty.close()


def test_an_upgrade_waits_for_as_long_as_others_write(file: Path, ledger: Ledger) -> None:
    hasty = Ledger(f"sqlite:///{file}", lock_timeout=0.001)
    with ledger.write():
        upgrade = Other(hasty.upgrade)
        upgrade.wait_until_it_waits(ledger)
    upgrade.result()
    hasty.close()


def test_writers_that_come_and_go_leave_no_file_open(file: Path, ledger: Ledger) -> None:
    hasty = Ledger(f"sqlite:///{file}", lock_timeout=0.05)
    at_once(20, lambda _: _ping(ledger))
    with ledger.write(), pytest.raises(LedgerUnavailableError):
        _ping(hasty)
    for thread in threading.enumerate():
        if thread.name == "flock":  # still waits for the one who gave up
            thread.join(START_WITHIN)
    lock = file.with_name("ledger.db.lock")
    assert [one for one in os.listdir("/dev/fd") if _is_of(one, lock)] == []
    hasty.close()


def _is_of(descriptor: str, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(int(descriptor)), file.stat())
    except OSError:
        return False


def test_another_program_that_keeps_the_file_is_given_up_in_time(file: Path) -> None:
    hasty = Ledger(f"sqlite:///{file}", lock_timeout=0.1)
    with closing(sqlite3.connect(file, isolation_level=None)) as shell:
        shell.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerUnavailableError, match="locked"):
            hasty.upgrade()
        shell.execute("COMMIT")
        hasty.upgrade()
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnavailableError, match="locked"), hasty.write():
            pass
    with hasty.write() as connection:
        add_store(connection)
    hasty.close()


def test_a_fork_of_a_process_in_which_others_wait_has_a_turn_of_its_own(file: Path, ledger: Ledger) -> None:
    context = multiprocessing.get_context("spawn")
    has_forked = context.Event()
    process = context.Process(target=_fork_while_another_waits, args=(f"sqlite:///{file}", has_forked))
    with ledger.write():
        process.start()
        assert has_forked.wait(START_WITHIN)
    process.join(START_WITHIN)
    assert process.exitcode == 0
    with ledger.read() as connection:
        assert stores.get(connection, 1).failures == 2


def _fork_while_another_waits(url: str, has_forked: Event) -> None:
    ledger = Ledger(url)
    other = Other(lambda: _count(ledger))
    other.wait_until_it_waits(ledger)
    child = os.fork()
    if child == 0:
        has_forked.set()
        _count(ledger)
        os._exit(0)
    other.result()
    assert os.waitpid(child, 0) == (child, 0)


def _count(ledger: Ledger) -> None:
    with ledger.write() as connection:
        store_pauses.count_failure(connection, 1)


def _ping(ledger: Ledger) -> None:
    with ledger.write() as connection:
        stores.record_ping(connection, 1, NOW)
