"""Absences: for how long no receiver had the ledger, which stores that concerns, and until when."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from bridge.admin import store_removal
from bridge.db import Ledger, tables
from bridge.ledger import absences, backlog, stores
from bridge.ledger.absences import LONGEST_GAP, Absence, Gap
from tests.support.books import NOW, Books, add_store, delivery_of, insert_delivery
from tests.support.crowds import Crew

HALF_AN_HOUR = timedelta(minutes=30)
BACK = NOW + HALF_AN_HOUR


def deliver_to(books: Books, store_id: int) -> None:
    books.write(insert_delivery, **delivery_of(store_id, b"%d" % store_id))


def test_the_first_beat_ever_follows_no_gap(books: Books) -> None:
    books.deliver()
    assert not books.write(absences.go_on, NOW)
    assert books.write(absences.beat, NOW) is None
    assert books.write(absences.go_on, NOW)
    assert books.read(absences.unsettled) == []


def test_a_gap_is_an_absence_of_each_store_in_use_that_ever_had_a_delivery(books: Books) -> None:
    other, removed = books.write(add_store, "other"), books.write(add_store, "removed")
    books.write(add_store, "new")
    for store_id in (books.store_id, other, removed):
        deliver_to(books, store_id)
    books.write(store_removal.remove, books.read(stores.get, removed), who="ana", now=NOW)
    books.write(absences.beat, NOW)
    assert books.write(absences.beat, BACK) == Gap(NOW, BACK, ["other", "shop"])
    kept = books.read(absences.unsettled)
    assert {(one.store_id, one.began_at, one.ended_at) for one in kept} == {
        (books.store_id, NOW, BACK),
        (other, NOW, BACK),
    }
    assert books.read(absences.count_unsettled) == {"other": 1, "shop": 1}
    assert books.read(backlog.measure, BACK).absences == {"other": 1, "shop": 1}
    assert books.write(absences.beat, BACK) is None  # another process that comes back, too
    assert books.count(tables.absences) == 2


@pytest.mark.parametrize(
    ("seconds", "is_gap"), [(-3600, False), (2, False), (7, False), (7.1, True)], ids=str
)
def test_a_restart_of_moments_and_a_clock_that_was_set_back_are_no_gap(
    books: Books, seconds: float, is_gap: bool
) -> None:
    books.deliver()
    books.write(absences.beat, NOW)
    gap = books.write(absences.beat, NOW + timedelta(seconds=seconds))
    assert (gap is not None) == is_gap
    # The next one is compared with the clock as it is now.
    assert books.write(absences.beat, NOW + timedelta(seconds=seconds) + LONGEST_GAP) is None


def test_a_gap_that_concerns_no_store_is_not_kept(books: Books) -> None:
    books.write(absences.beat, NOW)
    assert books.write(absences.beat, BACK) == Gap(NOW, BACK, [])
    assert books.read(absences.unsettled) == []


def _come_back(ledger: Ledger, _: int) -> Gap | None:
    with ledger.write() as connection:
        return absences.beat(connection, BACK)


def test_of_processes_that_come_back_together_one_records_the_gap(books: Books, crew: Crew) -> None:
    books.deliver()
    books.write(absences.beat, NOW)
    gaps = crew.at_once(books.url, _come_back)
    assert [gap for gap in gaps if gap is not None] == [Gap(NOW, BACK, ["shop"])]
    assert books.count(tables.absences) == 1


def test_what_has_ended_until_then_is_settled_and_the_rest_stays(books: Books) -> None:
    books.deliver()
    other = books.write(add_store, "other")
    deliver_to(books, other)
    for number in range(4):
        books.write(absences.beat, NOW + number * HALF_AN_HOUR)
    until = NOW + 2 * HALF_AN_HOUR

    def settle() -> int:
        return books.write(absences.settle, books.store_id, ended_before=until, who="reconcile", now=BACK)

    assert [settle(), settle()] == [2, 0]
    left = books.read(absences.unsettled, books.store_id)
    assert [(one.began_at, one.ended_at) for one in left] == [(until, until + HALF_AN_HOUR)]
    with books.ledger.read() as connection:
        is_settled = tables.absences.c.settled_at.is_not(None)
        settled = connection.execute(select(tables.absences).where(is_settled)).all()
    assert [(one.store_id, one.settled_at, one.settled_by) for one in settled] == [
        (books.store_id, BACK, "reconcile")
    ] * 2
    assert books.read(absences.count_unsettled) == {"other": 3, "shop": 1}


def test_a_store_is_listed_alone(books: Books) -> None:
    books.deliver()
    books.write(absences.beat, NOW)
    books.write(absences.beat, BACK)
    [absence] = books.read(absences.unsettled, books.store_id)
    assert absence == Absence(absence.id, books.store_id, NOW, BACK)
    assert books.read(absences.unsettled, books.store_id + 1) == []
