"""Claims: what may be sent is looked at last of all, and how long it may be sent for."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from bridge.admin import store_removal
from bridge.db import tables
from bridge.issuance import StoreOptions
from bridge.ledger import issuances, orders, store_configs, store_pauses, stores
from bridge.ledger.due import LockedDue
from bridge.ledger.store import Store
from bridge.pipeline.claim import Claimed, Quota, _candidates, claim
from bridge.pipeline.context import Context
from tests.support.api import failing_api
from tests.support.shop import WOOCOMMERCE, Shop, at, forward

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

TICK = timedelta(microseconds=1)


def claim_all(
    shop: Shop, *, is_probe: bool = False, context: Context | None = None, store: Store | None = None
) -> Mapping[int, Claimed]:
    """Claim what is due of a store that was like this a moment ago; the claims by the issuances' ids."""
    quota = Quota(store or shop.store(), limit=10)
    if is_probe:
        quota = replace(quota, is_probe=True)
    return {one.attempt.issuance_id: one for one in claim(context or shop.context, [quota])}


def lease_of(shop: Shop, issuance_id: int) -> tuple[datetime, datetime]:
    """When the lease of what is being sent begins and ends."""
    of, begun = tables.issuances.c, tables.attempts.c
    with shop.context.ledger.read() as connection:
        rows = tables.issuances.join(tables.attempts, begun.id == of.attempt_id)
        query = rows.select().with_only_columns(begun.started_at, of.lease_ends_at)
        row = connection.execute(query.where(of.id == issuance_id)).one()
    return row.started_at, row.lease_ends_at


def set_options(shop: Shop, **options: Any) -> None:
    """Give the store these options, as an operator would, and the defaults for all others."""
    with shop.context.ledger.write() as connection:
        stores.set_options(connection, shop.store(), StoreOptions(**options), shop.clock.now())


def pause(shop: Shop, *, next_probe_at: datetime | None) -> None:
    """Pause the store, until the next probe or (None) as an operator does."""
    with shop.context.ledger.write() as connection:
        now = shop.clock.now()
        store_pauses.pause(connection, shop.store_id, reason="?", now=now, next_probe_at=next_probe_at)


# The lease.


@pytest.mark.parametrize("timeout", [5, 60])
def test_a_lease_lasts_two_requests_and_half_a_minute_from_its_claim(shop: Shop, timeout: float) -> None:
    invoice = shop.paid(1)
    shop.clock.advance(seconds=7)
    claim_all(shop, context=replace(shop.context, api_timeout=timeout))
    begins_at, ends_at = lease_of(shop, invoice)
    assert begins_at == shop.clock.now()
    assert ends_at - begins_at == timedelta(seconds=2 * timeout + 30)


def test_half_way_through_its_lease_nothing_is_sent_any_more(shop: Shop) -> None:
    invoice = shop.paid(1)
    found = claim_all(shop)[invoice]
    begins_at, ends_at = lease_of(shop, invoice)
    half = begins_at + (ends_at - begins_at) / 2
    assert not found.is_too_late()
    shop.clock.at = half
    assert not found.is_too_late()
    shop.clock.at = half + TICK
    assert found.is_too_late()
    # There is time enough left for a request that has begun by then, and more.
    assert ends_at - half > timedelta(seconds=shop.context.api_timeout)


@pytest.mark.parametrize("step", [timedelta(), timedelta(days=-1)])
def test_a_clock_that_stands_still_or_is_set_back_gives_no_time_to_send(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, step: timedelta
) -> None:
    invoice = shop.paid(1)
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: 1000.0)
        found = claim_all(shop)[invoice]
    begins_at, ends_at = lease_of(shop, invoice)
    half = (ends_at - begins_at).total_seconds() / 2
    shop.clock.at += step
    is_too_late = []
    for seconds in (half, half + 0.001):
        with monkeypatch.context() as patch:
            patch.setattr(time, "monotonic", lambda: 1000.0 + seconds)  # noqa: B023
            is_too_late.append(found.is_too_late())
    assert is_too_late == [False, True]


# Whether it may be sent at all.


