"""Decides again on a store's open orders when its rules have changed, beside the work on new ones."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

import structlog
from sqlalchemy import Connection

from bridge.db import LedgerUnavailableError
from bridge.db.errors import LedgerBusyError
from bridge.ledger import deliveries, issuances, orders, stores
from bridge.ledger.stores import Store
from bridge.pipeline.context import Context
from bridge.pipeline.decide import OrderState, decide_on, save
from bridge.pipeline.pending_work import PendingWork
from bridge.pipeline.snapshot import reread

BATCH = 50  # orders in a transaction, which holds up whoever else needs one of them
FOR_SECONDS = 2.0  # that a run lasts at most, so that the process can end
REDECIDE_FOR = timedelta(minutes=1)  # longer than any transaction that has read the old rules

log = structlog.get_logger(__name__)


def redecide(context: Context) -> PendingWork:
    """Decide on orders by rules that have changed since, for a moment.

    A process that dies amid it leaves the orders of its last batch as they were. The next sweep finds what
    has fallen due by it.
    """
    until = time.monotonic() + FOR_SECONDS
    with context.ledger.read() as connection:
        changed = stores.to_redecide(connection)
    stuck: set[int] = set()  # orders that cannot be decided on just now: they keep no other waiting
    # Store after store, a batch of each: a store of many orders keeps no other waiting either.
    # However slow the ledger is, each run gets on by a batch of each.
    while changed:
        changed = [store for store in changed if _redecide_some(context, store, stuck)]
        if time.monotonic() >= until:
            break
    return PendingWork(has_more=bool(changed))


def _redecide_some(context: Context, store: Store, stuck: set[int]) -> bool:
    """Decide on a batch of a store's orders again; whether there may be more of them."""
    with context.ledger.read() as connection:
        ids = orders.to_redecide(connection, store.id, store.decision_version, limit=BATCH + len(stuck))
    if ids:
        wanted = [one for one in ids if one not in stuck][:BATCH]
        stuck |= _decide(context, store, wanted)
        return bool(wanted)
    since = store.deciding_anew_since
    if since is not None and context.now() - since > REDECIDE_FOR:
        with context.ledger.write() as connection:
            stores.finish_redeciding(connection, store)
    return False


def _decide(context: Context, store: Store, order_ids: Sequence[int]) -> set[int]:
    """All of them in one transaction, each by itself where that fails; returns those that cannot be."""
    try:
        with context.ledger.write(lock_timeout=context.patience) as connection:
            _decide_on(context, connection, store, order_ids)
    except LedgerBusyError as error:
        if len(order_ids) == 1:
            log.warning("an order is decided again later", store=store.name, error=str(error))
            return set(order_ids)
    except LedgerUnavailableError:
        raise
    except Exception:
        if len(order_ids) == 1:
            log.exception("an order could not be decided again", store=store.name)
            return set(order_ids)
    else:
        return set()
    return {stuck for one in order_ids for stuck in _decide(context, store, [one])}


def _decide_on(context: Context, connection: Connection, store: Store, order_ids: Sequence[int]) -> None:
    locked = orders.lock_each(connection, order_ids)
    current = stores.get(connection, store.id)
    documents = issuances.of_orders(connection, order_ids)
    newest = deliveries.of_orders(connection, order_ids)
    order_states = []
    for order in locked.values():
        if order.decided_version == current.decision_version or order.id not in newest:
            continue  # another process has come by
        order_state = OrderState.of(order, documents.get(order.id, ()))
        order_state.order = reread(order, newest[order.id], current)
        decide_on(order_state, current)
        order_states.append(order_state)
    save(connection, order_states, context.now())
