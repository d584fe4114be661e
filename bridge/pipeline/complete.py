"""Records the outcomes of requests, and what follows from them for issuances, orders and stores."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import Connection

from bridge.db import LedgerUnavailableError
from bridge.db.after_commit import after_commit
from bridge.db.errors import LedgerBusyError
from bridge.issuance.backoff import next_attempt
from bridge.ledger import attempts, issuances, orders, stores
from bridge.ledger.attempts import End
from bridge.ledger.issuances import StartedAttempt
from bridge.ledger.orders import KnownOrder
from bridge.ledger.stores import Store
from bridge.pipeline.circuit_breaker import note_outcome
from bridge.pipeline.context import Context
from bridge.pipeline.decide import OrderState, decide_on, save
from bridge.pipeline.store_configs import ASK_AGAIN_AFTER
from bridge.spaceinvoices import Effect, Outcome
from bridge.telemetry import counts

AT_ONCE = 64  # outcomes in a transaction, at most
RETRY_EVERY = 0.5  # seconds, for a locked order and for a ledger that is away
RECORD_WITHIN = 120.0  # seconds an outcome is kept for a ledger that is away, or a locked order

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Completed:
    """A request with its outcome, and how long it took in seconds."""

    attempt: StartedAttempt
    outcome: Outcome
    duration: float | None
    is_probe: bool = False


class Completer:
    """Records what has completed: all that waits at a time in one transaction, in a thread of its own.

    Until then, the issuance is `sending`. If this process dies, or the ledger stays away for too long, it
    expires to `held`. If the lease ends first, it is `held` only until the outcome is recorded.
    """

    def __init__(self, context: Context, *, on_due: Callable[[Collection[int]], object]) -> None:
        """`on_due` is given the ids of stores of which something has fallen due with an outcome."""
        self._context = context
        self._on_due = on_due
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="completer", daemon=True)
        self._thread.start()

    def put(self, completed: Completed, then: Callable[[], object]) -> None:
        """Have an outcome recorded soon, and `then` called: when it is recorded, or given up."""
        self._queue.put(_Waiting(completed, then, time.monotonic() + RECORD_WITHIN))

    def close(self) -> None:
        """Wait until all outcomes are recorded."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        waiting: list[_Waiting] = []  # for a lock, or for the ledger
        retry_at = 0.0
        is_open = True
        while is_open or waiting:
            arrived = self._next_batch(within=RETRY_EVERY if waiting else None)
            is_open &= None not in arrived
            batch = [one for one in arrived if one is not None]
            if time.monotonic() >= retry_at:
                batch, waiting = waiting + batch, []
            left = self._record(batch)
            if left:
                waiting += left
                retry_at = time.monotonic() + RETRY_EVERY

    def _next_batch(self, *, within: float | None) -> Sequence[_Waiting | None]:
        """What has come by now, once there is something; empty if nothing comes within so many seconds."""
        batch: list[_Waiting | None] = []
        with suppress(queue.Empty):
            batch.append(self._queue.get(timeout=within))
            while len(batch) < AT_ONCE:
                batch.append(self._queue.get_nowait())
        return batch

    def _record(self, batch: Sequence[_Waiting]) -> Sequence[_Waiting]:
        """Record outcomes in one transaction, each in its own if one fails; returns those to try again."""
        if not batch:
            return []
        try:
            with self._context.ledger.write(lock_timeout=self._context.patience) as connection:
                locked = orders.lock_free(connection, [one.order_id for one in batch])
                ready = [one for one in batch if one.order_id in locked]
                due = record(self._context, connection, [one.completed for one in ready], locked)
        except LedgerUnavailableError as error:
            if not isinstance(error, LedgerBusyError) or len(batch) == 1:
                return _not_given_up(batch, str(error))
        except Exception:
            if len(batch) == 1:
                # What the ledger refuses is not the fault of the next outcome.
                log.exception("an outcome could not be recorded", issuance=batch[0].issuance_id)
                batch[0].then()
                return []
        else:
            self._on_due(due)
            for one in ready:
                one.then()
            return _not_given_up([one for one in batch if one.order_id not in locked], "its order is locked")
        return [left for one in batch for left in self._record([one])]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An outcome that waits to be recorded, until it is given up (by time.monotonic)."""

    completed: Completed
    then: Callable[[], object]
    give_up_at: float

    @property
    def order_id(self) -> int:
        return self.completed.attempt.order_id

    @property
    def issuance_id(self) -> int:
        return self.completed.attempt.issuance_id


def _not_given_up(batch: Sequence[_Waiting], reason: str) -> Sequence[_Waiting]:
    """Those that are tried again. The issuances of the others will be `held`."""
    now = time.monotonic()
    for one in batch:
        if now >= one.give_up_at:
            log.error("an outcome is given up", issuance=one.issuance_id, error=reason)
            one.then()
    return [one for one in batch if now < one.give_up_at]


def record(
    context: Context,
    connection: Connection,
    completed: Sequence[Completed],
    locked: Mapping[int, KnownOrder],
) -> Collection[int]:
    """Bring attempts to their end, and with them their orders and stores.

    `locked` has their orders, by id. Returns the ids of stores of which something may be due now.
    """
    if not completed:
        return []
    now = context.now()
    order_ids = {one.attempt.order_id for one in completed}
    store_of = {order_id: locked[order_id].store_id for order_id in order_ids}
    by_store = dict(stores.get_each(connection, set(store_of.values())))
    attempts.finish(connection, [_end(one) for one in completed])
    issued = [one.attempt.issuance_id for one in completed if one.outcome.effect is Effect.ISSUED]
    issuances.mark_issued(connection, issued, now)
    changed: set[int] = set()  # stores that were paused or resumed, by id
    # By their stores: of two processes that count failures of several, none waits for the other in a circle.
    for one in sorted(completed, key=lambda one: store_of[one.attempt.order_id]):
        store = by_store[store_of[one.attempt.order_id]]
        if one.outcome.effect is not Effect.ISSUED:
            _move_issuance(context, connection, store, one.attempt, one.outcome, now)
        if note_outcome(context, connection, store, one.outcome, now, of_probe=one.is_probe):
            by_store[store.id] = stores.get(connection, store.id)
            after_commit(connection, partial(context.forget, store.id))
            changed.add(store.id)
        after_commit(connection, partial(_log, one, store.name, locked[one.attempt.order_id].resource_id))
    documents = issuances.of_orders(connection, order_ids)
    order_states = [OrderState.of(locked[order_id], documents[order_id]) for order_id in order_ids]
    for order_state in order_states:
        decide_on(order_state, by_store[order_state.order.store_id])
    save(connection, order_states, now)
    return changed | {one.order.store_id for one in order_states if one.has_something_due}


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
            record(context, connection, [Completed(attempt, lost, duration=None)], {order.id: order})


def _log(completed: Completed, store: str, resource_id: int) -> None:
    attempt, outcome = completed.attempt, completed.outcome
    log.info(
        "attempt ended",
        store=store,
        issuance=attempt.issuance_id,
        attempt=attempt.number,
        order=resource_id,
        delivery=attempt.delivery_id,
        outcome=outcome.effect.value,
        status=outcome.status,
        ms=None if completed.duration is None else round(completed.duration * 1000),
    )
    counts.attempt_ended(store, outcome.effect, attempt.number)


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
        case Effect.UNKNOWN if store.options.unknown_outcome == "hold":
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
