"""Releases from quarantine what came from an address that the store has been given since."""

from __future__ import annotations

from bridge.ledger import kept_deliveries, stores
from bridge.maintenance.duty import mend_each
from bridge.pipeline.context import Context
from bridge.pipeline.pending_work import PendingWork


def release_quarantined(context: Context) -> PendingWork:
    """Have processed what is from one of its store's addresses now; the next sweep finds it."""

    def release(store_id: int) -> None:
        with context.ledger.write() as connection:
            store = stores.get(connection, store_id)
            kept_deliveries.release(connection, store_id, store.options.shop_urls)

    with context.ledger.read() as connection:
        found = kept_deliveries.with_quarantined(connection)
    mend_each(found, release)
    return PendingWork()
