"""Orders that wait for a person: unpaid or unmapped for too long, for attention, of an inactive store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from bridge.admin import store_removal
from bridge.ledger import backlog, orders, store_configs
from bridge.ledger.backlog import StoreBacklog
from bridge.ledger.waiting import Attention, Waiting, WhileInactive
from tests.support.books import NOW, Books, add_store

DAYS, HOUR = timedelta(days=1), timedelta(hours=1)
ACTIVE, INACTIVE = {"active": True}, {"active": False}


def decided(
    books: Books,
    resource_id: int,
    rule: str,
    since: datetime,
    *,
    decision: str = "wait",
    store_id: int | None = None,
    is_paid: bool = False,
) -> int:
    """An order that this rule has decided on since then; its id."""
    order_id = books.known(resource_id, store_id=store_id, has_date_paid=is_paid)
    order = replace(books.order(order_id), decision=decision, rule=rule, rule_since=since)
    books.write(orders.save, [order])
    return order_id


def waiting(books: Books) -> Mapping[str, Waiting]:
    return of_store(books).waiting


def of_store(books: Books) -> StoreBacklog:
    return books.read(backlog.of_stores, NOW)[books.store_id]


def test_orders_that_are_unpaid_or_unmapped_wait_too_long_after_two_days(books: Books) -> None:
    for rule in ("pending", "unknown_status", "on_completion"):
        number = len(rule) * 10
        decided(books, number, rule, NOW - 2 * DAYS)
        decided(books, number + 1, rule, NOW - 5 * DAYS)
        decided(books, number + 2, rule, NOW - 2 * DAYS + HOUR)
    expected = Waiting(2, NOW - 5 * DAYS)
    assert waiting(books) == {"pending": expected, "unknown_status": expected}
    measured = books.read(backlog.measure, NOW).orders_waiting
    assert measured == {"pending": 2, "pending_paid": 0, "unknown_status": 2}


def test_a_pending_order_that_is_paid_is_told_apart_and_sooner(books: Books) -> None:
    decided(books, 1, "pending", NOW - HOUR, is_paid=True)
    decided(books, 2, "pending", NOW - HOUR / 2, is_paid=True)
    assert waiting(books) == {"pending_paid": Waiting(1, NOW - HOUR)}


def test_an_order_that_was_decided_on_since_by_the_version_before_does_not_wait(books: Books) -> None:
    decided(books, 1, "pending", NOW - 9 * DAYS, decision="invoice")
    assert waiting(books) == {}


def test_an_order_that_was_decided_before_there_were_rules_is_not_dated(books: Books) -> None:
    order_id = books.known(1)
    books.write(orders.save, [replace(books.order(order_id), decision="attention")])
    assert waiting(books) == {}
    assert of_store(books).attention == Attention(1, 0, None)


def test_orders_for_attention_are_counted_and_the_recent_ones_told_apart(books: Books) -> None:
    decided(books, 1, "sub_order", NOW - 3 * DAYS, decision="attention")
    decided(books, 2, "refunded_after_invoice", NOW - HOUR, decision="attention")
    # These are told of as issuances.
    decided(books, 3, "held", NOW - HOUR, decision="attention")
    decided(books, 4, "failed", NOW - HOUR, decision="attention")
    assert of_store(books).attention == Attention(2, 1, NOW - HOUR)
    measured = books.read(backlog.measure, NOW)
    assert (measured.orders_attention, measured.orders_attention_recent) == (2, 1)


@pytest.mark.parametrize("config", [INACTIVE, {"_isDeleted": True}])
def test_orders_that_come_in_for_an_inactive_store_are_counted(
    books: Books, config: Mapping[str, object]
) -> None:
    books.write(store_configs.save, books.store(), ACTIVE, NOW - 3 * DAYS)
    decided(books, 1, "inactive", NOW, decision="skip")  # which was there before, and is decided again
    books.write(store_configs.save, books.store(), config, NOW - 2 * DAYS)
    assert of_store(books).while_inactive == WhileInactive()
    assert books.read(backlog.measure, NOW).inactive_orders == {}
    decided(books, 2, "inactive", NOW, decision="skip")
    books.write(store_configs.save, books.store(), config, NOW - DAYS)  # and again: it has been so all along
    decided(books, 3, "inactive", NOW, decision="skip")
    assert books.store().inactive_since == NOW - 2 * DAYS
    assert of_store(books).while_inactive == WhileInactive(2, NOW)
    assert books.read(backlog.measure, NOW).inactive_orders == {"shop": 2}
    books.write(store_configs.save, books.store(), ACTIVE, NOW)
    assert books.store().inactive_since is None
    assert of_store(books).while_inactive == WhileInactive()


def test_of_a_store_that_is_removed_no_order_waits(books: Books) -> None:
    other = books.write(add_store, "other")
    order_id = decided(books, 1, "pending", NOW - 9 * DAYS, store_id=other, is_paid=True)
    assert books.read(backlog.measure, NOW).orders_waiting["pending_paid"] == 1
    books.write(store_removal.remove, books.store(other), who="ana", now=NOW)
    assert books.read(backlog.measure, NOW).orders_waiting["pending_paid"] == 0
    assert (books.order(order_id).rule, books.order(order_id).rule_since) == ("removed", NOW)
