"""Claims due issuances: the last thing before their requests are sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import quote

import structlog
from sqlalchemy import Connection

from bridge.db import LedgerUnavailableError
from bridge.db.errors import LedgerBusyError
from bridge.issuance import Kind, compose, overrides_of
from bridge.ledger import attempts, deliveries, due, issuances, stores
from bridge.ledger.deliveries import Delivery
from bridge.ledger.issuances import Issuance, StartedAttempt
from bridge.ledger.orders import KnownOrder
from bridge.ledger.stores import Store
from bridge.pipeline.context import Context
from bridge.pipeline.decide import OrderState, decide_on, save
from bridge.pipeline.deferral import DEFER_BY, defer
from bridge.pipeline.snapshot import reread
from bridge.pipeline.store_configs import is_to_be_awaited

LEASE_MARGIN = 30.0  # seconds beyond what a request may take

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Quota:
    """How many issuances of a store may be claimed. `store` is as it was a moment ago."""

    store: Store
    limit: int
    is_probe: bool = False  # of a paused store, which is half-open for one request


@dataclass(frozen=True, slots=True)
class Claimed:
    """One request that this worker alone may send."""

    attempt: StartedAttempt
    store: Store
    body: bytes
    idempotency_key: str
    is_probe: bool
    is_too_late: Callable[[], bool]


def claim(context: Context, quotas: Sequence[Quota]) -> Sequence[Claimed]:
    """Claim what is due within the quotas, in one transaction, and begin an attempt for each.

    A worker that dies before the commit leaves `due`. One that dies after it, before the outcome is recorded,
    leaves `sending`, which expires to `held`: nobody can tell it from a request that was sent.

    What another transaction has locked is skipped. Where the transaction fails, each issuance has one of its
    own, so that none costs the others anything; one that cannot be sent by a fault on this side is deferred.
    Raises LedgerUnavailableError.
    """
    due_ids: list[int] = []
    try:
        with context.ledger.write(lock_timeout=context.patience) as connection:
            return _claim(context, connection, quotas, due_ids)
    except LedgerBusyError:
        return _claim_each(context, quotas) if len(due_ids) > 1 else []
    except LedgerUnavailableError:
        raise
    except Exception as error:
        if len(due_ids) > 1:
            return _claim_each(context, quotas)
        if not due_ids:
            raise
        log.exception("a document cannot be sent", issuance=due_ids[0])
        defer(context, due_ids[0], error, by=DEFER_BY)
        return claim(context, quotas)


def _claim_each(context: Context, quotas: Sequence[Quota]) -> Sequence[Claimed]:
    each = [replace(quota, limit=1) for quota in quotas for _ in range(quota.limit)]
    return [claimed for quota in each for claimed in claim(context, [quota])]


def _claim(
    context: Context, connection: Connection, quotas: Sequence[Quota], due_ids: list[int]
) -> Sequence[Claimed]:
    """`due_ids` gets the ids of the issuances that the transaction is about."""
    now = context.now()
    by_store = stores.get_each(connection, [quota.store.id for quota in quotas])
    context.remember(by_store.values())
    sendable = [
        replace(quota, store=by_store[quota.store.id])
        for quota in quotas
        if _may_send(context, by_store[quota.store.id], quota)
    ]
    found = due.lock_of_stores(connection, {one.store.id: one.limit for one in sendable}, now=now)
    locked = [(quota, one) for quota in sendable for one in found[quota.store.id]]
    due_ids.extend(one.issuance_id for _, one in locked)
    candidates = list(_candidates(connection, locked, now))
    started = attempts.start(
        connection,
        [attempts.Claim.of(one.order, one.issuance) for one in candidates],
        now=now,
        lease_ends_at=now + timedelta(seconds=2 * context.api_timeout + LEASE_MARGIN),
    )
    is_too_late = _half_of_the_lease(context)
    return [
        Claimed(
            attempt,
            one.quota.store,
            one.body,
            _idempotency_key(one),
            one.quota.is_probe,
            is_too_late,
        )
        for one, attempt in zip(candidates, started, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A due issuance, and what its request is made of."""

    quota: Quota
    order: KnownOrder
    issuance: Issuance
    body: bytes


def _may_send(context: Context, store: Store, quota: Quota) -> bool:
    """Whether requests of a store may be sent, as it is now."""
    # A probe is for a store that failures have paused; an operator's pause is a stop.
    is_paused = store.paused_at is not None and (not quota.is_probe or store.next_probe_at is None)
    has_other_token = store.encrypted_api_token != quota.store.encrypted_api_token
    return not (is_paused or has_other_token or is_to_be_awaited(context, store))


def _candidates(
    connection: Connection, locked: Sequence[tuple[Quota, due.LockedDue]], now: datetime
) -> Iterator[_Candidate]:
    """Those that are due by their store's rules of today, too, with the bodies that are sent for them."""
    order_ids = [one.order.id for _, one in locked]
    documents = issuances.of_orders(connection, order_ids)
    newest = deliveries.of_orders(connection, order_ids)
    for quota, one in locked:
        order_state = OrderState.of(one.order, documents[one.order.id])
        if one.order.decided_version != quota.store.decision_version:
            order_state.order = reread(one.order, newest[one.order.id], quota.store)
            decide_on(order_state, quota.store)
            save(connection, [order_state], now)
        # As they are now that the order is locked: another process may have claimed one just before.
        siblings = order_state.issuances.values()
        (issuance,) = (each for each in siblings if each.id == one.issuance_id)
        is_under_way = any(each.state == issuances.SENDING for each in siblings)
        if issuance.state == issuances.DUE and due.has_fallen_due(issuance, now) and not is_under_way:
            body = _compose(quota.store, newest[one.order.id], order_state.order, issuance.kind)
            yield _Candidate(quota, order_state.order, issuance, body)


def _compose(store: Store, delivery: Delivery, order: KnownOrder, kind: Kind) -> bytes:
    if store.options.order_body == "bare" or order.snapshot is None:
        return delivery.body
    issue_anyway = order.issue_anyway_by is not None
    overrides = overrides_of(order.snapshot, store.options, kind, issue_anyway=issue_anyway)
    return compose(delivery.body, store.config or {}, overrides)


def _idempotency_key(one: _Candidate) -> str:
    order = one.order
    key = f"{one.quota.store.woocommerce_id}-{order.resource_id}-{order.order_key}-{one.issuance.kind}"
    return quote(key)  # a plugin may have made the order's key of letters that no header can carry


def _half_of_the_lease(context: Context) -> Callable[[], bool]:
    """Tells whether it is over, after which nothing may be sent any more.

    By both clocks: one stands still while the machine is suspended, and the other may be set back.
    """
    seconds = context.api_timeout + LEASE_MARGIN / 2
    ends_at, ends_after = context.now() + timedelta(seconds=seconds), time.monotonic() + seconds
    return lambda: time.monotonic() > ends_after or context.now() > ends_at
