"""Erases the webhook secrets that were replaced and have had their day."""

from __future__ import annotations

from bridge.ledger import store_secrets, stores
from bridge.maintenance.duty import mend_each
from bridge.pipeline.context import Context
from bridge.pipeline.pending_work import PendingWork


def end_previous_secrets(context: Context) -> PendingWork:
    """Erase each store's previous webhook secrets if none of them is good any more."""

    def end(store_id: int) -> None:
        with context.ledger.write() as connection:
            store = stores.lock(connection, store_id)
            if not store.still_good(context.now()):
                store_secrets.end_previous(connection, store)

    with context.ledger.read() as connection:
        found = store_secrets.with_previous_over(connection, context.now())
    mend_each(found, end)
    return PendingWork()
