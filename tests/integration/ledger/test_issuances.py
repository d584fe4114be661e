"""Issuances: one for each order and kind of document, which one worker sends at a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import Connection

from bridge.db import Ledger, tables
from bridge.issuance import Kind
from bridge.ledger import issuances
from bridge.ledger.issuances import Issuance
from tests.support.books import LATER, NOW, Books, add_due, add_store, claim, make_due, withdraw
from tests.support.crowds import Crew, at_once


def test_an_order_has_one_issuance_of_each_kind(books: Books) -> None:
    invoice, estimate = books.due(1, Kind.INVOICE), books.due(1, Kind.ESTIMATE)
    assert invoice.order_id == estimate.order_id
    assert [(one.id, one.kind) for one in books.read(issuances.of_order, invoice.order_id)] == [
        (invoice.id, "invoice"),
        (estimate.id, "estimate"),
    ]
    assert not books.write(
        make_due, store_id=books.store_id, order_id=invoice.order_id, kind=Kind.INVOICE, now=LATER
    )
    assert books.count(tables.issuances) == 2


def test_no_issuance_has_the_id_of_those_that_are_not_added_yet(books: Books) -> None:
    assert books.due().id > issuances.NOT_ADDED_YET


def test_what_is_due_now_and_was_not_is_told_by_order_and_kind(books: Books) -> None:
    first, second = books.due(1), books.known(2)
    documents = [(books.store_id, order_id, Kind.INVOICE) for order_id in (first.order_id, second)]
    made = books.write(issuances.make_due, documents, LATER)
    (issuance,) = books.read(issuances.of_order, second)
    assert made == {(second, "invoice"): issuance.id}


def test_eight_threads_that_make_a_document_due_make_one(books: Books) -> None:
    order_id = books.known()
    changed = at_once(
        8,
        lambda number: books.write(
            make_due, store_id=books.store_id, order_id=order_id, kind=Kind.INVOICE, now=_moment_of(number)
        ),
    )
    assert sorted(changed) == [False] * 7 + [True]
    assert books.count(tables.issuances) == 1


def _moment_of(thread: int) -> datetime:
    return NOW + timedelta(seconds=thread)


def test_two_processes_that_make_documents_due_and_claim_them_send_each_once(
    books: Books, crew: Crew
) -> None:
    with books.ledger.write() as connection:
        for number in range(1, 11):
            add_due(connection, books.store_id, number)
    done = crew.at_once(books.url, _make_due_and_claim)
    made, claimed = ([one[index] for one in done] for index in (0, 1))
    assert [sum(of_one_order) for of_one_order in zip(*made, strict=True)] == [1] * 10
    assert [sum(of_one) for of_one in zip(*claimed, strict=True)] == [1] * 20
    assert books.count(tables.issuances) == 20
    assert books.count(tables.attempts) == 20
    assert {one.attempts for one in books.read(issuances.listed, state="sending")} == {1}


def _make_due_and_claim(ledger: Ledger, number: int) -> tuple[list[bool], list[bool]]:
    """What this thread made due and what it claimed; each thread begins with another order."""
    made, claimed = {}, {}
    for order_id in [1 + (number + step) % 10 for step in range(10)]:
        with ledger.write() as connection:
            made[order_id] = make_due(
                connection, store_id=1, order_id=order_id, kind=Kind.ESTIMATE, now=_moment_of(number)
            )
        with ledger.read() as connection:
            found = issuances.of_order(connection, order_id)
        for issuance in found:
            claimed[issuance.id] = Books(ledger, "", 1).claim(issuance) is not None
    return [made[key] for key in sorted(made)], [claimed[key] for key in sorted(claimed)]


def test_of_eight_workers_at_once_one_claims_an_issuance(books: Books) -> None:
    issuance = books.due()
    claims = [one for one in at_once(8, lambda _: books.claim(issuance)) if one is not None]
    assert [one.number for one in claims] == [1]
    assert books.row(tables.issuances, issuance.id)["attempt_id"] == claims[0].id
    assert books.count(tables.attempts) == 1


def test_an_issuance_is_either_claimed_or_withdrawn(books: Books) -> None:
    for number in range(1, 13):
        issuance = books.due(number)
        is_withdrawn, is_claimed = at_once(2, partial(_withdraw_or_claim, books, issuance))
        assert is_withdrawn != is_claimed
        assert books.issuance(issuance.id).state == ("sending" if is_claimed else "withdrawn")


def _withdraw_or_claim(books: Books, issuance: Issuance, worker: int) -> bool:
    if worker == 0:
        return books.write(withdraw, issuance.id, NOW)
    return books.claim(issuance) is not None


def test_what_an_operator_withdrew_no_decision_brings_back(books: Books, crew: Crew) -> None:
    issuance = books.due()
    assert books.write(issuances.withdraw_for_good, issuance.id, NOW, who="maja")
    assert not any(crew.at_once(books.url, _make_due))
    found = books.issuance(issuance.id)
    assert (found.state, found.withdrawn_by) == ("withdrawn", "maja")
    assert books.write(issuances.send_again, issuance.id, NOW)
    assert books.issuance(issuance.id).withdrawn_by is None


def test_what_a_decision_withdrew_another_one_brings_back_once(books: Books, crew: Crew) -> None:
    issuance = books.due()
    assert books.write(withdraw, issuance.id, NOW)
    assert sorted(crew.at_once(books.url, _make_due)) == [False] * 7 + [True]
    assert books.issuance(issuance.id).state == "due"
    assert books.issuance(issuance.id).next_attempt_at in {_moment_of(thread) for thread in range(8)}


@pytest.mark.parametrize("by", ["a decision", "an operator"])
def test_what_comes_back_to_life_counts_as_never_put_off(books: Books, by: str) -> None:
    issuance = books.due()
    for _ in range(3):
        assert books.write(issuances.defer, issuance.id, error="a fault", until=LATER)
    if by == "a decision":
        assert books.write(withdraw, issuance.id, NOW)
        assert books.write(issuances.make_due, [(books.store_id, issuance.order_id, Kind.INVOICE)], LATER)
    else:
        assert books.write(issuances.withdraw_for_good, issuance.id, NOW, who="maja")
        assert books.write(issuances.send_again, issuance.id, LATER)
    found = books.issuance(issuance.id)
    assert (found.state, found.deferrals, found.due_since) == ("due", 0, LATER)


def _make_due(ledger: Ledger, number: int) -> bool:
    with ledger.write() as connection:
        return make_due(connection, store_id=1, order_id=1, kind=Kind.INVOICE, now=_moment_of(number))


def test_a_claim_keeps_what_is_sent_and_counts_the_attempts(books: Books) -> None:
    first = books.sending()
    found = books.issuance(first.issuance_id)
    assert (found.total, found.currency, found.attempts) == ("12.30", "EUR", 1)
    assert (first.number, first.first_attempt_at) == (1, NOW)
    assert books.write(issuances.postpone, first, error="busy", next_attempt_at=LATER)
    second = books.claim(books.issuance(first.issuance_id), now=LATER)
    assert second is not None
    assert (second.number, second.first_attempt_at) == (2, NOW)


def test_a_claim_that_is_undone_leaves_the_issuance_due_and_no_attempt(books: Books) -> None:
    issuance = books.due()
    before = books.row(tables.issuances, issuance.id)
    with pytest.raises(ZeroDivisionError):
        books.write(_claim_and_fail, issuance)
    assert books.row(tables.issuances, issuance.id) == before
    assert books.count(tables.attempts) == 0


def _claim_and_fail(connection: Connection, issuance: Issuance) -> None:
    assert claim(connection, issuance).issuance_id == issuance.id
    raise ZeroDivisionError


def test_an_attempt_that_is_given_back_is_not_counted(books: Books) -> None:
    first = books.sending()
    assert books.write(issuances.give_back, first, error="401", now=LATER)
    found = books.issuance(first.issuance_id)
    assert (found.attempts, found.first_attempt_at, found.next_attempt_at) == (0, None, LATER)
    assert found.last_error == "401"
    second = books.claim(found, now=LATER)
    assert second is not None
    assert (second.number, second.first_attempt_at) == (1, LATER)


@pytest.mark.parametrize("state", ["failed", "held", "withdrawn by an operator"])
def test_what_an_operator_has_sent_again_is_as_if_it_had_never_been_tried(books: Books, state: str) -> None:
    attempt = books.brought_to(state, 1)
    assert books.write(issuances.send_again, attempt.issuance_id, LATER)
    found = books.issuance(attempt.issuance_id)
    assert (found.state, found.attempts, found.first_attempt_at) == ("due", 0, None)
    assert (found.next_attempt_at, found.withdrawn_by) == (LATER, None)


def test_what_an_operator_notes_as_issued_was_issued_for_what_they_say(books: Books) -> None:
    issuance_id = books.due().id
    assert books.write(issuances.note_as_issued, issuance_id, LATER, total="9", currency="USD", content="a.b")
    found = books.issuance(issuance_id)
    assert (found.total, found.currency, found.content, found.last_error) == ("9", "USD", "a.b", None)


def test_issuances_are_listed_from_the_youngest(books: Books) -> None:
    other = books.write(add_store, "other")
    ids = [books.due(number).id for number in (1, 2, 3)]
    with books.ledger.write() as connection:
        elsewhere = add_due(connection, other, 7).id
    assert books.write(withdraw, ids[1], NOW)
    assert [one.id for one in books.read(issuances.listed)] == [elsewhere, *reversed(ids)]
    assert [one.id for one in books.read(issuances.listed, store="shop", limit=2)] == [ids[2], ids[1]]
    assert [one.id for one in books.read(issuances.listed, state="withdrawn")] == [ids[1]]
    found = books.issuance(elsewhere)
    assert (found.store, found.order, found.kind) == ("other", 7, "invoice")


def test_what_is_not_there_is_not_found(books: Books) -> None:
    assert books.read(issuances.get, 1) is None
    assert books.read(issuances.of_order, 1) == []
    assert books.read(issuances.of_orders, [1, 2]) == {}
    books.write(issuances.mark_issued, [1], NOW)
    books.write(issuances.withdraw, [1], NOW)
    assert books.count(tables.issuances) == 0


def test_the_issuances_of_several_orders_are_told_order_by_order(books: Books) -> None:
    first = [books.due(1, kind) for kind in Kind]
    second = books.due(2)
    books.due(3)
    nothing_due = books.known(4)
    found = books.read(issuances.of_orders, [second.order_id, first[0].order_id, nothing_due])
    assert found == {first[0].order_id: first, second.order_id: [second]}
