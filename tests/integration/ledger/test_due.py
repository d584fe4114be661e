"""What is due: each store's queue."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from bridge.ledger import due, issuances, store_pauses
from bridge.ledger.due import LONGEST_WAIT
from tests.support.books import LATER, NOW, Books, add_due, add_store, mark_issued, withdraw

TICK = timedelta(microseconds=1)


def _queue(books: Books, *, limit: int = 99, now: datetime = NOW) -> list[int]:
    return list(books.read(due.of_store, books.store_id, now=now, limit=limit))


def _locked(books: Books, *, limit: int = 99) -> list[int]:
    with books.ledger.write() as connection:
        found = due.lock_of_stores(connection, {books.store_id: limit}, now=NOW)
    return [one.issuance_id for one in found[books.store_id]]


def test_a_queue_is_in_the_order_in_which_its_entries_fell_due(books: Books) -> None:
    moments = [NOW, NOW - timedelta(hours=1), NOW, NOW - TICK, NOW + TICK, NOW]
    ids = [books.due(number, at=at).id for number, at in enumerate(moments, start=1)]
    assert _queue(books) == _locked(books) == [ids[index] for index in (1, 3, 0, 2, 5)]
    assert _queue(books, limit=2) == _locked(books, limit=2) == [ids[1], ids[3]]


def test_a_queue_holds_nothing_but_what_is_due_of_its_store(books: Books) -> None:
    other = books.write(add_store, "other")
    with books.ledger.write() as connection:
        add_due(connection, other)
    books.sending(1)
    assert books.write(withdraw, books.due(2).id, NOW)
    assert books.write(mark_issued, books.sending(3).issuance_id, NOW)
    assert _queue(books) == []
    postponed = books.sending(4)
    assert books.write(issuances.postpone, postponed, error="busy", next_attempt_at=LATER)
    assert _queue(books) == []
    assert _queue(books, now=LATER) == [postponed.issuance_id]


def test_what_another_transaction_has_locked_is_passed_over(books: Books) -> None:
    ids = [books.due(number).id for number in (1, 2, 3)]
    if books.url.startswith("sqlite"):
        return  # one transaction writes at a time
    with books.ledger.write() as connection:
        found = due.lock_of_stores(connection, {books.store_id: 2}, now=NOW)
        assert len(found[books.store_id]) == 2
        assert _locked(books, limit=2) == ids[2:]
    assert _locked(books) == ids


def test_each_store_has_its_own_limit(books: Books) -> None:
    with books.ledger.write() as connection:
        others = [add_store(connection, name) for name in ("second", "third")]
        for store_id in others:
            for number in (1, 2, 3):
                add_due(connection, store_id, number)
    mine = books.due(1).id
    limits = {others[0]: 2, books.store_id: 5, others[1]: 0}
    with books.ledger.write() as connection:
        found = due.lock_of_stores(connection, limits, now=NOW)
    assert {store_id: len(of_store) for store_id, of_store in found.items()} == {
        others[0]: 2,
        books.store_id: 1,
        others[1]: 0,
    }
    assert [one.issuance_id for one in found[books.store_id]] == [mine]
    assert {one.order.store_id for one in found[others[0]]} == {others[0]}


@pytest.mark.parametrize(
    ("at", "is_due"),
    [
        (NOW, True),
        (NOW + TICK, False),
        (NOW + LONGEST_WAIT, False),
        (NOW + LONGEST_WAIT + TICK, True),  # by a clock that was set back since
        (NOW + timedelta(days=365), True),
    ],
)
def test_what_is_put_off_for_longer_than_anything_is_due(books: Books, at: datetime, is_due: bool) -> None:
    issuance = books.due(at=at)
    assert _queue(books) == ([issuance.id] if is_due else [])
    assert list(books.read(due.stores_with_some, now=NOW, limit=9)) == ([books.store_id] if is_due else [])
    assert due.has_fallen_due(issuance, NOW) is is_due


def test_what_is_not_due_has_not_fallen_due(books: Books) -> None:
    sending = books.issuance(books.sending().issuance_id)
    assert not due.has_fallen_due(sending, LATER)


@pytest.mark.parametrize(
    ("next_probe_at", "may_send"),
    [
        pytest.param(None, False, id="by an operator"),
        pytest.param(NOW + TICK, False, id="to be probed later"),
        pytest.param(NOW, True, id="to be probed now"),
    ],
)
def test_of_a_paused_store_something_may_be_sent_when_its_probe_is_due(
    books: Books, next_probe_at: datetime | None, may_send: bool
) -> None:
    books.due()
    books.write(store_pauses.pause, books.store_id, reason="why", now=NOW, next_probe_at=next_probe_at)
    found = books.read(due.stores_with_some, now=NOW, limit=9)
    assert list(found) == ([books.store_id] if may_send else [])
    books.write(store_pauses.resume, books.store_id, NOW, by_operator=True)
    assert list(books.read(due.stores_with_some, now=NOW, limit=9)) == [books.store_id]


def test_a_store_with_much_to_send_is_named_once_and_none_is_always_behind_the_limit(books: Books) -> None:
    with books.ledger.write() as connection:
        others = [add_store(connection, f"shop-{number}") for number in range(4)]
        add_store(connection, "nothing-to-send")
        for store_id in [books.store_id, *others]:
            for number in range(1, 4):
                add_due(connection, store_id, number)
    everything = books.read(due.stores_with_some, now=NOW, limit=9)
    assert sorted(everything) == sorted([books.store_id, *others])
    # Each draw leaves a store out with a chance of 3/5: after 200 draws, one in 10**44 that one never came.
    seen = {store for _ in range(200) for store in books.read(due.stores_with_some, now=NOW, limit=2)}
    assert seen == set(everything)
