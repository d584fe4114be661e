"""Forwards issuances: claims each, hands its order to Space Invoices, records the outcome."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import NamedTuple

import structlog
from sqlalchemy import Connection

from bridge.db import LedgerUnavailableError
from bridge.db.errors import LedgerBusyError
from bridge.ledger import deliveries, stores
from bridge.ledger.stores import Store
from bridge.pipeline.circuit_breaker import is_probe_due, probe
from bridge.pipeline.claim import Claimed, ClaimRefused, Wanted, claim
from bridge.pipeline.complete import Completed, record
from bridge.pipeline.context import Account, Context
from bridge.pipeline.decide import OrderBatch
from bridge.pipeline.deferral import defer
from bridge.pipeline.store_configs import is_stale, is_to_be_awaited, refresh_config

DEFER_BY = timedelta(minutes=5)  # what cannot be claimed by a fault on this side
LONGEST_TURN = 1.0  # seconds a thread waits for its account's turn
SHORT_WAIT = 0.05  # seconds for which an outcome may be kept, to be recorded with the next claim
SPLIT_WAIT = 0.05  # seconds that one waits for a lock for which all have waited together
RECORD_WITHIN = 120.0  # seconds an outcome is kept for a ledger that is away

log = structlog.get_logger(__name__)


class Sender:
    """A thread's way from one issuance to the next: the outcome of each is recorded as the next is claimed.

    It is recorded by itself wherever the next one has to be waited for any longer, and at the end.

    A worker that dies before a claim is committed leaves `due`; one that dies after it, until the outcome is
    recorded, leaves `sending`, which turns into `held` when its lease has ended. Nothing in between can be
    told apart from a request that was sent, so the claim is the last thing before it.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ended: Completed | None = None

    def __enter__(self) -> Sender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._record()

    def forward(self, issuance_id: int, store: Store) -> bool:
        """Have a document issued, if it is still due. Returns whether its store may go on with its next one.

        `store` is as it was a moment ago.
        """
        context = self._context
        if context.is_left_alone(issuance_id):
            return True
        try:
            if store.paused_at is not None and not is_probe_due(store, context.now()):
                return False
            account = context.account(store)
            if not self._waits_for_its_turn(account):
                return False
            is_ready = self._is_ready(store)
            claimed = self._claim(issuance_id, account, store) if is_ready else ClaimRefused.NOT_NOW
        except LedgerUnavailableError:
            raise
        except Exception as error:
            defer(context, issuance_id, error, by=DEFER_BY)
            raise
        if isinstance(claimed, ClaimRefused):
            context.rate_limiter.release(account.name)
            return is_ready and claimed is not ClaimRefused.PAUSED
        answer = account.api.send_order(
            claimed.store.woocommerce_id,
            claimed.body,
            idempotency_key=claimed.idempotency_key,
            is_too_late=claimed.is_too_late,
        )
        self._ended = Completed(claimed.attempt, answer.outcome, answer.duration, claimed.is_probe)
        if answer.outcome.status == 429:
            context.rate_limiter.slow_down(account.name, retry_after=answer.outcome.retry_after)
        return True

    def _waits_for_its_turn(self, account: Account) -> bool:
        """Wait for the account's next moment; False, at once, if it is far away."""
        seconds = self._context.rate_limiter.take(account.name, within=LONGEST_TURN)
        if seconds is None:
            return False
        if seconds > SHORT_WAIT:
            self._record()
        if seconds > 0:
            time.sleep(seconds)
        return True

    def _is_ready(self, store: Store) -> bool:
        """Whether one of the store's orders may be sent now; if not, the sweep comes back to it."""
        if store.paused_at is not None:
            self._record()
            return probe(self._context, store)
        if is_stale(self._context, store):
            self._record()
            refresh_config(self._context, store.id)
            with self._context.ledger.read() as connection:
                store = stores.get(connection, store.id)
        return not is_to_be_awaited(self._context, store)

    def _claim(self, issuance_id: int, account: Account, store: Store) -> Claimed | ClaimRefused:
        """Claim the issuance; if that is not possible and it was to be a probe, another may probe at once."""
        wanted = Wanted(issuance_id, account, is_probe=store.paused_at is not None)
        claimed = self._write(_WriteRequest(self._ended, wanted))
        if isinstance(claimed, Claimed):
            return claimed
        if wanted.is_probe:
            with self._context.ledger.write() as connection:
                stores.leave_probe(connection, store.id, self._context.now())
        return claimed or ClaimRefused.NOT_NOW

    def _record(self, *, alone: bool = False) -> None:
        """Record the outcome, and wait for the ledger to come back if it is away.

        `alone`: without what other threads write.

        If it does not, or this worker dies here, the issuance ends as `held`. If the lease ends before the
        ledger is back, it is `held` only until the outcome is recorded. What the ledger refuses is logged and
        ends so, too: it is not the fault of the next issuance.
        """
        give_up_at = time.monotonic() + RECORD_WITHIN
        while self._ended is not None:
            try:
                self._write(_WriteRequest(self._ended, None), alone=alone)
            except LedgerUnavailableError as error:
                if time.monotonic() >= give_up_at:
                    self._ended = None
                    raise
                if isinstance(error, LedgerBusyError):
                    alone = True  # where it holds up nobody, it can wait
                else:
                    time.sleep(0.5)  # a database cannot tell us that it is back

    def _write(self, request: _WriteRequest, *, alone: bool = False) -> Claimed | ClaimRefused | None:
        """Execute a write request, in one transaction with those of other threads that wait just now.

        `alone`: in one of its own, for which the ledger's timeout applies.
        """
        if alone:
            (done,) = _write_each(self._context, [request], wait=None)
        else:
            done = self._context.group(_write_together).write(request)
        if isinstance(done, LedgerBusyError) and request.wanted is not None:
            # Somebody else has an order locked: that of the claim is left to the sweep, and to this thread
            # that of the outcome.
            self._context.leave_alone(request.wanted.issuance_id)
            self._record(alone=True)
            return ClaimRefused.NOT_NOW
        if isinstance(done, LedgerUnavailableError):
            raise done
        self._ended = None
        if isinstance(done, Exception):
            raise done
        return done


