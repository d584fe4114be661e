"""Deliveries: their states, and what the ledger holds of them, each body byte for byte."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from bridge.db.lists import in_list
from bridge.db.tables import deliveries, orders, stores

RECEIVED, PROCESSED, IGNORED, FAILED = "received", "processed", "ignored", "failed"
QUARANTINED = "quarantined"  # from an address that is not the shop's
UNREADABLE = "unreadable"  # looks like an order, and cannot be read
WEBHOOK, RECONCILE, BACKFILL = "webhook", "reconcile", "backfill"  # how a delivery came
STATES = (RECEIVED, PROCESSED, IGNORED, QUARANTINED, UNREADABLE, FAILED)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery as the ledger holds it."""

    id: int
    store_id: int
    store: str
    topic: str
    resource_id: int | None
    is_deletion: bool
    state: str
    reason: str | None
    duplicates: int
    received_at: datetime
    last_received_at: datetime
    arrival: int  # its place in the database's sequence; a repeated deletion takes a new place
    shop_url: str | None
    source: str
    compressed_body: bytes = field(repr=False)

    @property
    def body(self) -> bytes:
        """The raw bytes of the request's body; none once it is erased."""
        return zlib.decompress(self.compressed_body) if self.compressed_body else b""


def compressed(body: bytes) -> bytes:
    """A body as the ledger keeps it."""
    # An order takes a tenth more than at zlib's usual level, and half of the time.
    return zlib.compress(body, level=1)


def get(connection: Connection, delivery_id: int) -> Delivery | None:
    """The delivery of this id."""
    row = connection.execute(_OF_ID, {"delivery_id": delivery_id}).one_or_none()
    return delivery_of(row) if row else None


def lock(connection: Connection, delivery_id: int) -> Delivery | None:
    """The same, locked: no other transaction processes or repeats it until this one ends."""
    # Its key stays as it is: a transaction that only adds an attempt, which refers to it, does not wait.
    query = select_with_store().where(deliveries.c.id == delivery_id)
    query = query.with_for_update(of=deliveries, key_share=True)
    row = connection.execute(query).one_or_none()
    return delivery_of(row) if row else None


def of_orders(connection: Connection, order_ids: Collection[int]) -> Mapping[int, Delivery]:
    """The deliveries of the newest snapshots of these orders, by the orders' ids."""
    return {row.order_id: delivery_of(row) for row in connection.execute(_OF_ORDERS, {"ids": order_ids})}


def of_first_order(connection: Connection, store_id: int) -> Delivery | None:
    """The delivery of the newest snapshot of the store's order of the lowest WooCommerce id."""
    first = select(orders.c.delivery_id).where(
        orders.c.store_id == store_id, orders.c.delivery_id.is_not(None)
    )
    query = select_with_store().where(
        deliveries.c.id == first.order_by(orders.c.resource_id, orders.c.order_key).limit(1).scalar_subquery()
    )
    row = connection.execute(query).one_or_none()
    return delivery_of(row) if row else None


def listed(
    connection: Connection, *, store: str | None = None, state: str | None = None, limit: int = 50
) -> Sequence[Delivery]:
    """The newest deliveries first."""
    query = select_with_store().order_by(deliveries.c.id.desc()).limit(limit)
    if store is not None:
        query = query.where(stores.c.name == store)
    if state is not None:
        query = query.where(deliveries.c.state == state)
    return [delivery_of(row) for row in connection.execute(query)]


def of_resource(connection: Connection, store_id: int, resource_id: int) -> Sequence[Delivery]:
    """Every delivery that names this WooCommerce id, oldest first."""
    query = (
        select_with_store()
        .where(deliveries.c.store_id == store_id, deliveries.c.resource_id == resource_id)
        .order_by(deliveries.c.id)
    )
    return [delivery_of(row) for row in connection.execute(query)]


def select_with_store() -> Any:
    """A query for deliveries, as `delivery_of` reads them."""
    return select(deliveries, stores.c.name.label("store")).join(stores)


def delivery_of(row: Row[Any]) -> Delivery:
    """The delivery of a row of the query."""
    return Delivery(
        id=row.id,
        store_id=row.store_id,
        store=row.store,
        topic=row.topic,
        resource_id=row.resource_id,
        is_deletion=row.is_deletion,
        state=row.state,
        reason=row.reason,
        duplicates=row.duplicates,
        received_at=row.received_at,
        last_received_at=row.last_received_at,
        arrival=row.id if row.arrival is None else row.arrival,
        shop_url=row.shop_url,
        source=row.source,
        compressed_body=row.body,
    )


# Made once: to make a statement takes longer than to execute it.
_OF_ID = select_with_store().where(deliveries.c.id == bindparam("delivery_id"))
_OF_ORDERS = (
    select(deliveries, stores.c.name.label("store"), orders.c.id.label("order_id"))
    .join_from(orders, deliveries, deliveries.c.id == orders.c.delivery_id)
    .join(stores, stores.c.id == deliveries.c.store_id)
    .where(in_list(orders.c.id, "ids"))
)
