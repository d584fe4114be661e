"""Claims due issuances: the last thing before a request is sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from urllib.parse import quote

from sqlalchemy import Connection

from bridge.db.statements import Pending
from bridge.issuance import Kind, compose, overrides_of
from bridge.ledger import attempts, due, issuances
from bridge.ledger.deliveries import Delivery
from bridge.ledger.issuances import Issuance, StartedAttempt
from bridge.ledger.orders import KnownOrder
from bridge.ledger.stores import Store
from bridge.pipeline.context import Account, Context
from bridge.pipeline.decide import OrderBatch, decide_on, save
from bridge.pipeline.snapshot import reread
from bridge.pipeline.store_configs import is_to_be_awaited

LEASE_MARGIN = 30.0  # seconds beyond what a request may take


@dataclass(frozen=True, slots=True)
class Wanted:
    """An issuance that a thread wants to send, by the account that it has for its store."""

    issuance_id: int
    account: Account
    is_probe: bool


@dataclass(frozen=True, slots=True)
class Claimed:
    """One request that this worker alone may send."""

    attempt: StartedAttempt
    store: Store
    account: Account
    body: bytes
    idempotency_key: str
    is_probe: bool
    is_too_late: Callable[[], bool]


class ClaimRefused(Enum):
    """Why there is no claim."""

    NOT_NOW = "it is due no more, or not yet"
    PAUSED = "its store is paused"


def claim(
    context: Context,
    connection: Connection,
    wanted: Mapping[int, Wanted],
    order_batch: OrderBatch,
    sent: Pending[Mapping[int, Delivery]],
) -> Mapping[int, Claimed | ClaimRefused]:
    """Claim what may be sent of what is wanted; the answers by the issuances' ids.

    The `order_batch` has their orders; `sent`: of each order, the delivery that would be sent.
    """
    order_states = order_batch.order_states.values()
    now = context.now()  # and no sooner: the locks may have been waited for
    answers: dict[int, Claimed | ClaimRefused] = {}
    chosen: list[tuple[KnownOrder, Issuance]] = []
    for order_state in order_states:
        if not any(issuance.id in wanted for issuance in order_state.issuances.values()):
            continue
        store = order_batch.stores[order_state.order.store_id]
        if order_state.order.decided_version != store.decision_version:
            order_state.order = reread(order_state.order, sent.result[order_state.order.id], store)
            decide_on(order_state, store)
            save(connection, [order_state], now)
        siblings = list(order_state.issuances.values())
        for issuance in siblings:
            if (one := wanted.get(issuance.id)) is None:
                continue
            no = _why_not(context, store, issuance, siblings, one, now)
            if no is not None:
                answers[issuance.id] = no
            elif order_state.order.snapshot is not None:
                chosen.append((order_state.order, issuance))
                break  # the other one, if it is wanted, too, has to wait
    context.remember(order_batch.stores.values())
    return {**answers, **_start(context, connection, wanted, order_batch.stores, chosen, sent.result, now)}


def _start(
    context: Context,
    connection: Connection,
    wanted: Mapping[int, Wanted],
    by_store: Mapping[int, Store],
    chosen: Sequence[tuple[KnownOrder, Issuance]],
    sent: Mapping[int, Delivery],
    now: datetime,
) -> Mapping[int, Claimed]:
    """Begin an attempt for each of these. All that can go wrong on this side goes wrong before that."""
    if not chosen:
        return {}
    bodies = [
        _compose(by_store[order.store_id], sent[order.id], order, issuance.kind) for order, issuance in chosen
    ]
    started = attempts.start(
        connection,
        [attempts.Claim.of(order, issuance) for order, issuance in chosen],
        now=now,
        lease_ends_at=now + timedelta(seconds=2 * context.api_timeout + LEASE_MARGIN),
    )
    claims = {}
    for (order, issuance), body, attempt in zip(chosen, bodies, started, strict=True):
        store = by_store[order.store_id]
        key = f"{store.woocommerce_id}-{order.resource_id}-{order.order_key}-{issuance.kind}"
        one = wanted[issuance.id]
        # A plugin may have made the order's key of letters that no header can carry.
        claims[issuance.id] = Claimed(
            attempt, store, one.account, body, quote(key), one.is_probe, _half_of_the_lease(context)
        )
    return claims


def _half_of_the_lease(context: Context) -> Callable[[], bool]:
    """Tells whether it is over, after which nothing may be sent any more.

    By both clocks: one stands still while the machine is suspended, and the other may be set back.
    """
    seconds = context.api_timeout + LEASE_MARGIN / 2
    ends_at, ends_after = context.now() + timedelta(seconds=seconds), time.monotonic() + seconds
    return lambda: time.monotonic() > ends_after or context.now() > ends_at


def _why_not(
    context: Context,
    store: Store,
    issuance: Issuance,
    siblings: Sequence[Issuance],
    wanted: Wanted,
    now: datetime,
) -> ClaimRefused | None:
    """Why an issuance may not be sent now; None if it may."""
    # A store that was paused since is not probed by what was on its way; by an operator, it is at a stop.
    if store.paused_at is not None and (not wanted.is_probe or store.next_probe_at is None):
        return ClaimRefused.PAUSED
    if store.encrypted_api_token != wanted.account.encrypted_token:
        return ClaimRefused.NOT_NOW  # it was given another just now
    if issuance.state != issuances.DUE or not due.has_fallen_due(issuance, now):
        return ClaimRefused.NOT_NOW
    if is_to_be_awaited(context, store):
        return ClaimRefused.NOT_NOW  # by rules that are just being asked for; the sweep comes back to it
    # One request for an order at a time: two could overtake each other on their way, and the
    # estimate come after the invoice.
    if any(one.state == issuances.SENDING for one in siblings):
        return ClaimRefused.NOT_NOW
    return None


def _compose(store: Store, delivery: Delivery, order: KnownOrder, kind: Kind) -> bytes:
    if store.options.order_body == "bare" or order.snapshot is None:
        return delivery.body
    issue_anyway = order.issue_anyway_by is not None
    overrides = overrides_of(order.snapshot, store.options, kind, issue_anyway=issue_anyway)
    return compose(delivery.body, store.config or {}, overrides)
