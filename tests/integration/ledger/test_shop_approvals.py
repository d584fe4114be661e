"""An approval is good for one store, once and for a while, whoever comes with it at the same time."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select

from bridge.db import tables
from bridge.ledger import shop_approvals, shops
from bridge.ledger.shop_approvals import KEPT, LASTS, PROOF_LASTS, Approval
from tests.support.books import NOW, Books, add_store

STATE = "0123456789abcdef" * 2
SECOND = timedelta(seconds=1)


@pytest.fixture
def approval(books: Books) -> Approval:
    books.write(shop_approvals.begin, books.store_id, "https://shop.example", STATE, who="ana", now=NOW)
    return now_of(books)


def now_of(books: Books) -> Approval:
    found = books.read(shop_approvals.find, STATE)
    assert found is not None
    return found


def test_an_approval_is_found_by_its_state_alone_and_the_state_is_not_kept(
    books: Books, approval: Approval
) -> None:
    assert (approval.store_id, approval.url, approval.who) == (books.store_id, "https://shop.example", "ana")
    assert approval.expires_at == NOW + LASTS
    assert not approval.is_over(NOW)
    assert books.read(shop_approvals.find, "f" * 32) is None
    with books.ledger.read() as connection:
        (row,) = connection.execute(select(tables.shop_approvals)).all()
    assert not any(STATE in str(value) or STATE.encode() == value for value in row)


def test_of_two_at_once_one_has_it(books: Books, approval: Approval) -> None:
    moments = itertools.count()

    def claim() -> bool:
        return books.write(shop_approvals.claim, approval.id, NOW + next(moments) * SECOND)

    with ThreadPoolExecutor(8) as threads:
        claims = [threads.submit(claim) for _ in range(8)]
    assert sorted(claim.result() for claim in claims) == [False] * 7 + [True]


def test_it_is_used_once(books: Books, approval: Approval) -> None:
    assert books.write(shop_approvals.claim, approval.id, NOW)
    assert now_of(books).is_being_proved(NOW)
    assert books.write(shop_approvals.finish, approval.id, NOW)
    after = now_of(books)
    assert (after.is_connected, after.is_over(NOW), after.last_failure) == (True, True, None)
    for later in (NOW + SECOND, NOW + PROOF_LASTS, NOW + LASTS):
        assert not books.write(shop_approvals.claim, approval.id, later)
    assert not books.write(shop_approvals.deny, approval.id, NOW)


def test_it_is_open_again_after_keys_that_were_not_kept(books: Books, approval: Approval) -> None:
    assert books.write(shop_approvals.claim, approval.id, NOW)
    books.write(shop_approvals.release, approval.id, NOW, "It was not reached.")
    assert now_of(books).last_failure == "It was not reached."
    assert books.write(shop_approvals.claim, approval.id, NOW + SECOND)
    assert now_of(books).last_failure is None


def test_a_claim_whose_process_died_is_taken_over_and_cannot_end_it_any_more(
    books: Books, approval: Approval
) -> None:
    assert books.write(shop_approvals.claim, approval.id, NOW)
    almost, later = NOW + PROOF_LASTS - SECOND, NOW + PROOF_LASTS
    assert not books.write(shop_approvals.claim, approval.id, almost)
    assert books.write(shop_approvals.claim, approval.id, later)
    assert not books.write(shop_approvals.finish, approval.id, NOW)
    books.write(shop_approvals.release, approval.id, NOW, "too late to matter")
    assert now_of(books).last_failure is None
    assert books.write(shop_approvals.finish, approval.id, later)


def test_it_expires_but_not_over_keys_that_came_in_time(books: Books, approval: Approval) -> None:
    end = NOW + LASTS
    assert approval.is_over(end)
    assert not books.write(shop_approvals.claim, approval.id, end)
    assert not books.write(shop_approvals.deny, approval.id, end)
    assert books.write(shop_approvals.claim, approval.id, end - SECOND)
    assert not now_of(books).is_over(end)
    assert now_of(books).is_over(end + PROOF_LASTS)
    assert books.write(shop_approvals.finish, approval.id, end - SECOND)


def test_one_that_was_denied_is_over(books: Books, approval: Approval) -> None:
    assert books.write(shop_approvals.deny, approval.id, NOW)
    assert (now_of(books).is_denied, now_of(books).is_over(NOW)) == (True, True)
    assert not books.write(shop_approvals.claim, approval.id, NOW + PROOF_LASTS)


def test_it_ends_with_the_connection_of_its_store_and_no_others(books: Books, approval: Approval) -> None:
    other = books.write(add_store, "other")
    books.write(shops.disconnect, other)
    assert now_of(books) == approval
    books.write(shops.disconnect, books.store_id)
    assert books.read(shop_approvals.find, STATE) is None
    assert not books.write(shop_approvals.claim, approval.id, NOW)
    assert not books.write(shop_approvals.finish, approval.id, NOW)


def test_those_that_ended_long_ago_are_forgotten(books: Books, approval: Approval) -> None:
    for number, moment in enumerate((NOW + LASTS + KEPT, NOW + LASTS + KEPT + SECOND)):
        assert now_of(books) == approval
        books.write(
            shop_approvals.begin, books.store_id, "https://x", f"{number}" * 32, who="ana", now=moment
        )
    assert books.read(shop_approvals.find, STATE) is None
    assert books.read(shop_approvals.find, "0" * 32) is not None
