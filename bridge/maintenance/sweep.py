"""The sweep: finds in the ledger whatever no message is under way for."""

from __future__ import annotations

from datetime import timedelta

from bridge.ledger import due, processing
from bridge.maintenance.duty import AT_ONCE
from bridge.pipeline.context import Context
from bridge.pipeline.pending_work import PendingWork
from bridge.telemetry import counts

GRACE = timedelta(seconds=2)  # what a message needs from the receiver to a worker, generously
BATCH = 5000  # deliveries that one sweep lists


def sweep(context: Context) -> PendingWork:
    """The deliveries that wait to be processed, and the stores that have something due."""
    now = context.now()
    with context.ledger.read() as connection:
        found = PendingWork(
            deliveries=processing.unprocessed(connection, received_before=now - GRACE, limit=BATCH),
            due_stores=due.stores_with_some(connection, now=now, limit=AT_ONCE),
        )
    counts.sweep_ended()
    return found
