"""Attempts: each request is there before it is sent, and found when its worker is gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from bridge.db import tables
from bridge.issuance import Kind
from bridge.ledger import attempts, issuances, orders, stores
from bridge.ledger.attempts import Attempt, Claim, End, NotDueError
from bridge.ledger.issuances import Issuance, StartedAttempt
from tests.support.books import LEASE, NOW, Books

TICK = timedelta(microseconds=1)


def test_an_attempt_is_there_before_it_has_an_outcome(books: Books) -> None:
    attempt = books.sending()
    under_way = Attempt(NOW, None, None, None, None, Kind.INVOICE)
    assert books.read(attempts.of_order, attempt.order_id) == [under_way]
    row = books.row(tables.attempts, attempt.id)
    assert row["delivery_id"] == books.order(attempt.order_id).delivery_id


def test_an_outcome_is_noted_with_its_attempt(books: Books) -> None:
    attempt = books.sending()
    excerpt = 'line one\nline two: "ü" 🧾'
    end = End(attempt, outcome="refused", duration_ms=1234, status=422, excerpt=excerpt)
    books.write(attempts.finish, [end])
    ended = Attempt(NOW, 1234, "refused", 422, excerpt, Kind.INVOICE)
    assert books.read(attempts.of_order, attempt.order_id) == [ended]


def test_the_attempts_of_an_order_are_told_from_the_oldest_whatever_they_were_for(books: Books) -> None:
    books.sending(2)
    expected = []
    for number, kind in enumerate([Kind.ESTIMATE, Kind.INVOICE]):
        issuance = books.due(1, kind)
        for again in range(2):
            at = NOW + timedelta(minutes=2 * number + again)
            attempt = books.claim(books.issuance(issuance.id), now=at)
            assert attempt is not None
            assert books.write(issuances.postpone, attempt, error="busy", next_attempt_at=NOW)
            expected.append((at, kind))
    told = books.read(attempts.of_order, issuance.order_id)
    assert [(one.started_at, one.kind) for one in told] == expected


def test_the_second_to_claim_an_issuance_leaves_no_attempt(books: Books) -> None:
    issuance = books.due()
    first = books.claim(issuance)
    assert first is not None
    assert books.claim(issuance) is None
    assert [one.started_at for one in books.read(attempts.of_order, issuance.order_id)] == [NOW]
    assert books.row(tables.issuances, issuance.id)["attempt_id"] == first.id


def test_of_claims_that_are_made_together_each_has_an_attempt_of_its_own(books: Books) -> None:
    due = [books.due(number) for number in (3, 1, 2)]
    started = books.write(_start, due)
    assert [(one.issuance_id, one.order_id) for one in started] == [(one.id, one.order_id) for one in due]
    assert len({one.id for one in started}) == 3
    for attempt in started:
        row = books.row(tables.attempts, attempt.id)
        of_order = books.order(attempt.order_id).delivery_id
        assert (row["issuance_id"], row["delivery_id"]) == (attempt.issuance_id, of_order)
        found = books.issuance(attempt.issuance_id)
        assert (found.state, found.attempt_id, found.attempts) == ("sending", attempt.id, 1)
    assert books.write(_start, []) == []


def test_ends_that_are_noted_together_are_each_of_their_own_attempt(books: Books) -> None:
    started = books.write(_start, [books.due(number) for number in (1, 2, 3)])
    ends = [End(one, f"end {one.id}", 10 * one.id, 200 + one.id, None) for one in started[:2]]
    books.write(attempts.finish, ends)
    books.write(attempts.finish, [])
    for one in started[:2]:
        row = books.row(tables.attempts, one.id)
        assert [row["outcome"], row["duration_ms"], row["status"]] == [
            f"end {one.id}",
            10 * one.id,
            200 + one.id,
        ]
    assert books.row(tables.attempts, started[2].id)["outcome"] is None


@pytest.mark.parametrize("lacking", [{"snapshot": None}, {"delivery_id": None}])
def test_an_order_of_which_nothing_is_known_to_send_cannot_be_claimed(
    books: Books, lacking: dict[str, Any]
) -> None:
    issuance = books.due()
    order = replace(books.order(issuance.order_id), **lacking)
    with pytest.raises(ValueError, match="nothing is known"):
        Claim.of(order, issuance)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("state", ["sending", "issued", "withdrawn"])
def test_where_one_is_due_no_more_none_is_claimed_and_nothing_of_the_transaction_is_kept(
    books: Books, state: str, place: int
) -> None:
    due = [books.due(number) for number in (1, 2, 3)]
    match state:
        case "sending":
            assert books.claim(due[place]) is not None
        case "issued":
            books.write(issuances.mark_issued, [due[place].id], NOW)
        case "withdrawn":
            books.write(issuances.withdraw, [due[place].id], NOW)
    before = [books.row(tables.issuances, one.id) for one in due]
    attempts_before = books.count(tables.attempts)
    with pytest.raises(NotDueError):
        books.write(_write_and_start, due)
    assert [books.row(tables.issuances, one.id) for one in due] == before
    assert books.count(tables.attempts) == attempts_before
    assert books.store().last_ping_at is None
    others = [one for one in due if one is not due[place]]
    assert [one.number for one in books.write(_start, others)] == [1, 1]


def _start(connection: Connection, due: Sequence[Issuance]) -> Sequence[StartedAttempt]:
    """Claim issuances together, as they were when they were read."""
    locked = orders.lock_each(connection, [one.order_id for one in due])
    claims = [Claim.of(locked[one.order_id], one) for one in due]
    return attempts.start(connection, claims, now=NOW, lease_ends_at=NOW + LEASE)


def _write_and_start(connection: Connection, due: Sequence[Issuance]) -> None:
    stores.record_ping(connection, 1, NOW)
    _start(connection, due)


@pytest.mark.parametrize(
    ("lease", "now", "has_ended"),
    [
        pytest.param(LEASE, NOW, False, id="just given"),
        pytest.param(LEASE, NOW + LEASE - TICK, False, id="about to end"),
        pytest.param(LEASE, NOW + LEASE, True, id="ended"),
        pytest.param(LEASE, NOW + timedelta(days=9), True, id="ended long ago"),
        pytest.param(timedelta(hours=1), NOW, False, id="the longest there is"),
        pytest.param(timedelta(hours=1), NOW - TICK, True, id="given by a clock that was set back since"),
        pytest.param(LEASE, NOW - timedelta(days=9), True, id="given by a clock that was far ahead"),
    ],
)
def test_a_lease_ends_when_it_says_or_when_it_cannot_be_true(
    books: Books, lease: timedelta, now: datetime, has_ended: bool
) -> None:
    attempt = books.sending(lease=lease)
    assert books.read(attempts.expired, attempt.issuance_id, now) == (attempt if has_ended else None)
    assert books.read(attempts.expired_ids, now=now, limit=9) == ([attempt.issuance_id] if has_ended else [])


def test_leases_that_ended_are_found_from_the_oldest_and_so_many_at_a_time(books: Books) -> None:
    ids = [
        books.sending(number, lease=timedelta(seconds=seconds)).issuance_id
        for number, seconds in enumerate([30, 10, 20, 50], start=1)
    ]
    now = NOW + timedelta(seconds=40)
    assert books.read(attempts.expired_ids, now=now, limit=9) == [ids[1], ids[2], ids[0]]
    assert books.read(attempts.expired_ids, now=now, limit=2) == [ids[1], ids[2]]


def test_nothing_but_what_is_being_sent_has_a_lease_that_ends(books: Books) -> None:
    long_after = NOW + timedelta(days=9)
    books.due(1)
    for number, outcome in enumerate([issuances.mark_held, issuances.mark_failed], start=2):
        attempt = books.sending(number)
        assert books.write(outcome, attempt, error="?", now=NOW)
        assert books.read(attempts.expired, attempt.issuance_id, long_after) is None
    assert books.read(attempts.expired_ids, now=long_after, limit=9) == []
    assert books.read(attempts.expired, 99, long_after) is None


def test_a_second_attempt_expires_with_its_own_lease_and_the_first_ones_beginning(books: Books) -> None:
    first = books.sending()
    assert books.write(issuances.postpone, first, error="busy", next_attempt_at=NOW)
    second = books.claim(books.issuance(first.issuance_id), now=NOW + LEASE)
    assert second is not None
    assert books.read(attempts.expired, first.issuance_id, NOW + LEASE) is None
    assert books.read(attempts.expired, first.issuance_id, NOW + 2 * LEASE) == second
    assert (second.number, second.first_attempt_at) == (2, NOW)
