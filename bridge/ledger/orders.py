"""Orders: the newest snapshot of each, and what was decided on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bridge.issuance import Decision, Order, Verdict
from bridge.ledger.tables import orders, stores


@dataclass(frozen=True, slots=True)
class KnownOrder:
    """An order as the ledger holds it. `snapshot` is None for one that was only just added."""

    id: int
    store_id: int
    store: str
    resource_id: int
    snapshot: Order | None
    delivery_id: int | None
    deleted_at: datetime | None
    decision: str | None
    reason: str | None
    decided_version: int


def lock_resource(connection: Connection, store_id: int, resource_id: int) -> None:
    """Let nobody else process a delivery on this WooCommerce id until this transaction ends.

    An order that is not there yet has no row to lock, and its deletion may be processed just then.
    """
    if connection.dialect.name == "postgresql":
        key = func.hashtextextended(f"spacebridge {store_id} {resource_id}", 0)
        connection.execute(select(func.pg_advisory_xact_lock(key)))


def lock(connection: Connection, order_id: int) -> KnownOrder:
    """The order, which nobody else changes or decides on until this transaction ends.

    SQLite has but one writing transaction at a time, so there the transaction is the lock.
    """
    return _order(
        connection.execute(_with_store().where(orders.c.id == order_id).with_for_update(of=orders)).one()
    )


def lock_or_add(connection: Connection, store_id: int, resource_id: int, order_key: str) -> KnownOrder:
    """The same for the order of this identity, added if it is new."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(
        dialect.insert(orders)
        .values(store_id=store_id, resource_id=resource_id, order_key=order_key)
        .on_conflict_do_nothing(index_elements=["store_id", "resource_id", "order_key"])
    )
    return _order(
        connection.execute(
            _with_store()
            .where(
                orders.c.store_id == store_id,
                orders.c.resource_id == resource_id,
                orders.c.order_key == order_key,
            )
            .with_for_update(of=orders)
        ).one()
    )


def latest_of(connection: Connection, store_id: int, resource_id: int) -> int | None:
    """Id of the youngest order with this WooCommerce id: the one a deletion can mean."""
    return connection.execute(
        select(orders.c.id)
        .where(orders.c.store_id == store_id, orders.c.resource_id == resource_id)
        .order_by(orders.c.id.desc())
        .limit(1)
    ).scalar_one_or_none()


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


def save_snapshot(connection: Connection, order_id: int, snapshot: Order, delivery_id: int) -> None:
    """Replace what is known of the order."""
    connection.execute(
        update(orders)
        .where(orders.c.id == order_id)
        .values(
            delivery_id=delivery_id,
            number=snapshot.number,
            status=snapshot.status,
            payment_method=snapshot.payment_method,
            total=snapshot.total,
            currency=snapshot.currency,
            modified=snapshot.modified,
            has_date_paid=snapshot.has_date_paid,
            has_refunds=snapshot.has_refunds,
        )
    )


def save_deletion(connection: Connection, order_id: int, deleted_at: datetime | None) -> None:
    """Mark the order as trashed, or as back from the trash."""
    connection.execute(update(orders).where(orders.c.id == order_id).values(deleted_at=deleted_at))


def save_verdict(connection: Connection, order_id: int, verdict: Verdict, version: int) -> None:
    """Keep what was decided, for whoever asks why, and by which version of the store's rules."""
    connection.execute(
        update(orders)
        .where(orders.c.id == order_id)
        .values(decision=verdict.decision.value, reason=verdict.reason, decided_version=version)
    )


def _with_store() -> Any:
    return select(orders, stores.c.name.label("store")).join(stores)


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
        snapshot=snapshot,
        delivery_id=row.delivery_id,
        deleted_at=row.deleted_at,
        decision=row.decision,
        reason=row.reason,
        decided_version=row.decided_version,
    )
