"""The sweep: finds in the ledger whatever no message is under way for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeVar

import structlog

from bridge.ledger import LedgerUnavailableError, attempts, deliveries, due, orders, store_secrets, stores
from bridge.ledger.errors import LedgerBusyError
from bridge.ledger.stores import Store
from bridge.pipeline.configs import to_fetch
from bridge.pipeline.context import Context
from bridge.pipeline.record import release_expired
from bridge.pipeline.settle import settle
from bridge.pipeline.work import Work

GRACE = timedelta(seconds=2)  # what a message needs from the receiver to a worker, generously
BATCH = 5000  # deliveries that one sweep lists
MENDED = 500  # rows of each other kind that it takes up
DECIDE_ANEW_FOR = timedelta(minutes=1)  # longer than any transaction that read the old rules

_Found = TypeVar("_Found")

log = structlog.get_logger(__name__)


def sweep(context: Context) -> Work:
    """Release what dead workers hold, decide anew where rules changed, and list what is to be done.

    Safe to run at any time, any number of times, by several workers at once.
    """
    _each(_expired(context), partial(release_expired, context))
    _each(_changed(context), partial(_decide_anew, context))
    _each(_over(context), partial(_end_previous_secrets, context))
    now = context.now()
    with context.ledger.read() as connection:
        return Work(
            deliveries=deliveries.unprocessed(connection, received_before=now - GRACE, limit=BATCH),
            due_stores=due.stores_with_some(connection, now=now, limit=MENDED),
            configs=to_fetch(context, connection),
        )


def _expired(context: Context) -> Sequence[int]:
    with context.ledger.read() as connection:
        return attempts.expired_ids(connection, now=context.now(), limit=MENDED)


def _changed(context: Context) -> Sequence[Store]:
    with context.ledger.read() as connection:
        return stores.deciding_anew(connection)


def _decide_anew(context: Context, store: Store) -> None:
    with context.ledger.read() as connection:
        ids = orders.to_decide_anew(connection, store.id, store.decision_version, limit=MENDED)
    _each(ids, partial(_decide_order_anew, context, store.id))
    since = store.deciding_anew_since
    if not ids and since is not None and context.now() - since > DECIDE_ANEW_FOR:
        with context.ledger.write() as connection:
            stores.finish_deciding_anew(connection, store)


def _decide_order_anew(context: Context, store_id: int, order_id: int) -> None:
    with context.ledger.write(wait=context.patience) as connection:
        order, store = orders.lock(connection, order_id), stores.get(connection, store_id)
        if order.decided_version != store.decision_version:  # another sweep may have come by
            settle(connection, store, order, context.now())


def _over(context: Context) -> Sequence[int]:
    with context.ledger.read() as connection:
        return store_secrets.with_previous_over(connection, context.now())


def _end_previous_secrets(context: Context, store_id: int) -> None:
    """Erase the webhook secrets that were replaced and have had their day."""
    with context.ledger.write() as connection:
        store = stores.lock(connection, store_id)
        if not store.still_good(context.now()):
            store_secrets.end_previous(connection, store)


def _each(found: Sequence[_Found], mend: Callable[[_Found], None]) -> None:
    """Mend one after the other. One that fails, or is locked, keeps no other work from being found."""
    for one in found:
        try:
            mend(one)
        except LedgerBusyError as error:
            log.warning("locked by another transaction; the next sweep tries again", error=str(error))
        except LedgerUnavailableError as error:
            log.warning("ledger unavailable; the next sweep tries again", error=str(error))
            return  # each would wait as long
        except Exception:
            log.exception("failed; the next sweep tries again")
