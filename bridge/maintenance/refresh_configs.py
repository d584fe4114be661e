"""Finds the configs of stores that are to be fetched again; workers fetch them."""

from __future__ import annotations

from bridge.pipeline.context import Context
from bridge.pipeline.pending_work import PendingWork
from bridge.pipeline.store_configs import to_fetch


def find_stale_configs(context: Context) -> PendingWork:
    """The stores whose config has come to the end of its time to live, not too many at once."""
    with context.ledger.read() as connection:
        return PendingWork(configs=to_fetch(context, connection))