@pytest.mark.parametrize(
    ("is_probe", "probed", "may_be_sent"),
    [
        pytest.param(False, True, False, id="what was on its way when the store was paused"),
        pytest.param(True, True, True, id="a probe"),
        pytest.param(True, False, False, id="a probe, when an operator has stopped the store meanwhile"),
        pytest.param(False, False, False, id="what was on its way when an operator stopped the store"),
    ],
)
def test_of_a_store_that_is_paused_meanwhile_only_a_probe_goes_out(
    shop: Shop, is_probe: bool, probed: bool, may_be_sent: bool
) -> None:
    invoice = shop.paid(1)
    pause(shop, next_probe_at=shop.clock.now() if probed else None)
    claims = claim_all(shop, is_probe=is_probe)
    assert [one.is_probe for one in claims.values()] == ([True] if may_be_sent else [])
    assert shop.issuance(invoice).state == ("sending" if may_be_sent else "due")


def test_who_meets_a_store_that_was_paused_knows_it_from_there_on(shop: Shop) -> None:
    shop.paid(1)
    assert shop.context.recent_store(shop.store_id).paused_at is None
    pause(shop, next_probe_at=None)
    assert not claim_all(shop)
    assert shop.context.recent_store(shop.store_id).paused_at is not None


@pytest.mark.parametrize(
    ("in_advance", "may_be_sent"),
    [
        (timedelta(), True),
        (TICK, False),
        (timedelta(hours=2), False),
        # No wait is as long: the clock has been set back since.
        (timedelta(hours=2) + TICK, True),
    ],
)
def test_what_is_due_later_is_not_sent_yet(shop: Shop, in_advance: timedelta, may_be_sent: bool) -> None:
    invoice = shop.paid(1)
    until = shop.clock.now() + in_advance
    with shop.context.ledger.write() as connection:
        assert issuances.defer(connection, invoice, error="?", until=until)
    assert bool(claim_all(shop)) is may_be_sent


@pytest.mark.parametrize("state", ["sending", "issued", "failed", "held", "withdrawn"])
def test_what_is_due_no_more_is_not_sent(shop: Shop, state: str) -> None:
    invoice, other = shop.paid(1), shop.paid(2)
    attempt = shop.claim(invoice, lease=40)
    with shop.context.ledger.write() as connection:
        now = shop.clock.now()
        match state:
            case "issued":
                issuances.mark_issued(connection, [invoice], now)
            case "failed":
                assert issuances.mark_failed(connection, attempt, error="?", now=now)
            case "held":
                assert issuances.mark_held(connection, attempt, error="?", now=now)
            case "withdrawn":
                assert issuances.mark_held(connection, attempt, error="?", now=now)
                assert issuances.withdraw_for_good(connection, invoice, now, who="maja")
    assert list(claim_all(shop)) == [other]
    assert shop.issuance(invoice).state == state


def test_of_an_orders_two_documents_one_is_under_way_at_a_time(shop: Shop) -> None:
    (estimate,) = shop.process(shop.receive(at(1, status="on-hold", payment_method="bacs")))
    attempt = shop.claim(estimate, lease=40)
    shop.process(shop.receive(at(2, status="processing", payment_method="bacs")))
    assert not claim_all(shop)
    with shop.context.ledger.write() as connection:
        assert issuances.mark_failed(connection, attempt, error="?", now=shop.clock.now())
        assert issuances.send_again(connection, estimate, shop.clock.now())
    assert list(claim_all(shop)) == [estimate]
    assert shop.states() == {"estimate": "sending", "invoice": "due"}


@pytest.mark.parametrize(
    ("estimate", "invoice", "is_candidate"),
    [("failed", "due", True), ("sending", "due", False), ("failed", "sending", False)],
)
def test_what_another_process_claimed_just_before_the_order_was_locked_is_not_sent_twice(
    shop: Shop, estimate: str, invoice: str, is_candidate: bool
) -> None:
    """The query that locks the order may have found its documents as they were before."""
    (first,) = shop.process(shop.receive(at(1, status="on-hold", payment_method="bacs")))
    attempt = shop.claim(first, lease=40)
    (second,) = shop.process(shop.receive(at(2, status="processing", payment_method="bacs")))
    with shop.context.ledger.write() as connection:
        now = shop.clock.now()
        if estimate == "failed":
            assert issuances.mark_failed(connection, attempt, error="?", now=now)
        if invoice == "sending":
            shop.start_attempt(connection, second, lease=40)
        locked = LockedDue(second, orders.lock(connection, shop.order().id))
        found = list(_candidates(connection, [(Quota(shop.store(), limit=10), locked)], now))
    assert shop.states() == {"estimate": estimate, "invoice": invoice}
    assert [one.issuance.id for one in found] == ([second] if is_candidate else [])


