"""Documents that cannot be sent by a fault on this side: deferred, late, and given up after some days."""

from __future__ import annotations

import zlib
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from bridge.db import tables
from bridge.issuance.backoff import GIVE_UP_AFTER, LEAST_ATTEMPTS
from bridge.ledger import backlog, issuances, store_pauses
from bridge.pipeline import deferral
from bridge.pipeline.context import Clients, Context
from bridge.pipeline.deferral import DEFER_BY
from bridge.vault import Vault
from bridge.vault.encryption import make_key
from tests.support.shop import Shop, forward_issuance


@pytest.fixture
def broken(shop: Shop) -> int:
    """An invoice that is due, of an order whose body cannot be read any more."""
    invoice = shop.paid(1)
    with shop.context.ledger.write() as connection:
        connection.execute(update(tables.deliveries).values(body=b"not what zlib has written"))
    return invoice


def forward(shop: Shop, issuance_id: int, context: Context | None = None) -> None:
    """Try to send it, which fails on this side; then it is time for the next try, unless it was given up."""
    forward_issuance(context or shop.context, issuance_id)
    shop.clock.advance(seconds=DEFER_BY.total_seconds())


def times_deferred(shop: Shop, issuance_id: int) -> int:
    return shop.issuance(issuance_id).deferrals


def test_a_deferred_document_is_as_late_as_it_is(shop: Shop, broken: int) -> None:
    fell_due = shop.clock.now()
    for _ in range(12):
        forward(shop, broken)
        assert shop.issuance(broken).next_attempt_at == shop.clock.now()
    assert (times_deferred(shop, broken), shop.issuance(broken).due_since) == (12, fell_due)
    with shop.context.ledger.read() as connection:
        measured = backlog.measure(connection, shop.clock.now())
    assert measured.late_seconds == {"shop": 3600.0}
    assert measured.oldest_due_seconds == 3600.0


def test_a_document_that_was_deferred_for_three_days_fails_with_its_reason(shop: Shop, broken: int) -> None:
    fell_due = shop.clock.now()
    for _ in range(LEAST_ATTEMPTS):
        forward(shop, broken)
    shop.clock.at = fell_due + GIVE_UP_AFTER - timedelta(seconds=1)
    forward(shop, broken)
    assert shop.issuance(broken).state == "due"
    forward(shop, broken)
    failed = shop.issuance(broken)
    assert (failed.state, failed.attempts, failed.next_attempt_at) == ("failed", 0, None)
    assert "given up" in (failed.last_error or "")
    assert "Error -3 while decompressing" in (failed.last_error or "")
    assert (shop.order().decision, shop.order().rule) == ("attention", "failed")
    # And it comes back to life as any that failed.
    with shop.context.ledger.write() as connection:
        assert issuances.send_again(connection, broken, shop.clock.now())
    forward(shop, broken)
    assert (shop.issuance(broken).state, times_deferred(shop, broken)) == ("due", 1)


def test_a_clock_that_steps_forward_gives_nothing_up(shop: Shop, broken: int) -> None:
    shop.clock.advance(days=30)
    forward(shop, broken)
    assert shop.issuance(broken).state == "due"


def test_the_time_that_a_store_was_paused_counts_against_no_document(shop: Shop, broken: int) -> None:
    for _ in range(LEAST_ATTEMPTS):
        forward(shop, broken)
    shop.clock.advance(days=30)
    with shop.context.ledger.write() as connection:
        store_pauses.pause(connection, shop.store_id, reason="why", now=shop.clock.now(), next_probe_at=None)
        store_pauses.resume(connection, shop.store_id, shop.clock.now(), by_operator=True)
    forward(shop, broken)
    assert shop.issuance(broken).state == "due"
    shop.clock.advance(seconds=GIVE_UP_AFTER.total_seconds())
    forward(shop, broken)
    assert shop.issuance(broken).state == "failed"


def test_a_key_that_does_not_fit_fails_no_document_however_long_it_takes(shop: Shop) -> None:
    invoice, fell_due = shop.paid(1), shop.clock.now()
    locked_out = replace(shop.context, vault=Vault([make_key()]), _clients=Clients())
    for _ in range(LEAST_ATTEMPTS):
        forward(shop, invoice, locked_out)
    shop.clock.at = fell_due + timedelta(days=30)
    forward(shop, invoice, locked_out)
    assert shop.issuance(invoice).state == "due"
    with shop.context.ledger.read() as connection:
        late = backlog.measure(connection, shop.clock.now()).late_seconds
    assert late["shop"] == (timedelta(days=30) + DEFER_BY).total_seconds()
    forward_issuance(shop.context, invoice)
    assert shop.documents() == ["invoice"]


@pytest.mark.parametrize("meanwhile", ["withdrawn", "issued"])
def test_a_document_that_was_settled_meanwhile_is_not_given_up(
    shop: Shop, broken: int, meanwhile: str
) -> None:
    for _ in range(LEAST_ATTEMPTS):
        forward(shop, broken)
    shop.clock.advance(days=30)
    with shop.context.ledger.write() as connection:
        if meanwhile == "withdrawn":
            issuances.withdraw(connection, [broken], shop.clock.now())
        else:
            issuances.mark_issued(connection, [broken], shop.clock.now())
    deferral.defer(shop.context, broken, zlib.error("?"), by=DEFER_BY)
    assert shop.issuance(broken).state == meanwhile


def test_a_document_whose_order_cannot_be_decided_on_either_fails_all_the_same(
    shop: Shop, broken: int
) -> None:
    for _ in range(LEAST_ATTEMPTS):
        forward(shop, broken)
    with shop.context.ledger.write() as connection:
        # No decision is possible by a status map that is none.
        connection.execute(update(tables.stores).values(status_map="?"))
    shop.clock.advance(days=3)
    deferral.defer(shop.context, broken, zlib.error("?"), by=DEFER_BY)
    assert shop.issuance(broken).state == "failed"
