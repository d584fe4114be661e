"""The backlog: how much is to be done, and for how long it has been waiting."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from bridge.admin import store_removal
from bridge.db import tables
from bridge.issuance import Kind
from bridge.ledger import (
    backlog,
    deliveries,
    issuances,
    processing,
    shops,
    store_configs,
    store_pauses,
    stores,
)
from bridge.ledger.backlog import Backlog
from tests.support.books import NOW, VAULT, Books, add_due, add_store, finish, mark_issued, withdraw
from tests.support.connected import connect_shop

NOTHING = {"due": 0, "sending": 0, "held": 0, "failed": 0}
KEPT = {"failed": 0, "unreadable": 0, "quarantined": 0}
WAITING = {"pending": 0, "pending_paid": 0, "unknown_status": 0}
DAY = timedelta(days=1)


def test_where_nothing_is_there_is_no_backlog(books: Books) -> None:
    assert books.read(backlog.measure, NOW) == Backlog(0, 0.0, NOTHING, 0.0, 0, 1, KEPT, {}, WAITING)


def test_what_is_open_is_counted_and_the_oldest_of_it_dated(books: Books) -> None:
    for number in range(1, 4):
        books.due(number, at=NOW - timedelta(seconds=10 * number))
    for number in range(4, 6):
        books.sending(number)
    assert books.write(issuances.mark_held, books.sending(6), error="?", now=NOW)
    for number in (7, 8):
        assert books.write(issuances.mark_failed, books.sending(number), error="no", now=NOW)
    assert books.write(mark_issued, books.sending(9).issuance_id, NOW)
    assert books.write(withdraw, books.due(10).id, NOW)
    for one in books.read(deliveries.listed, limit=99):
        books.write(finish, one.id, state="processed", reason=None)
    books.deliver(b"1", now=NOW - timedelta(seconds=90))
    books.deliver(b"2", now=NOW - timedelta(seconds=7.5))
    books.deliver(b"3", now=NOW - timedelta(days=1), state="ignored", reason="of no use")
    other = books.write(add_store, "other")
    books.write(store_pauses.pause, other, reason="why", now=NOW, next_probe_at=None)
    known = books.read(stores.get, books.store_id)
    books.write(store_configs.save, known, {"active": True}, NOW)
    removed = books.read(stores.get, books.write(add_store, "removed"))
    books.write(store_removal.remove, removed, who="ana", now=NOW)
    cannot_be_processed = books.deliver(b"4").delivery_id
    for _ in range(processing.GIVE_UP_AFTER):
        books.write(processing.note_failure, cannot_be_processed, "why")
    assert books.read(backlog.measure, NOW) == Backlog(
        unprocessed=2,
        oldest_unprocessed_seconds=90.0,
        open_issuances={"due": 3, "sending": 2, "held": 1, "failed": 2},
        oldest_due_seconds=30.0,
        stores_paused=1,
        stores_without_config=1,
        kept_deliveries={**KEPT, "failed": 1},
        orders_waiting=WAITING,
    )


def test_a_shop_that_cannot_be_asked_is_measured_until_it_can(books: Books) -> None:
    removed = books.write(add_store, "removed")
    for store_id in (books.store_id, removed):
        books.write(connect_shop, VAULT, store_id, NOW - DAY)
        for minutes in (30, 10):
            books.write(
                shops.note_error,
                store_id,
                error="It is away.",
                kind="ShopUnreachableError",
                is_refusal=False,
                now=NOW - timedelta(minutes=minutes),
            )
    books.write(store_removal.remove, books.read(stores.get, removed), who="ana", now=NOW)
    assert books.read(backlog.measure, NOW).shops_failing_seconds == {"shop": 1800.0}
    books.write(shops.note_success, books.store_id)
    assert books.read(backlog.measure, NOW).shops_failing_seconds == {}


def test_what_was_dated_by_a_clock_that_was_set_back_since_is_of_no_age(books: Books) -> None:
    books.due(at=NOW + timedelta(hours=1))
    books.deliver(b"1", now=NOW + timedelta(hours=1))
    measured = books.read(backlog.measure, NOW)
    assert (measured.oldest_unprocessed_seconds, measured.oldest_due_seconds) == (0.0, 0.0)


def test_deferring_and_trying_again_make_a_document_no_younger(books: Books) -> None:
    deferred, tried = books.due(1, at=NOW - 2 * DAY), books.due(2, at=NOW - 3 * DAY)
    assert books.write(issuances.defer, deferred.id, error="?", until=NOW + timedelta(minutes=5))
    attempt = books.claim(tried, now=NOW - 2 * DAY)
    assert attempt is not None
    books.write(issuances.postpone, attempt, error="busy", next_attempt_at=NOW + timedelta(minutes=50))
    measured = books.read(backlog.measure, NOW)
    assert measured.late_seconds == {"shop": (3 * DAY).total_seconds()}
    # What was never tried waits for the bridge alone; the other one for the time of its next attempt.
    assert measured.oldest_due_seconds == (2 * DAY).total_seconds()
    of_store = books.read(backlog.of_stores, NOW)[books.store_id]
    assert (of_store.due, of_store.oldest_due_seconds, of_store.oldest_stuck_seconds) == (
        2,
        (3 * DAY).total_seconds(),
        (2 * DAY).total_seconds(),
    )


@pytest.mark.parametrize("bring_back", ["operator", "decision"])
def test_what_is_brought_back_falls_due_then(books: Books, bring_back: str) -> None:
    issuance = books.due(at=NOW - 2 * DAY)
    if bring_back == "operator":
        assert books.write(issuances.withdraw_for_good, issuance.id, NOW, who="ana")
        assert books.write(issuances.send_again, issuance.id, NOW)
    else:
        assert books.write(withdraw, issuance.id, NOW)
        books.write(issuances.make_due, [(books.store_id, issuance.order_id, Kind.INVOICE)], NOW)
    found = books.issuance(issuance.id)
    assert (found.state, found.due_since, found.deferrals) == ("due", NOW, 0)


def test_a_paused_store_hides_no_other_and_is_not_late_for_the_time_it_was_paused(books: Books) -> None:
    other = books.write(add_store, "other")
    with books.ledger.write() as connection:
        add_due(connection, other, 7, at=NOW - DAY)
    books.due(1, at=NOW - 3 * DAY)
    books.write(store_pauses.pause, books.store_id, reason="why", now=NOW - 2 * DAY, next_probe_at=None)
    measured = books.read(backlog.measure, NOW)
    assert measured.late_seconds == {"other": DAY.total_seconds()}
    assert measured.oldest_due_seconds == DAY.total_seconds()
    resumed_at = NOW - timedelta(minutes=10)
    books.write(store_pauses.resume, books.store_id, resumed_at, by_operator=True)
    assert books.read(backlog.measure, NOW).late_seconds == {"other": DAY.total_seconds(), "shop": 600.0}


def test_what_is_sent_at_once_is_not_late(books: Books) -> None:
    books.due(at=NOW - timedelta(seconds=backlog.LATE_AFTER))
    assert books.read(backlog.measure, NOW).late_seconds == {}


def test_a_document_that_fell_due_before_that_was_noted_is_as_old_as_it_is(books: Books) -> None:
    issuance = books.due(at=NOW - DAY)
    with books.ledger.write() as connection:
        connection.execute(update(tables.issuances).values(due_since=None, next_attempt_at=NOW))
    assert books.issuance(issuance.id).due_since == NOW - DAY
    assert books.read(backlog.measure, NOW).late_seconds == {"shop": DAY.total_seconds()}


def test_deliveries_that_wait_for_an_operator_are_counted_by_state(books: Books) -> None:
    for number, state in enumerate(["failed", "unreadable", "unreadable", "quarantined"]):
        books.write(finish, books.deliver(b"%d" % number).delivery_id, state=state, reason="why")
    kept = {"failed": 1, "unreadable": 2, "quarantined": 1}
    assert books.read(backlog.measure, NOW).kept_deliveries == kept
    assert books.read(backlog.of_stores, NOW)[books.store_id].kept_deliveries == kept


def test_refused_requests_are_counted_and_dated_for_a_day(books: Books) -> None:
    for number, at in ((2, NOW - DAY), (3, NOW - DAY + timedelta(minutes=1))):
        books.write(stores.count_refused, books.store_id, number, at)
    store = books.store()
    assert (store.refused_deliveries, store.last_refused_at) == (5, NOW - DAY + timedelta(minutes=1))
    assert books.read(backlog.measure, NOW).last_refused_at == {"shop": store.last_refused_at}
    assert books.read(backlog.measure, NOW + timedelta(minutes=1)).last_refused_at == {}
