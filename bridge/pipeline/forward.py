"""Forwards an issuance: claims it, hands the order to Space Invoices, records the outcome."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

from sqlalchemy import Connection

from bridge.issuance import compose
from bridge.ledger import LedgerUnavailableError, attempts, deliveries, due, issuances, orders, stores
from bridge.ledger.issuances import Issuance, StartedAttempt
from bridge.ledger.orders import KnownOrder
from bridge.ledger.stores import Store
from bridge.pipeline.configs import is_stale, is_to_be_awaited, refresh_config
from bridge.pipeline.context import Account, Context
from bridge.pipeline.pause import is_probe_due, probe
from bridge.pipeline.record import record
from bridge.pipeline.settle import settle
from bridge.spaceinvoices import Answer

DEFER_BY = timedelta(minutes=5)  # what cannot be claimed by a fault on this side
LEASE_MARGIN = 30.0  # seconds beyond what a request may take
LONGEST_TURN = 1.0  # seconds a thread waits for its account's turn
RECORD_WITHIN = 120.0  # seconds an outcome is kept for a ledger that is away


@dataclass(frozen=True, slots=True)
class _Claim:
    """One request that this worker alone may send."""

    attempt: StartedAttempt
    store: Store
    account: Account
    body: bytes
    idempotency_key: str
    is_probe: bool
    is_too_late: Callable[[], bool]


def forward_issuance(context: Context, issuance_id: int) -> bool:
    """Have one document issued, if it is still due. Returns whether the store may go on with its next one.

    A worker that dies before the claim is committed leaves `due`; one that dies after it leaves
    `sending`, which turns into `held` when its lease has ended. Nothing in between can be told apart
    from a request that was sent, so the claim is the last thing before it.
    """
    try:
        store = _store_of_due(context, issuance_id)
        if store is None:
            return True
        if store.paused_at is not None and not is_probe_due(store, context.now()):
            return False
        account = context.account(store)
        if not context.pace.wait(account.name, within=LONGEST_TURN):
            return False
        is_ready = _is_ready(context, store)
        claim = _claim_or_leave(context, issuance_id, store, account) if is_ready else None
    except LedgerUnavailableError:
        raise
    except Exception as error:
        # Left as it is, it would be the first in every sweep, and a crowd of its kind would leave no room.
        at = context.now() + DEFER_BY
        with context.ledger.write() as connection:
            issuances.defer(connection, issuance_id, error=f"{type(error).__name__}: {error}", until=at)
        raise
    if claim is None:
        context.pace.give_back(account.name)
        return is_ready
    answer = account.api.send_order(
        claim.store.woocommerce_id,
        claim.body,
        idempotency_key=claim.idempotency_key,
        is_too_late=claim.is_too_late,
    )
    if answer.outcome.status == 429:
        context.pace.slow_down(account.name, retry_after=answer.outcome.retry_after)
    _record_even_after_an_outage(context, claim, answer)
    return True


def _is_ready(context: Context, store: Store) -> bool:
    """Whether one of the store's orders may be sent now; if not, the sweep comes back to it."""
    if store.paused_at is not None:
        return probe(context, store)
    if is_stale(context, store):
        refresh_config(context, store.id)
        with context.ledger.read() as connection:
            store = stores.get(connection, store.id)
    return not is_to_be_awaited(context, store)


def _claim_or_leave(context: Context, issuance_id: int, store: Store, account: Account) -> _Claim | None:
    """Claim the issuance; if that is not possible and it was to be a probe, another may probe at once."""
    is_probe = store.paused_at is not None
    with context.ledger.write() as connection:
        claim = _claim(context, connection, issuance_id, account, is_probe=is_probe)
        if claim is None and is_probe:
            stores.leave_probe(connection, store.id, context.now())
    return claim


def _store_of_due(context: Context, issuance_id: int) -> Store | None:
    """The store of an issuance that seems to be due still."""
    with context.ledger.read() as connection:
        issuance = issuances.get(connection, issuance_id)
        if issuance is None or issuance.state != issuances.DUE:
            return None
        return stores.get(connection, issuance.store_id)


def _claim(
    context: Context, connection: Connection, issuance_id: int, account: Account, *, is_probe: bool
) -> _Claim | None:
    found = issuances.get(connection, issuance_id)
    if found is None or found.state != issuances.DUE:
        return None
    order = orders.lock(connection, found.order_id)
    now = context.now()  # and no sooner: the lock may have been waited for
    store = stores.get(connection, found.store_id)
    if order.decided_version != store.decision_version:
        settle(connection, store, order, now)
    if is_to_be_awaited(context, store):
        return None  # by rules that are just being asked for; the sweep comes back to it
    siblings = issuances.of_order(connection, order.id)
    issuance = next(one for one in siblings if one.id == issuance_id)
    if not _may_be_sent(store, issuance, siblings, now, is_probe=is_probe):
        return None
    if order.snapshot is None or order.delivery_id is None:
        return None
    # All that can go wrong on this side goes wrong here, before the claim makes it an unknown outcome.
    body = _compose(connection, store, order)
    attempt = attempts.start(
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
    # A plugin may have made the order's key of letters that no header can carry.
    return _Claim(attempt, store, account, body, quote(key), is_probe, _half_of_the_lease(context))


def _half_of_the_lease(context: Context) -> Callable[[], bool]:
    """Tells whether it is over, after which nothing may be sent any more.

    By both clocks: one stands still while the machine is suspended, and the other may be set back.
    """
    seconds = context.api_timeout + LEASE_MARGIN / 2
    ends_at, ends_after = context.now() + timedelta(seconds=seconds), time.monotonic() + seconds
    return lambda: time.monotonic() > ends_after or context.now() > ends_at


def _may_be_sent(
    store: Store, issuance: Issuance, siblings: Sequence[Issuance], now: datetime, *, is_probe: bool
) -> bool:
    if issuance.state != issuances.DUE or not due.has_fallen_due(issuance, now):
        return False
    # A store that was paused since is not probed by what was on its way; by an operator, it is at a stop.
    if store.paused_at is not None and (not is_probe or store.next_probe_at is None):
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


def _record_even_after_an_outage(context: Context, claim: _Claim, answer: Answer) -> None:
    """Record the outcome, and wait for the ledger to come back if it is away.

    If it does not, or this worker dies here, the issuance ends as `held`. If the lease ends before the ledger
    is back, it is `held` only until the outcome is recorded.
    """
    give_up_at = time.monotonic() + RECORD_WITHIN
    while not _is_recorded(context, claim, answer, may_fail=time.monotonic() < give_up_at):
        time.sleep(0.5)  # a database cannot tell us that it is back


def _is_recorded(context: Context, claim: _Claim, answer: Answer, *, may_fail: bool) -> bool:
    try:
        with context.ledger.write() as connection:
            record(
                context,
                connection,
                claim.attempt,
                answer.outcome,
                duration=answer.duration,
                of_probe=claim.is_probe,
            )
    except LedgerUnavailableError:
        if not may_fail:
            raise
        return False
    return True
