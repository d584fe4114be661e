"""Puts off a document that cannot be sent by a fault on this side, and gives it up after some days."""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog

from bridge.issuance.backoff import is_to_be_given_up
from bridge.ledger import due, issuances, orders, stores
from bridge.ledger.issuances import DUE
from bridge.pipeline.context import Context
from bridge.pipeline.decide import settle
from bridge.vault import WrongKeyError

DEFER_BY = timedelta(minutes=5)
AT_ONCE = 100  # documents of a store

log = structlog.get_logger(__name__)


def defer_due(context: Context, store_id: int, error: Exception) -> None:
    """Defer what of a store is due by now: none of it can be sent."""
    with context.ledger.read() as connection:
        ids = due.of_store(connection, store_id, now=context.now(), limit=AT_ONCE)
    for issuance_id in ids:
        defer(context, issuance_id, error, by=DEFER_BY)


def defer(context: Context, issuance_id: int, error: Exception, *, by: timedelta) -> None:
    """Have a due document tried again later, or fail it if that was done for three days.

    Left as it is, it would be first in every sweep, and a crowd of its kind would leave no room. Under a key
    that does not decrypt the store's secrets it is never failed: that is no fault of the order, and ends for
    all of the store's orders when the key is back. Until then, they are late, and counted as such.
    """
    now = context.now()
    reason = f"{type(error).__name__}: {error}"
    if not isinstance(error, WrongKeyError) and _was_deferred_for_too_long(context, issuance_id, now):
        _give_up(context, issuance_id, f"given up, since it could not be sent for days: {reason}", now)
        return
    with context.ledger.write() as connection:
        issuances.defer(connection, issuance_id, error=reason, until=now + by)


def _was_deferred_for_too_long(context: Context, issuance_id: int, now: datetime) -> bool:
    with context.ledger.read() as connection:
        issuance = issuances.get(connection, issuance_id)
        if issuance is None or issuance.state != DUE or issuance.due_since is None:
            return False
        resumed_at = stores.get(connection, issuance.store_id).resumed_at
    since = max(issuance.due_since, resumed_at or issuance.due_since)
    return is_to_be_given_up(tries=issuance.deferrals + 1, since=since, now=now)


def _give_up(context: Context, issuance_id: int, reason: str, now: datetime) -> None:
    """Fail it, and decide on its order again, in one transaction.

    If it is deciding that raises, the document fails all the same: it must not be deferred for ever.
    """
    try:
        with context.ledger.write() as connection:
            issuance = issuances.get(connection, issuance_id)
            if issuance is None:
                return
            order = orders.lock(connection, issuance.order_id)
            if issuances.give_up(connection, issuance_id, error=reason, now=now):
                settle(connection, stores.get(connection, order.store_id), order, now)
    except Exception:
        log.exception("a document is given up, and its order could not be decided on", issuance=issuance_id)
        with context.ledger.write() as connection:
            issuances.give_up(connection, issuance_id, error=reason, now=now)
