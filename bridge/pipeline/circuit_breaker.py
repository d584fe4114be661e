"""Pauses a store whose account takes no orders, and lets it go on when it does again.

Refused once (401, 403), or failing several times in a row, a store is paused, and probed: its config is
asked for, and if that succeeds, one order is tried. So an outage costs no order its attempts, and
leaves few of unknown outcome.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import Connection

from bridge.db.after_commit import after_commit
from bridge.issuance.backoff import next_probe
from bridge.ledger import store_pauses, stores
from bridge.ledger.clock import has_passed
from bridge.ledger.due import LONGEST_WAIT
from bridge.ledger.stores import Store
from bridge.pipeline.context import Context
from bridge.pipeline.store_configs import fetch_config
from bridge.spaceinvoices import Effect, Outcome

PAUSE_AFTER = 5  # failures in a row

log = structlog.get_logger(__name__)


def note_outcome(
    context: Context,
    connection: Connection,
    store: Store,
    outcome: Outcome,
    now: datetime,
    *,
    of_probe: bool,
) -> bool:
    """Count an outcome for or against the store's account, and pause or resume the store by it.

    Returns whether that has changed the store.
    """
    if store.is_paused_by_operator:
        return False  # which outlasts any answer
    if outcome.effect in {Effect.ISSUED, Effect.REFUSED}:
        # Whatever it thinks of the order, Space Invoices takes orders of the account.
        return _resume(connection, store, now)
    if store.paused_at is None or of_probe:
        # The others were under way when the store was paused, and tell nothing new.
        _count_failure(context, connection, store, outcome, now)
        return True
    return False


def is_probe_due(store: Store, now: datetime) -> bool:
    """Whether a paused store may be tried now."""
    at = store.next_probe_at
    return at is not None and has_passed(at, now, at_most=LONGEST_WAIT)


def probe(context: Context, store: Store) -> bool:
    """Whether this worker may try an order of a paused store now: nobody else does, and its config came."""
    now = context.now()
    if not is_probe_due(store, now):
        return False
    # If this worker dies, the next one may probe when it surely has ended.
    ends_at = now + timedelta(seconds=4 * context.api_timeout)
    with context.ledger.write() as connection:
        if not store_pauses.claim_probe(connection, store, ends_at):
            return False
    error = fetch_config(context, store)
    if error is None:
        return True
    effect = Effect.ACCOUNT_REFUSED if error.status in {401, 403} else Effect.NOT_TAKEN
    with context.ledger.write() as connection:
        current = stores.get(connection, store.id)
        outcome = Outcome(effect, str(error).rstrip("."), status=error.status, retry_after=error.retry_after)
        note_outcome(context, connection, current, outcome, context.now(), of_probe=True)
    return False


def _count_failure(
    context: Context, connection: Connection, store: Store, outcome: Outcome, now: datetime
) -> None:
    failures = store_pauses.count_failure(connection, store.id)
    refused = outcome.effect is Effect.ACCOUNT_REFUSED
    if store.paused_at is None and not refused and failures < PAUSE_AFTER:
        return
    reason = (
        f"{outcome.summary}: the store's token or its rights are not accepted"
        if refused
        else f"{failures} requests have failed one after the other; the last: {outcome.summary}"
    )
    at = next_probe(
        failures=failures if refused else max(1, failures - PAUSE_AFTER + 1),
        is_costly=outcome.effect is Effect.UNKNOWN,
        now=now,
        retry_after=outcome.retry_after,
        random=context.random,
    )
    store_pauses.pause(connection, store.id, reason=reason, now=now, next_probe_at=at)
    if store.paused_at is None:
        after_commit(connection, partial(log.warning, "store paused", store=store.name, reason=reason))


def _resume(connection: Connection, store: Store, now: datetime) -> bool:
    if store.paused_at is not None:
        store_pauses.resume(connection, store.id, now, by_operator=False)
        after_commit(connection, partial(log.info, "store resumed", store=store.name))
        return True
    if store.failures:
        store_pauses.forget_failures(connection, store.id)
        return True
    return False
