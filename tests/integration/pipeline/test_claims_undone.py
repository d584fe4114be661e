"""Claims whose transaction fails: what is claimed all the same, and what it costs the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bridge.db import LedgerUnavailableError
from bridge.pipeline.claim import Claimed, Quota, claim
from bridge.pipeline.context import Context
from tests.support.shop import Shop
from tests.support.watched import WatchedLedger, lose, wait_in_vain

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def context(shop: Shop, watched: WatchedLedger) -> Context:
    return replace(shop.context, ledger=watched)


def claim_all(shop: Shop, context: Context) -> Sequence[Claimed]:
    return claim(context, [Quota(shop.store(), limit=10)])


def test_where_a_lock_is_waited_for_in_vain_each_is_claimed_by_itself(
    shop: Shop, watched: WatchedLedger, context: Context
) -> None:
    due = {shop.paid(number) for number in (1, 2, 3)}
    watched.before_commit = lambda: wait_in_vain() if len(watched.lock_timeouts) == 1 else None
    assert {one.attempt.issuance_id for one in claim_all(shop, context)} == due


def test_one_whose_lock_is_waited_for_in_vain_is_left_due_for_the_next_turn(
    shop: Shop, watched: WatchedLedger, context: Context
) -> None:
    invoice = shop.paid(1)
    watched.before_commit = wait_in_vain
    assert not claim_all(shop, context)
    left = shop.issuance(invoice)
    assert (left.state, left.attempts, left.deferrals, len(watched.lock_timeouts)) == ("due", 0, 0, 1)


@pytest.mark.parametrize("orders", [0, 1, 2])
def test_a_ledger_that_is_lost_costs_nothing_that_is_due_anything(
    shop: Shop, watched: WatchedLedger, context: Context, orders: int
) -> None:
    due = [shop.paid(number) for number in range(1, 1 + orders)]
    watched.before_commit = lose
    with pytest.raises(LedgerUnavailableError):
        claim_all(shop, context)
    assert [(one.state, one.deferrals) for one in map(shop.issuance, due)] == [("due", 0)] * orders


def test_a_fault_of_no_document_is_told(shop: Shop, watched: WatchedLedger, context: Context) -> None:
    def fail() -> None:
        raise RuntimeError("a fault")

    watched.before_commit = fail
    with pytest.raises(RuntimeError, match="a fault"):
        claim_all(shop, context)
