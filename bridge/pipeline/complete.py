"""Records what became of an attempt, and what follows from it for the issuance and its store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import Connection

from bridge.db.after_commit import after_commit
from bridge.issuance.backoff import next_attempt
from bridge.ledger import attempts, issuances, orders
from bridge.ledger.attempts import End
from bridge.ledger.issuances import StartedAttempt
from bridge.ledger.stores import Store
from bridge.pipeline.circuit_breaker import note_outcome
from bridge.pipeline.context import Context
from bridge.pipeline.decide import OrderBatch, decide_on, save
from bridge.pipeline.store_configs import ASK_AGAIN_AFTER
from bridge.spaceinvoices import Effect, Outcome
from bridge.telemetry import counts

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Completed:
    """An attempt with its outcome, and how long it took in seconds."""

    attempt: StartedAttempt
    outcome: Outcome
    duration: float | None
    of_probe: bool = False


def record(
    context: Context, connection: Connection, ended: Sequence[Completed], order_batch: OrderBatch
) -> None:
    """Bring attempts to their end, and with them their orders and stores, which are in the `order_batch`."""
    now = context.now()
    attempts.finish(connection, [_end(one) for one in ended])
    issued = [one for one in ended if one.outcome.effect is Effect.ISSUED]
    issuances.mark_issued(connection, [one.attempt.issuance_id for one in issued], now)
    order_batch.ask_for_documents()
    # By their stores: of two processes that count failures of several, none waits for the other in a circle.
    for one in sorted(ended, key=lambda one: order_batch.orders[one.attempt.order_id].store_id):
        order = order_batch.orders[one.attempt.order_id]
        store = order_batch.stores[order.store_id]
        if one.outcome.effect is not Effect.ISSUED:
            _move_issuance(context, connection, store, one.attempt, one.outcome, now)
        if note_outcome(context, connection, store, one.outcome, now, of_probe=one.of_probe):
            order_batch.ask_for_stores()  # the next outcome finds the store as this one has left it
        tell = partial(
            _tell,
            one,
            issuance=one.attempt.issuance_id,
            attempt=one.attempt.number,
            store=store.name,
            order=order.resource_id,
            delivery=one.attempt.delivery_id,
            outcome=one.outcome.effect.value,
            status=one.outcome.status,
            ms=None if one.duration is None else round(one.duration * 1000),
        )
        after_commit(connection, tell)
    if len(issued) < len(ended):
        order_batch.ask_for_documents()
    order_states = [
        order_batch.order_states[order_id] for order_id in {one.attempt.order_id for one in ended}
    ]
    for order_state in order_states:
        decide_on(order_state, order_batch.stores[order_state.order.store_id])
    save(connection, order_states, now)


def release_expired(context: Context, issuance_id: int) -> None:
    """Settle an issuance whose worker died, or lost the ledger, while sending: nobody knows the outcome."""
    lost = Outcome(Effect.UNKNOWN, "the worker died while it was sending")
    with context.ledger.write(lock_timeout=context.patience) as connection:
        issuance = issuances.get(connection, issuance_id)
        if issuance is None:
            return
        order = orders.lock(connection, issuance.order_id)
        attempt = attempts.expired(connection, issuance_id, context.now())
        if attempt is not None:
            ended = [Completed(attempt, lost, duration=None)]
            record(context, connection, ended, OrderBatch(connection, [order.id]))


def _tell(ended: Completed, *, store: str, **about: object) -> None:
    log.info("attempt ended", store=store, **about)
    counts.attempt_ended(store, ended.outcome.effect, ended.attempt.number)


def _end(one: Completed) -> End:
    return End(
        one.attempt,
        outcome=one.outcome.effect.value,
        duration_ms=None if one.duration is None else round(one.duration * 1000),
        status=one.outcome.status,
        excerpt=one.outcome.excerpt,
    )


def _move_issuance(
    context: Context,
    connection: Connection,
    store: Store,
    attempt: StartedAttempt,
    outcome: Outcome,
    now: datetime,
) -> None:
    match outcome.effect:
        case Effect.UNKNOWN if store.unknown_outcome == "hold":
            issuances.mark_held(connection, attempt, error=outcome.summary, now=now)
        case Effect.REFUSED if outcome.status == 404 and store.config_missing_since is not None:
            # The object is perhaps gone, which the next look at the config tells: then nothing is due.
            then = now + timedelta(seconds=ASK_AGAIN_AFTER)
            issuances.postpone(connection, attempt, error=outcome.summary, next_attempt_at=then)
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
