"""The sweep: finds in the ledger whatever no message is under way for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeVar

import structlog

from bridge.db import LedgerUnavailableError
from bridge.db.errors import LedgerBusyError
from bridge.ledger import attempts, due, kept_deliveries, processing, store_secrets, stores
from bridge.pipeline.complete import release_expired
from bridge.pipeline.context import Context
from bridge.pipeline.pending_work import PendingWork
from bridge.pipeline.store_configs import to_fetch

GRACE = timedelta(seconds=2)  # what a message needs from the receiver to a worker, generously
BATCH = 5000  # deliveries that one sweep lists
MENDED = 500  # rows of each other kind that it takes up
LOCK = "sweep"  # the name of the lock that one process at a time holds

_Found = TypeVar("_Found")

log = structlog.get_logger(__name__)


def sweep(context: Context) -> PendingWork:
    """Release what dead workers hold, and list what is to be done; nothing while another sweep is at it."""
    with context.ledger.try_lock(LOCK) as is_locked:
        return _sweep(context) if is_locked else PendingWork()


def _sweep(context: Context) -> PendingWork:
    _each(_expired(context), partial(release_expired, context))
    _each(_with_quarantined(context), partial(_release_what_is_allowed, context))
    _each(_over(context), partial(_end_previous_secrets, context))
    now = context.now()
    with context.ledger.read() as connection:
        return PendingWork(
            deliveries=processing.unprocessed(connection, received_before=now - GRACE, limit=BATCH),
            due_stores=due.stores_with_some(connection, now=now, limit=MENDED),
            configs=to_fetch(context, connection),
            has_rules_changed=bool(stores.to_redecide(connection)),
        )


def _expired(context: Context) -> Sequence[int]:
    with context.ledger.read() as connection:
        return attempts.expired_ids(connection, now=context.now(), limit=MENDED)


def _release_what_is_allowed(context: Context, store_id: int) -> None:
    """Have processed what was quarantined as its store was given the address of its shop."""
    with context.ledger.write() as connection:
        store = stores.get(connection, store_id)
        kept_deliveries.release(connection, store_id, store.options.shop_urls)


def _with_quarantined(context: Context) -> Sequence[int]:
    with context.ledger.read() as connection:
        return kept_deliveries.with_quarantined(connection)


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
