"""The backlog: how much is to be done, and for how long it has been waiting."""

from __future__ import annotations

from datetime import timedelta

from bridge.ledger import backlog, deliveries, issuances, removal, stores
from bridge.ledger.backlog import Backlog
from tests.integration.ledger.books import NOW, Books, add_store, finish, mark_issued, withdraw

NOTHING = {"due": 0, "sending": 0, "held": 0, "failed": 0}


def test_where_nothing_is_there_is_no_backlog(books: Books) -> None:
    assert books.read(backlog.measure, NOW) == Backlog(0, 0.0, NOTHING, 0.0, 0, 0, 1)


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
    books.write(stores.pause, other, reason="why", now=NOW, next_probe_at=None)
    known = books.read(stores.get, books.store_id)
    books.write(stores.save_config, known, {"active": True}, NOW)
    removed = books.read(stores.get, books.write(add_store, "removed"))
    books.write(removal.remove, removed, who="ana", now=NOW)
    cannot_be_processed = books.deliver(b"4").delivery_id
    for _ in range(deliveries.GIVE_UP_AFTER):
        books.write(deliveries.note_failure, cannot_be_processed, "why")
    assert books.read(backlog.measure, NOW) == Backlog(
        unprocessed=2,
        oldest_unprocessed_seconds=90.0,
        open_issuances={"due": 3, "sending": 2, "held": 1, "failed": 2},
        oldest_due_seconds=30.0,
        stores_paused=1,
        failed_deliveries=1,
        stores_without_config=1,
    )


def test_what_was_dated_by_a_clock_that_was_set_back_since_is_of_no_age(books: Books) -> None:
    books.due(at=NOW + timedelta(hours=1))
    books.deliver(b"1", now=NOW + timedelta(hours=1))
    measured = books.read(backlog.measure, NOW)
    assert (measured.oldest_unprocessed_seconds, measured.oldest_due_seconds) == (0.0, 0.0)
