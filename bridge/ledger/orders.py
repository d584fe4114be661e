"""Orders: the newest snapshot of each, and what was decided on it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import ARRAY, Connection, Row, Text, bindparam, func, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from bridge.issuance import Decision, Order
from bridge.ledger.tables import orders, stores

Resource = tuple[int, int]
"""A store's id and a WooCommerce id there."""
Identity = tuple[int, int, str]
"""The same, and the order's key."""


@dataclass(frozen=True, slots=True)
class KnownOrder:
    """An order as the ledger holds it. `snapshot` is None for one that was only just added."""

    id: int
    store_id: int
    store: str
    resource_id: int
    order_key: str
    snapshot: Order | None
    delivery_id: int | None
    deleted_at: datetime | None
    decision: str | None
    reason: str | None
    decided_version: int

    @property
    def identity(self) -> Identity:
        """What tells it from all others."""
        return self.store_id, self.resource_id, self.order_key


def lock_resources(connection: Connection, resources: Collection[Resource]) -> None:
    """Let nobody else process a delivery on these WooCommerce ids until this transaction ends.

    An order that is not there yet has no row to lock, and its deletion may be processed just then.
    """
    if connection.dialect.name == "postgresql" and resources:
        names = [f"spacebridge {store_id} {resource_id}" for store_id, resource_id in resources]
        connection.execute(_LOCK_RESOURCES, {"names": names})


def lock(connection: Connection, order_id: int) -> KnownOrder:
    """The order, which nobody else changes or decides on until this transaction ends.

    SQLite has but one writing transaction at a time, so there the transaction is the lock.
    """
    return lock_each(connection, [order_id])[order_id]


def lock_each(connection: Connection, order_ids: Collection[int]) -> Mapping[int, KnownOrder]:
    """The orders of these ids, likewise. All who lock several do so by their ids: none waits in a circle."""
    found = connection.execute(_LOCK_EACH, {"ids": sorted(order_ids)})
    return {row.id: _order(row) for row in found}


def add(connection: Connection, identities: Sequence[Identity]) -> None:
    """Add the orders of these identities that are not there yet. Nothing is known of them.

    Of several with the same WooCommerce id, the last one here is the youngest.
    """
    names = "store_id", "resource_id", "order_key"
    if identities:
        connection.execute(
            _ADD[connection.dialect.name],
            [dict(zip(names, one, strict=True)) for one in sorted(identities, key=itemgetter(0, 1))],
        )


def lock_of_resources(connection: Connection, resources: Collection[Resource]) -> Sequence[KnownOrder]:
    """All orders of these WooCommerce ids, locked: several of one if the shop was installed anew."""
    found = connection.execute(
        _LOCK_OF_RESOURCES,
        {
            "resources": list(resources),
            "store_ids": sorted({one[0] for one in resources}),
            "resource_ids": sorted({one[1] for one in resources}),
        },
    )
    return [_order(row) for row in found]


def listed(
    connection: Connection, *, store: str | None = None, decision: str | None = None, limit: int = 50
) -> Sequence[KnownOrder]:
    """The youngest orders first."""
    query = _with_store().order_by(orders.c.id.desc()).limit(limit)
    if store is not None:
        query = query.where(stores.c.name == store)
    if decision is not None:
        query = query.where(orders.c.decision == decision)
    return [_order(row) for row in connection.execute(query)]


def of_resource(connection: Connection, store_id: int, resource_id: int) -> Sequence[KnownOrder]:
    """The orders with this WooCommerce id: more than one if the shop was installed anew."""
    query = _with_store().where(orders.c.store_id == store_id, orders.c.resource_id == resource_id)
    return [_order(row) for row in connection.execute(query.order_by(orders.c.id))]


def to_decide_anew(connection: Connection, store_id: int, version: int, *, limit: int) -> Sequence[int]:
    """Ids of a store's orders that were decided on before `version`, and are not settled for good."""
    # By name: an index finds what is equal, and would have to be read whole for all but one.
    open_ones = [decision.value for decision in Decision if decision is not Decision.DONE]
    return (
        connection.execute(
            select(orders.c.id)
            .where(
                orders.c.store_id == store_id,
                orders.c.decision.in_(open_ones),
                orders.c.decided_version < version,
            )
            .limit(limit)
        )
        .scalars()
        .all()
    )


def save(connection: Connection, changed: Sequence[KnownOrder]) -> None:
    """Keep what is known of these orders, which the caller has locked, and what was decided on them."""
    if changed:
        connection.execute(_SAVE, [_row(order) for order in changed])


def _with_store() -> Any:
    return select(orders, stores.c.name.label("store")).join(stores)


# Made once: to put a statement together takes longer than the database has to do with it.
_LOCK_RESOURCES = select(
    func.pg_advisory_xact_lock(
        # Sorted, so that of two who lock several, none waits for the other in a circle.
        select(func.hashtextextended(func.unnest(bindparam("names", type_=ARRAY(Text))), 0).label("key"))
        .order_by("key")
        .subquery()
        .c.key
    )
)
_LOCK_EACH = (
    _with_store()
    .where(orders.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(orders.c.id)
    .with_for_update(of=orders)
)
_LOCK_OF_RESOURCES = (
    _with_store()
    .where(
        tuple_(orders.c.store_id, orders.c.resource_id).in_(bindparam("resources", expanding=True)),
        orders.c.store_id.in_(bindparam("store_ids", expanding=True)),
        orders.c.resource_id.in_(bindparam("resource_ids", expanding=True)),
    )
    .order_by(orders.c.id)
    .with_for_update(of=orders)
)
_ADD = {
    dialect: insert(orders).on_conflict_do_nothing(index_elements=["store_id", "resource_id", "order_key"])
    for dialect, insert in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
}
_SAVED = [
    orders.c[name]
    for name in (
        *("delivery_id", "number", "status", "payment_method", "total", "currency", "modified"),
        *("has_date_paid", "has_refunds", "deleted_at", "decision", "reason", "decided_version"),
    )
]
_SAVE = (
    update(orders)
    .where(orders.c.id == bindparam("order_id"))
    .values({column: bindparam(column.name, type_=column.type) for column in _SAVED})
)


def _row(order: KnownOrder) -> Mapping[str, Any]:
    known = order.snapshot
    return {
        "order_id": order.id,
        "delivery_id": order.delivery_id,
        "number": known and known.number,
        "status": known and known.status,
        "payment_method": known and known.payment_method,
        "total": known and known.total,
        "currency": known and known.currency,
        "modified": known and known.modified,
        "has_date_paid": known and known.has_date_paid,
        "has_refunds": known and known.has_refunds,
        "deleted_at": order.deleted_at,
        "decision": order.decision,
        "reason": order.reason,
        "decided_version": order.decided_version,
    }


def _order(row: Row[Any]) -> KnownOrder:
    snapshot = None
    if row.delivery_id is not None:
        snapshot = Order(
            resource_id=row.resource_id,
            order_key=row.order_key,
            number=row.number,
            status=row.status,
            payment_method=row.payment_method,
            total=row.total,
            currency=row.currency,
            modified=row.modified,
            has_date_paid=row.has_date_paid,
            has_refunds=row.has_refunds,
        )
    return KnownOrder(
        id=row.id,
        store_id=row.store_id,
        store=row.store,
        resource_id=row.resource_id,
        order_key=row.order_key,
        snapshot=snapshot,
        delivery_id=row.delivery_id,
        deleted_at=row.deleted_at,
        decision=row.decision,
        reason=row.reason,
        decided_version=row.decided_version,
    )
