"""What the ledger knows of orders that a shop lists, in few statements for a page of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import median

from sqlalchemy import Connection, literal, select

from bridge.db.tables import deliveries, orders
from bridge.issuance import Decision, Order
from bridge.ledger.deliveries import RECEIVED, WEBHOOK
from bridge.ledger.orders import known_order

_RECENT_DELIVERIES = 50


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger has of one WooCommerce id.

    `snapshot`: of the youngest order with this id, and the delivery that it came in; None if there is none.
    `deleted_arrival`: the place of its last deletion among the arrivals. `is_under_way`: a delivery of it
    waits to be processed, which may say more.
    """

    snapshot: Order | None = None
    is_deleted: bool = False
    is_under_way: bool = False
    delivery_id: int | None = None
    deleted_arrival: int | None = None


def known(connection: Connection, store_id: int, resource_ids: Collection[int]) -> Mapping[int, Known]:
    """What is known of each of these ids of a store; an id of which nothing is known is left out."""
    of_store = orders.c.store_id == store_id, orders.c.resource_id.in_(resource_ids)
    query = select(orders, literal("").label("store")).where(*of_store).order_by(orders.c.id)
    found = {}
    for row in connection.execute(query):
        order = known_order(row)
        found[order.resource_id] = Known(
            order.snapshot,
            order.deleted_at is not None,
            delivery_id=order.delivery_id,
            deleted_arrival=order.deleted_arrival,
        )
    waiting = (
        select(deliveries.c.resource_id)
        .where(
            deliveries.c.store_id == store_id,
            deliveries.c.resource_id.in_(resource_ids),
            deliveries.c.state == RECEIVED,
        )
        .distinct()
    )
    for resource_id in connection.execute(waiting).scalars():
        found[resource_id] = replace(found.get(resource_id, Known()), is_under_way=True)
    return found


def open_orders(connection: Connection, store_id: int, *, limit: int) -> set[int]:
    """WooCommerce ids of the store's orders that wait for more of the shop, the youngest first."""
    query = (
        select(orders.c.resource_id)
        .where(
            orders.c.store_id == store_id,
            orders.c.decision == Decision.WAIT,
            orders.c.deleted_at.is_(None),
        )
        .order_by(orders.c.id.desc())
        .limit(limit)
    )
    return set(connection.execute(query).scalars())


def usual_delay(connection: Connection, store_id: int) -> timedelta:
    """How long after a modification the store's webhooks usually tell of it; 0 if that is not known."""
    query = (
        select(deliveries.c.received_at, orders.c.modified)
        .join(orders, orders.c.delivery_id == deliveries.c.id)
        .where(deliveries.c.store_id == store_id, deliveries.c.source == WEBHOOK)
        .where(deliveries.c.duplicates == 0)
        .order_by(orders.c.id.desc())
        .limit(_RECENT_DELIVERIES)
    )
    delays = [received - modified for received, modified in connection.execute(query) if modified]
    return max(timedelta(0), median(delays)) if delays else timedelta(0)


def last_delivery_at(connection: Connection, store_id: int, topic: str) -> datetime | None:
    """When a webhook of this topic last told something of the store."""
    query = (
        select(deliveries.c.last_received_at)
        .where(deliveries.c.store_id == store_id, deliveries.c.topic == topic)
        .where(deliveries.c.source == WEBHOOK)
        .order_by(deliveries.c.id.desc())
        .limit(1)
    )
    return connection.execute(query).scalar_one_or_none()
