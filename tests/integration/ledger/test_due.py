"""What is due: each store's queue, which can be read on from any place in it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from bridge.ledger import due, issuances, store_pauses
from bridge.ledger.due import LONGEST_WAIT, Due
from tests.integration.ledger.books import LATER, NOW, Books, add_due, add_store, mark_issued, withdraw

TICK = timedelta(microseconds=1)


def _queue(books: Books, *, after: Due | None = None, limit: int = 99, now: datetime = NOW) -> list[Due]:
    return list(books.read(due.of_store, books.store_id, now=now, after=after, limit=limit))


def test_a_queue_is_in_the_order_in_which_its_entries_fell_due(books: Books) -> None:
    moments = [NOW, NOW - timedelta(hours=1), NOW, NOW - TICK, NOW + TICK, NOW]
    ids = [books.due(number, at=at).id for number, at in enumerate(moments, start=1)]
    assert _queue(books) == [Due(moments[index], ids[index]) for index in (1, 3, 0, 2, 5)]


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
    assert _queue(books, now=LATER) == [Due(LATER, postponed.issuance_id)]


@pytest.mark.parametrize("page", [1, 2, 3, 7])
def test_reading_a_queue_page_by_page_visits_each_entry_once(books: Books, page: int) -> None:
    """Whatever is added before the place that was reached, sent, or put off meanwhile."""
    with books.ledger.write() as connection:
        for number in range(1, 15):  # several of the same moment, and not in the order of their ids
            add_due(connection, books.store_id, number, at=NOW - timedelta(seconds=number * 5 % 3))
    everything = _queue(books)
    visited: list[Due] = []
    while entries := _queue(books, after=visited[-1] if visited else None, limit=page):
        visited += entries
        books.due(100 + len(visited), at=NOW - timedelta(hours=1))
        assert books.write(withdraw, entries[0].id, NOW)
    assert visited == everything


def test_a_place_is_one_in_the_queue_though_its_entry_has_left_it(books: Books) -> None:
    first, second = (books.due(number) for number in (1, 2))
    assert books.write(withdraw, first.id, NOW)
    assert _queue(books, after=Due(NOW, first.id)) == [Due(NOW, second.id)]
    assert _queue(books, after=Due(NOW - TICK, 99)) == [Due(NOW, second.id)]
    assert _queue(books, after=Due(NOW, second.id)) == []


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
    assert _queue(books) == ([Due(at, issuance.id)] if is_due else [])
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
