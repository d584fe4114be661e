"""The sweep: finds in the ledger whatever no message is under way for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from bridge.ledger import attempts, deliveries, due, orders, store_secrets, stores
from bridge.pipeline.configs import to_fetch
from bridge.pipeline.context import Context
from bridge.pipeline.record import release_expired
from bridge.pipeline.settle import settle
from bridge.pipeline.work import Work

GRACE = timedelta(seconds=2)  # what a message needs from the receiver to a worker, generously
BATCH = 500  # rows of each kind that one sweep takes up
DECIDE_ANEW_FOR = timedelta(minutes=1)  # longer than any transaction that read the old rules


def sweep(context: Context) -> Work:
    """Release what dead workers hold, decide anew where rules changed, and list what is to be done.

    Safe to run at any time, any number of times, by several workers at once.
    """
    for issuance_id in _expired(context):
        release_expired(context, issuance_id)
    _decide_anew(context)
    _end_previous_secrets(context)
    now = context.now()
    with context.ledger.read() as connection:
        return Work(
            deliveries=deliveries.unprocessed(connection, received_before=now - GRACE, limit=BATCH),
            due_stores=due.stores_with_some(connection, now=now, limit=BATCH),
            configs=to_fetch(context, connection),
        )


def _expired(context: Context) -> Sequence[int]:
    with context.ledger.read() as connection:
        return attempts.expired_ids(connection, now=context.now(), limit=BATCH)


def _decide_anew(context: Context) -> None:
    with context.ledger.read() as connection:
        changed = stores.deciding_anew(connection)
    for store in changed:
        with context.ledger.read() as connection:
            ids = orders.to_decide_anew(connection, store.id, store.decision_version, limit=BATCH)
        for order_id in ids:
            with context.ledger.write() as connection:
                order = orders.lock(connection, order_id)
                settle(connection, stores.get(connection, store.id), order, context.now())
        since = store.deciding_anew_since
        if not ids and since is not None and context.now() - since > DECIDE_ANEW_FOR:
            with context.ledger.write() as connection:
                stores.finish_deciding_anew(connection, store)


def _end_previous_secrets(context: Context) -> None:
    """Erase the webhook secrets that were replaced and have had their day."""
    with context.ledger.read() as connection:
        over = store_secrets.with_previous_over(connection, context.now())
    for store_id in over:
        with context.ledger.write() as connection:
            store = stores.lock(connection, store_id)
            if not store.still_good(context.now()):
                store_secrets.end_previous(connection, store)
