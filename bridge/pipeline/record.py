"""Records what became of an attempt, and what follows from it for the issuance and its store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from bridge.ledger import issuances, orders, stores
from bridge.ledger.issuances import StartedAttempt
from bridge.ledger.stores import Store
from bridge.pipeline.backoff import next_attempt
from bridge.pipeline.context import Context
from bridge.pipeline.settle import settle
from bridge.spaceinvoices import Effect, Outcome

log = structlog.get_logger(__name__)

PROBE_INTERVAL = 60.0  # seconds between tries of a store whose account is refused


def record(
    context: Context,
    connection: Connection,
    attempt: StartedAttempt,
    outcome: Outcome,
    *,
    duration: float | None,
) -> Sequence[int]:
    """Bring an attempt to its end (`duration` in seconds); return ids of the order's issuances due next."""
    now = context.now()
    order = orders.lock(connection, attempt.order_id)
    store = stores.get(connection, order.store_id)
    issuances.finish_attempt(
        connection,
        attempt,
        outcome=outcome.effect.value,
        duration_ms=None if duration is None else round(duration * 1000),
        status=outcome.status,
        excerpt=outcome.excerpt,
    )
    _move_issuance(context, connection, store, attempt, outcome, now)
    _move_store(connection, store, outcome, now)
    log.info(
        "attempt ended",
        issuance=attempt.issuance_id,
        attempt=attempt.number,
        store=store.name,
        order=order.resource_id,
        outcome=outcome.effect.value,
        status=outcome.status,
    )
    due = settle(connection, store, order, now).due
    return [issuance_id for issuance_id in due if issuance_id != attempt.issuance_id]


def release_expired(context: Context, issuance_id: int) -> None:
    """Settle an issuance whose worker died, or lost the ledger, while sending: nobody knows the outcome."""
    lost = Outcome(Effect.UNKNOWN, "the worker died while it was sending")
    with context.ledger.write() as connection:
        issuance = issuances.get(connection, issuance_id)
        if issuance is None:
            return
        orders.lock(connection, issuance.order_id)
        attempt = issuances.expired_attempt(connection, issuance_id, context.now())
        if attempt is not None:
            record(context, connection, attempt, lost, duration=None)


def _move_issuance(
    context: Context,
    connection: Connection,
    store: Store,
    attempt: StartedAttempt,
    outcome: Outcome,
    now: datetime,
) -> None:
    match outcome.effect:
        case Effect.ISSUED:
            issuances.mark_issued(connection, attempt.issuance_id, now)
        case Effect.UNKNOWN if store.unknown_outcome == "hold":
            issuances.mark_held(connection, attempt, error=outcome.summary, now=now)
        case Effect.REFUSED:
            issuances.mark_failed(connection, attempt, error=outcome.summary, now=now)
        case Effect.ACCOUNT_REFUSED:
            issuances.give_back(connection, attempt, error=outcome.summary, now=now)
        case Effect.NOT_TAKEN | Effect.UNKNOWN:
            at = next_attempt(
                attempts=attempt.number,
                first_attempt_at=attempt.first_attempt_at,
                now=now,
                retry_after=outcome.retry_after,
                random=context.random,
            )
            error = f"given up after {attempt.number} attempts: {outcome.summary}"
            if at is None and outcome.effect is Effect.UNKNOWN:
                issuances.mark_held(connection, attempt, error=error, now=now)
            elif at is None:
                issuances.mark_failed(connection, attempt, error=error, now=now)
            else:
                issuances.postpone(connection, attempt, error=outcome.summary, next_attempt_at=at)


def _move_store(connection: Connection, store: Store, outcome: Outcome, now: datetime) -> None:
    if store.paused_at is not None and store.next_probe_at is None:
        return  # paused by an operator, which outlasts any answer
    if outcome.effect is Effect.ACCOUNT_REFUSED:
        stores.pause(
            connection,
            store.id,
            reason=f"{outcome.summary}: the store's token or its rights are not accepted",
            now=now,
            next_probe_at=now + timedelta(seconds=PROBE_INTERVAL),
        )
    elif outcome.effect in {Effect.ISSUED, Effect.REFUSED} and store.paused_at is not None:
        # Whatever it thinks of the order, Space Invoices accepts the account again.
        stores.resume(connection, store.id)
        issuances.restart_clocks(connection, store.id)
