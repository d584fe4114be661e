"""The heartbeat of a receiver's process: it goes on whatever the clocks show, and returns after an outage."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select
from structlog.testing import capture_logs

from bridge.db import Ledger, closing
from bridge.db.closing import Closed, State
from bridge.db.tables import heartbeats
from bridge.ledger import absences
from bridge.ledger.absences import INTERVAL
from bridge.web.heartbeat import Heartbeat
from bridge.web.webhook import WebhookReceiver
from tests.support.books import NOW, VAULT, Books, add_store, delivery_of, insert_delivery
from tests.support.pauses import Pauses
from tests.support.servers import START_WITHIN, wait_until
from tests.support.watched import WatchedLedger, lose

HALF_AN_HOUR = timedelta(minutes=30)
RETURNED = "no receiver was up or had the ledger: orders of that time may be lost"
FAILED = "the receiver cannot write to the ledger"


class Process:
    """A process of a receiver that beats when the test lets it, by clocks that the test sets."""

    def __init__(self, ledger: Ledger) -> None:
        self.at = NOW
        self.elapsed = 1000.0
        self.is_up = True
        self.pauses = Pauses()
        self.heartbeat = Heartbeat(
            ledger, lambda: self.at, sleep=self.pauses.sleep, elapsed=lambda: self.elapsed
        )

    def start(self) -> None:
        self.heartbeat.start(lambda: self.is_up)
        self.pauses.wait_for_one()

    def beat(self) -> None:
        """The next beat, and whatever comes of it."""
        self.pauses.end_one()
        self.pauses.wait_for_one()

    def let_pass(self, time: timedelta) -> None:
        self.at += time
        self.elapsed += time.total_seconds()

    def end(self) -> None:
        self.pauses.end_one()
        self.heartbeat.close()


@pytest.fixture
def process(watched: WatchedLedger, books: Books) -> Iterator[Process]:
    """A process over a ledger with a store that had a delivery."""
    books.deliver()
    process = Process(watched)
    yield process
    process.end()


def beats(books: Books) -> Sequence[datetime]:
    with books.ledger.read() as connection:
        return connection.execute(select(heartbeats.c.at)).scalars().all()


def away(books: Books) -> list[tuple[datetime, datetime]]:
    return [(one.began_at, one.ended_at) for one in books.read(absences.unsettled)]


def test_a_process_beats_at_once_and_every_two_seconds(process: Process, books: Books) -> None:
    assert beats(books) == []
    process.start()
    assert beats(books) == [NOW]
    process.let_pass(timedelta(seconds=2))
    process.beat()
    assert beats(books) == [NOW + timedelta(seconds=2)]
    assert process.pauses.lengths == [INTERVAL, INTERVAL]
    assert away(books) == []


def test_a_process_that_comes_back_tells_how_long_and_which_stores(process: Process, books: Books) -> None:
    books.write(absences.beat, NOW - HALF_AN_HOUR)
    with capture_logs() as lines:
        process.start()
    assert away(books) == [(NOW - HALF_AN_HOUR, NOW)]
    [line] = lines
    assert (line["event"], line["log_level"]) == (RETURNED, "warning")
    assert (line["seconds"], line["number"], line["stores"]) == (1800, 1, "shop")
    assert line["since"] == "2026-11-23T11:30:00+00:00"


def test_only_the_first_few_stores_are_named(process: Process, books: Books) -> None:
    with books.ledger.write() as connection:
        for number in range(10, 30):
            insert_delivery(connection, **delivery_of(add_store(connection, f"a{number}"), b"1"))
    books.write(absences.beat, NOW - HALF_AN_HOUR)
    with capture_logs() as lines:
        process.start()
    assert lines[0]["number"] == 21
    assert lines[0]["stores"] == ", ".join(f"a{number}" for number in range(10, 20)) + ", ..."


def test_where_no_store_has_lost_anything_nothing_is_said(ledger: Ledger) -> None:
    process = Process(ledger)
    with ledger.write() as connection:
        add_store(connection)
        absences.beat(connection, NOW - HALF_AN_HOUR)
    with capture_logs() as lines:
        process.start()
    process.end()
    assert lines == []


@pytest.mark.parametrize("step", [HALF_AN_HOUR, -HALF_AN_HOUR], ids=["ahead", "back"])
def test_a_clock_that_is_set_while_a_process_goes_on_makes_no_absence(
    process: Process, books: Books, step: timedelta
) -> None:
    process.start()
    process.at += step
    process.beat()
    process.at -= step
    process.beat()
    assert beats(books) == [NOW]
    assert away(books) == []


def test_two_machines_whose_clocks_differ_make_no_absence_of_each_beat(
    process: Process, ledger: Ledger, books: Books
) -> None:
    process.start()
    other = Process(ledger)
    other.at -= timedelta(seconds=20)
    other.start()
    for one in (process, other, process, other):
        one.let_pass(timedelta(seconds=2))
        one.beat()
    other.end()
    assert away(books) == []


def test_a_machine_that_was_suspended_was_away(process: Process, books: Books) -> None:
    process.start()
    process.let_pass(HALF_AN_HOUR)
    process.beat()
    assert away(books) == [(NOW, NOW + HALF_AN_HOUR)]


@pytest.mark.parametrize(("seconds", "is_absence"), [(4, False), (60, True)])
def test_a_ledger_that_was_away_is_tried_again_and_tells_for_how_long(
    process: Process, watched: WatchedLedger, books: Books, seconds: int, is_absence: bool
) -> None:
    process.start()
    watched.before_commit = lose
    with capture_logs() as lines:
        for _ in range(2):
            process.let_pass(timedelta(seconds=seconds / 2))
            process.beat()
        watched.before_commit = lambda: None
        process.let_pass(timedelta(seconds=2))
        process.beat()
    back = NOW + timedelta(seconds=seconds + 2)
    assert beats(books) == [back]
    assert away(books) == ([(NOW, back)] if is_absence else [])
    assert [line["event"] for line in lines] == [FAILED, *([RETURNED] if is_absence else [])]
    assert lines[0]["error"] == "LedgerUnavailableError"


def test_a_ledger_that_keeps_a_process_waiting_is_not_away(
    process: Process, watched: WatchedLedger, books: Books
) -> None:
    """A delivery waits for as long, and is then recorded."""
    process.start()
    watched.before_commit = lambda: process.let_pass(timedelta(seconds=15))
    process.let_pass(timedelta(seconds=2))
    process.beat()
    watched.before_commit = lambda: None
    process.let_pass(timedelta(seconds=2))
    process.beat()
    assert away(books) == []


def test_a_closed_ledger_is_tried_until_it_is_open_again(process: Process, books: Books) -> None:
    process.start()
    books.write(closing.close, Closed(State.MOVED, "another place", "1", NOW))
    with capture_logs() as lines:
        for _ in range(3):
            process.let_pass(timedelta(seconds=20))
            process.beat()
        books.ledger.reopen()
        process.beat()
    assert away(books) == [(NOW, NOW + timedelta(seconds=60))]
    assert [line["event"] for line in lines] == [FAILED, RETURNED]
    assert lines[0]["error"] == "LedgerMovedError"


def test_a_beat_that_is_lost_with_a_restored_ledger_is_made_again(process: Process, books: Books) -> None:
    process.start()
    with books.ledger.write() as connection:
        connection.execute(heartbeats.delete())
    process.let_pass(timedelta(seconds=2))
    process.beat()
    assert beats(books) == [NOW + timedelta(seconds=2)]


def test_a_process_that_takes_no_more_deliveries_beats_no_more(process: Process, books: Books) -> None:
    """It may go on for half a minute, for a request under way."""
    process.start()
    process.is_up = False
    process.let_pass(timedelta(seconds=2))
    process.pauses.end_one()
    wait_until(lambda: not _beating(), "the end of its thread")
    assert beats(books) == [NOW]


def _beating() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


def test_a_receiver_beats_from_its_start_to_its_end_under_any_server(books: Books) -> None:
    app = Flask("receiver")
    receiver = WebhookReceiver(
        app, books.ledger, VAULT, max_body_bytes=1, publish=lambda _: None, now=lambda: NOW
    )
    assert _beating() == []  # it is made before the fork
    receiver.start()
    wait_until(lambda: beats(books) == [NOW], "a beat")
    [thread] = _beating()
    receiver.close()
    thread.join(START_WITHIN)
    assert _beating() == []