class _WriteRequest(NamedTuple):
    """What a thread has to write: the outcome of one issuance, the claim of another, or both."""

    ended: Completed | None
    wanted: Wanted | None


_Done = Claimed | ClaimRefused | Exception | None


def _write_together(context: Context, requests: Sequence[_WriteRequest]) -> Sequence[_Done]:
    """Execute write requests of several threads in one transaction; none waits for another's order."""
    return _write_each(context, requests, wait=context.patience)


def _write_each(
    context: Context, requests: Sequence[_WriteRequest], *, wait: float | None
) -> Sequence[_Done]:
    """Execute write requests in one transaction; each by itself if one fails, or is locked by somebody else.

    `wait`: as for `Ledger.write`. Each by itself waits no longer than SPLIT_WAIT.
    """
    try:
        with context.ledger.write(lock_timeout=wait) as connection:
            return _carry_out(context, connection, requests)
    except LedgerUnavailableError as error:
        if isinstance(error, LedgerBusyError) and len(requests) > 1:
            return [done for one in requests for done in _write_each(context, [one], wait=SPLIT_WAIT)]
        return [type(error)(str(error)) for _ in requests]
    except Exception as error:
        if len(requests) > 1:
            return [done for one in requests for done in _write_each(context, [one], wait=wait)]
        ended, wanted = requests[0]
        if ended is None:
            return [error]
        if wanted is None:
            log.exception("an outcome could not be recorded", issuance=ended.attempt.issuance_id)
            return [None]
    (recorded,) = _write_each(context, [_WriteRequest(ended, None)], wait=wait)
    if recorded is not None:
        return [recorded]
    return _write_each(context, [_WriteRequest(None, wanted)], wait=wait)


def _carry_out(
    context: Context, connection: Connection, requests: Sequence[_WriteRequest]
) -> Sequence[_Done]:
    ended = [one.ended for one in requests if one.ended is not None]
    wanted = {one.wanted.issuance_id: one.wanted for one in requests if one.wanted is not None}
    order_batch = OrderBatch(connection, {one.attempt.order_id for one in ended}, of_issuances=wanted)
    sent = deliveries.newest_of(connection, wanted)
    if ended:
        record(context, connection, ended, order_batch)
    claims = claim(context, connection, wanted, order_batch, sent) if wanted else {}

    def answer(one: Wanted | None) -> Claimed | ClaimRefused | None:
        if one is None:
            return None
        # Of two who want the same, the last has it.
        is_last = wanted[one.issuance_id] is one
        return claims.get(one.issuance_id, ClaimRefused.NOT_NOW) if is_last else ClaimRefused.NOT_NOW

    return [answer(request.wanted) for request in requests]
