"""Records what became of an attempt, and what follows from it for the issuance and its store."""

from __future__ import annotations

from datetime import datetime

import structlog
from sqlalchemy import Connection

from bridge.ledger import attempts, issuances, orders, stores
from bridge.ledger.issuances import StartedAttempt
from bridge.ledger.stores import Store
from bridge.pipeline.backoff import next_attempt
from bridge.pipeline.context import Context
from bridge.pipeline.pause import note_outcome
from bridge.pipeline.settle import settle
from bridge.spaceinvoices import Effect, Outcome

log = structlog.get_logger(__name__)


def record(
    context: Context,
    connection: Connection,
    attempt: StartedAttempt,
    outcome: Outcome,
    *,
    duration: float | None,
    of_probe: bool = False,
) -> None:
    """Bring an attempt to its end (`duration` in seconds), and its order and store with it."""
    now = context.now()
    order = orders.lock(connection, attempt.order_id)
    store = stores.get(connection, order.store_id)
    attempts.finish(
        connection,
        attempt,
        outcome=outcome.effect.value,
        duration_ms=None if duration is None else round(duration * 1000),
        status=outcome.status,
        excerpt=outcome.excerpt,
    )
    _move_issuance(context, connection, store, attempt, outcome, now)
    note_outcome(context, connection, store, outcome, now, of_probe=of_probe)
    log.info(
        "attempt ended",
        issuance=attempt.issuance_id,
        attempt=attempt.number,
        store=store.name,
        order=order.resource_id,
        outcome=outcome.effect.value,
        status=outcome.status,
    )
    settle(connection, store, order, now)


def release_expired(context: Context, issuance_id: int) -> None:
    """Settle an issuance whose worker died, or lost the ledger, while sending: nobody knows the outcome."""
    lost = Outcome(Effect.UNKNOWN, "the worker died while it was sending")
    with context.ledger.write() as connection:
        issuance = issuances.get(connection, issuance_id)
        if issuance is None:
            return
        orders.lock(connection, issuance.order_id)
        attempt = attempts.expired(connection, issuance_id, context.now())
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
                first_attempt_at=max(attempt.first_attempt_at, store.resumed_at or attempt.first_attempt_at),
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
