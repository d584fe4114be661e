"""Processes a delivery: updates the order it is about, and decides on it."""

from __future__ import annotations

import structlog
from sqlalchemy import Connection

from bridge.issuance import Deletion, NotAnOrder, Order, is_newer, read_delivery, standing
from bridge.ledger import LedgerUnavailableError, deliveries, orders, stores
from bridge.ledger.deliveries import Delivery
from bridge.ledger.orders import KnownOrder
from bridge.ledger.stores import Store
from bridge.pipeline.context import Context
from bridge.pipeline.settle import settle
from bridge.pipeline.work import Work

log = structlog.get_logger(__name__)


def process_delivery(context: Context, delivery_id: int) -> Work:
    """Bring a recorded delivery to its end, and return what is to be done for it now.

    One transaction: a worker that dies in it leaves the delivery as it was, for the sweep to find. Any
    number of workers may process the same one: the second waits for the first, and finds it processed.
    """
    try:
        with context.ledger.write() as connection:
            found = deliveries.get(connection, delivery_id)
            if found is None or found.state != deliveries.RECEIVED:
                return Work()
            if found.resource_id is not None:
                orders.lock_resource(connection, found.store_id, found.resource_id)
            delivery = deliveries.lock(connection, delivery_id)
            if delivery is None or delivery.state != deliveries.RECEIVED:
                return Work()
            return _process(context, connection, delivery)
    except LedgerUnavailableError:
        raise
    except Exception as error:
        # A delivery that we cannot process must neither block the others nor vanish.
        with context.ledger.write() as connection:
            deliveries.note_failure(
                connection, delivery_id, f"could not be processed: {type(error).__name__}"
            )
        raise


def _process(context: Context, connection: Connection, delivery: Delivery) -> Work:
    store = stores.get(connection, delivery.store_id)
    match read_delivery(delivery.topic, delivery.body):
        case NotAnOrder(reason=reason):
            deliveries.finish(connection, delivery.id, state=deliveries.IGNORED, reason=reason)
            return Work()
        case Deletion(resource_id=resource_id):
            order, reason = _trash(connection, delivery, resource_id)
        case Order() as snapshot:
            _trash_what_was_trashed_before(connection, delivery)
            order, reason = _update(connection, store, delivery, snapshot)
    work = Work()
    if order is not None:
        # If the store's rules have changed since they were read, the order's decision bears the old
        # version, and the sweep decides it anew.
        settlement = settle(connection, store, orders.lock(connection, order.id), context.now())
        reason = f"{reason} -> {settlement.verdict.decision}: {settlement.verdict.reason}"
        work = Work(
            due_stores=[store.id] if settlement.due else [], configs=[] if store.config else [store.id]
        )
    deliveries.finish(connection, delivery.id, state=deliveries.PROCESSED, reason=reason)
    log.info("delivery processed", delivery=delivery.id, store=delivery.store, order=delivery.resource_id)
    return work


def _trash_what_was_trashed_before(connection: Connection, delivery: Delivery) -> None:
    """Process the deletions that arrived before this snapshot first: it may be what restores the order."""
    for deletion in deliveries.unprocessed_deletions(
        connection,
        delivery.store_id,
        delivery.resource_id or 0,
        received_before=delivery.received_at,
    ):
        _, reason = _trash(connection, deletion, deletion.resource_id or 0)
        deliveries.finish(connection, deletion.id, state=deliveries.PROCESSED, reason=reason)


def _trash(connection: Connection, delivery: Delivery, resource_id: int) -> tuple[KnownOrder | None, str]:
    order_id = orders.latest_of(connection, delivery.store_id, resource_id)
    if order_id is None:
        # A snapshot that arrived before, and is processed after, finds this deletion by itself.
        return None, "deletes an order of which nothing was known"
    order = orders.lock(connection, order_id)
    newest = deliveries.get(connection, order.delivery_id) if order.delivery_id else None
    if newest is not None and newest.received_at > delivery.last_received_at:
        return order, "deletes the order, of which the shop has sent more since"
    orders.save_deletion(connection, order.id, delivery.last_received_at)
    return order, "deletes the order"


def _update(
    connection: Connection, store: Store, delivery: Delivery, snapshot: Order
) -> tuple[KnownOrder, str]:
    order = orders.lock_or_add(connection, store.id, snapshot.resource_id, snapshot.order_key)
    known = order.snapshot
    deleted_at = order.deleted_at
    if known is None:
        deleted_at = deliveries.last_deletion(connection, store.id, snapshot.resource_id)
    newer = _replaces(store, delivery, snapshot, order)
    # A deletion carries no time of its own, so its arrival is its place among the snapshots. One that
    # arrived later, and that the shop saved later, means that the order was restored.
    if (
        deleted_at
        and delivery.received_at > deleted_at
        and (known is None or snapshot.modified > known.modified)
    ):
        deleted_at = None
    if deleted_at != order.deleted_at:
        orders.save_deletion(connection, order.id, deleted_at)
    if not newer:
        return order, "older than what was known of the order"
    orders.save_snapshot(connection, order.id, snapshot, delivery.id)
    return order, f"order {snapshot.resource_id} is {snapshot.status}"


def _replaces(store: Store, delivery: Delivery, snapshot: Order, order: KnownOrder) -> bool:
    known = order.snapshot
    if known is None or order.delivery_id is None:
        return True
    new = snapshot.modified, standing(snapshot, store.policy.status_map)
    old = known.modified, standing(known, store.policy.status_map)
    if new == old:
        return delivery.id >= order.delivery_id  # the one that arrived last
    return is_newer(*new, *old)