def test_nothing_is_sent_with_a_token_that_was_changed_meanwhile(shop: Shop) -> None:
    invoice = shop.paid(1)
    before = shop.store()
    shop.set_token("another-token")
    assert not claim_all(shop, store=before)
    assert list(claim_all(shop)) == [invoice]


def test_by_rules_that_are_being_asked_for_nothing_is_sent(shop: Shop) -> None:
    invoice = shop.paid(1)
    shop.clock.advance(days=400)
    with shop.context.ledger.write() as connection:
        assert store_configs.start_fetch(connection, shop.store(), shop.clock.now())
    assert not claim_all(shop)
    shop.clock.advance(seconds=2 * shop.context.api_timeout)  # by now it has failed
    assert list(claim_all(shop)) == [invoice]


def test_what_the_rules_ask_for_no_more_is_withdrawn_instead_of_sent(shop: Shop) -> None:
    fields = {"payment_method": "cheque", "status": "on-hold"}
    set_options(shop, bank_payment_methods=frozenset({"cheque"}))
    (estimate,) = shop.process(shop.receive(at(1, **fields)))
    before = shop.store()
    set_options(shop)
    assert not claim_all(shop, store=before)
    assert shop.issuance(estimate).state == "withdrawn"
    assert shop.order().decided_version == shop.store().decision_version


def test_nothing_is_sent_of_a_store_that_was_removed(shop: Shop) -> None:
    invoice = shop.paid(1)
    before = shop.store()
    with shop.context.ledger.write() as connection:
        store_removal.remove(
            connection, stores.lock(connection, shop.store_id), who="maja", now=shop.clock.now()
        )
    assert not claim_all(shop, store=before)
    assert shop.issuance(invoice).attempts == 0


# What is sent.


@pytest.mark.parametrize("order_body", ["merged", "bare"])
def test_an_order_is_sent_as_it_came_or_with_the_config_over_it(shop: Shop, order_body: str) -> None:
    set_options(shop, order_body=order_body)
    order = {**at(1, status="processing"), "total": "40.979999999999997", "name": "the order's own"}
    shop.process(shop.receive(order))
    with failing_api(shop) as (api, context):
        api.order_status = 200
        forward(context, shop.store_id)
    (body,) = api.bodies
    if order_body == "bare":
        assert body == json.dumps(order).encode()
    else:
        assert json.loads(body)["name"] == "Shop"
        assert json.loads(body)["total"] == order["total"]


@pytest.mark.parametrize("by", [None, "ana"])
def test_an_order_that_an_operator_wants_issued_is_sent_for_its_invoice_whatever_its_status(
    shop: Shop, by: str | None
) -> None:
    config = {"id": WOOCOMMERCE, "name": "Shop", "issueInvoiceOnComplete": True}
    with shop.context.ledger.write() as connection:
        store_configs.save(connection, shop.store(), config, shop.clock.now())
    (invoice,) = shop.process(shop.receive(at(1, status="completed")))
    with shop.context.ledger.write() as connection:
        connection.execute(update(tables.orders).values(issue_anyway_by=by))
    sent = json.loads(claim_all(shop)[invoice].body)
    assert sent["issueInvoiceOnComplete"] is (by is None)


def test_a_document_has_a_key_of_its_own_that_stays_the_same_at_each_attempt(shop: Shop) -> None:
    shop.process(shop.receive(at(1, status="on-hold", payment_method="bacs")))
    with failing_api(shop) as (api, context):
        for api.order_status in (503, 200):
            forward(context, shop.store_id)
            shop.clock.advance(minutes=1)
        shop.process(shop.receive(at(2, status="processing", payment_method="bacs")))
        forward(context, shop.store_id)
    order = f"{WOOCOMMERCE}-1-{shop.order().order_key}"
    assert api.keys == [f"{order}-estimate"] * 2 + [f"{order}-invoice"]


def test_an_order_whose_key_no_header_can_carry_is_sent_by_one_that_can(shop: Shop) -> None:
    shop.process(shop.receive(at(1, status="processing", order_key="naročilo 1")))
    with failing_api(shop) as (api, context):
        api.order_status = 200
        forward(context, shop.store_id)
    assert api.keys == [f"{WOOCOMMERCE}-1-naro%C4%8Dilo%201-invoice"]
