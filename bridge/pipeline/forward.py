"""Forwards an issuance: claims it, hands the order to Space Invoices, records the outcome."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bridge.issuance import compose
from bridge.ledger import LedgerUnavailableError, deliveries, issuances, orders, stores
from bridge.ledger.issuances import Issuance, StartedAttempt
from bridge.ledger.orders import KnownOrder
from bridge.ledger.stores import Store
from bridge.pipeline.configs import is_being_fetched, is_stale, refresh_config
from bridge.pipeline.context import Context
from bridge.pipeline.record import PROBE_INTERVAL, record
from bridge.pipeline.settle import settle
from bridge.spaceinvoices import Answer, SpaceInvoices

DEFER_BY = timedelta(minutes=5)  # what cannot be claimed by a fault on this side
LEASE_MARGIN = 30.0  # seconds beyond what a request may take


@dataclass(frozen=True, slots=True)
class _Claim:
    """One request that this worker alone may send."""

    attempt: StartedAttempt
    store: Store
    account: SpaceInvoices
    body: bytes
    idempotency_key: str


def forward_issuance(context: Context, issuance_id: int) -> Sequence[int]:
    """Have one document issued, if it is still due; return the ids of issuances due after it.

    A worker that dies before the claim is committed leaves `due`; one that dies after it leaves
    `sending`, which turns into `held` when its lease has ended. Nothing in between can be told apart
    from a request that was sent, so the claim is the last thing before it.
    """
    try:
        _have_a_fresh_config(context, issuance_id)
        started = time.monotonic()
        with context.ledger.write() as connection:
            claim = _claim(context, connection, issuance_id)
    except LedgerUnavailableError:
        raise
    except Exception as error:
        # Left as it is, it would be the first in every sweep, and a crowd of its kind would leave no room.
        at = context.now() + DEFER_BY
        with context.ledger.write() as connection:
            issuances.defer(connection, issuance_id, error=f"{type(error).__name__}: {error}", until=at)
        raise
    if claim is None:
        return []
    answer = claim.account.send_order(
        claim.store.woocommerce_id,
        claim.body,
        idempotency_key=claim.idempotency_key,
        deadline=started + context.api_timeout + LEASE_MARGIN / 2,
    )
    return _record_even_after_an_outage(context, claim, answer)


def _have_a_fresh_config(context: Context, issuance_id: int) -> None:
    with context.ledger.read() as connection:
        issuance = issuances.get(connection, issuance_id)
        store = stores.get(connection, issuance.store_id) if issuance else None
    if store and is_stale(context, store):
        refresh_config(context, store.id)


def _claim(context: Context, connection: Connection, issuance_id: int) -> _Claim | None:
    now = context.now()
    found = issuances.get(connection, issuance_id)
    if found is None or found.state != issuances.DUE:
        return None
    order = orders.lock(connection, found.order_id)
    store = stores.get(connection, found.store_id)
    if order.decided_version != store.decision_version:
        settle(connection, store, order, now)
    if is_being_fetched(context, store):
        return None  # by rules that are just being asked for; the sweep comes back to it
    siblings = issuances.of_order(connection, order.id)
    issuance = next(one for one in siblings if one.id == issuance_id)
    if not _may_be_sent(store, issuance, siblings, now):
        return None
    if order.snapshot is None or order.delivery_id is None:
        return None
    # All that can go wrong on this side goes wrong here, before the claim makes it an unknown outcome.
    account = context.account(store)
    body = _compose(connection, store, order)
    # If the store is paused, this request is the probe, and the others wait until the next is due.
    next_probe_at = now + timedelta(seconds=PROBE_INTERVAL)
    if store.next_probe_at is not None and not stores.claim_probe(connection, store, next_probe_at):
        return None
    attempt = issuances.start_attempt(
        connection,
        issuance,
        delivery_id=order.delivery_id,
        total=order.snapshot.total,
        currency=order.snapshot.currency,
        now=now,
        lease_ends_at=now + timedelta(seconds=2 * context.api_timeout + LEASE_MARGIN),
    )
    if attempt is None:
        return None
    key = f"{store.woocommerce_id}-{order.resource_id}-{order.snapshot.order_key}-{issuance.kind}"
    return _Claim(attempt, store, account, body, key)


def _may_be_sent(store: Store, issuance: Issuance, siblings: Sequence[Issuance], now: datetime) -> bool:
    if issuance.state != issuances.DUE or issuance.next_attempt_at is None or issuance.next_attempt_at > now:
        return False
    if store.paused_at is not None and (store.next_probe_at is None or store.next_probe_at > now):
        return False
    # One request for an order at a time: two could overtake each other on their way, and the
    # estimate come after the invoice.
    return all(one.state != issuances.SENDING for one in siblings)


def _compose(connection: Connection, store: Store, order: KnownOrder) -> bytes:
    delivery = deliveries.get(connection, order.delivery_id or 0)
    if delivery is None:
        raise LookupError(f"delivery {order.delivery_id} is not in the ledger")  # a foreign key forbids it
    if store.order_body == "bare":
        return delivery.body
    return compose(delivery.body, store.config or {})


def _record_even_after_an_outage(context: Context, claim: _Claim, answer: Answer) -> Sequence[int]:
    """Record the outcome, and wait for the ledger to come back as long as the lease surely lasts.

    If it does not, or this worker dies here, the issuance ends as `held`.
    """
    give_up_at = time.monotonic() + context.api_timeout
    while True:
        try:
            with context.ledger.write() as connection:
                return record(context, connection, claim.attempt, answer.outcome, duration=answer.duration)
        except LedgerUnavailableError:
            if time.monotonic() >= give_up_at:
                raise
            time.sleep(0.5)
