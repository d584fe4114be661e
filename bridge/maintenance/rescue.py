"""Rescues documents whose lease has ended: the worker that had claimed them is gone, or was too slow."""

from __future__ import annotations

from functools import partial

from bridge.ledger import attempts
from bridge.maintenance.duty import AT_ONCE, mend_each
from bridge.pipeline.complete import release_expired
from bridge.pipeline.context import Context
from bridge.pipeline.pending_work import PendingWork


def rescue(context: Context) -> PendingWork:
    """End the claims whose lease is over. What is due again by that is found by the next sweep."""
    with context.ledger.read() as connection:
        expired = attempts.expired_ids(connection, now=context.now(), limit=AT_ONCE)
    mend_each(expired, partial(release_expired, context))
    return PendingWork()
