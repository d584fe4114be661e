"""Orders: the newest snapshot of each, and what was decided on it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    delete,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from bridge.db.lists import in_list, pair_in_lists
from bridge.db.tables import orders, stores
from bridge.issuance import LABELS, STANDARD_STATUSES, Decision, Order, OrderStage
from bridge.ledger.order_details import read, written

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
    deleted_arrival: int | None = None
    is_from_before: bool = False  # known before there were rules on old orders
    issue_anyway_by: str | None = None
    former_key: str | None = None  # which the shop has changed
    rule: str | None = None  # the word for what decided
    rule_since: datetime | None = None

    @property
    def identity(self) -> Identity:
        """What tells it from all others."""
        return self.store_id, self.resource_id, self.order_key


def lock(connection: Connection, order_id: int) -> KnownOrder:
    """The order, which nobody else changes or decides on until this transaction ends.

    SQLite has but one writing transaction at a time, so there the transaction is the lock.
    """
    return lock_each(connection, [order_id])[order_id]


def lock_each(connection: Connection, order_ids: Collection[int]) -> Mapping[int, KnownOrder]:
    """The orders of these ids, likewise; by their ids.

    All who lock several do so in the order of their ids: none waits in a circle.
    """
    return _by_id(connection.execute(_LOCK_EACH, {"ids": order_ids}))


def lock_free(connection: Connection, order_ids: Collection[int]) -> Mapping[int, KnownOrder]:
    """Those of these orders that no other transaction has locked, locked likewise; by their ids."""
    return _by_id(connection.execute(_LOCK_FREE, {"ids": order_ids}))


def add(connection: Connection, identities: Sequence[Identity]) -> None:
    """Add the orders of these identities that are not there yet. Nothing is known of them.

    Of several with the same WooCommerce id, the last one here is the youngest.
    """
    if identities:
        rows = [
            {
                "store_id": store_id,
                "resource_id": resource_id,
                "order_key": order_key,
                "is_from_before": False,
            }
            for store_id, resource_id, order_key in sorted(identities, key=itemgetter(0, 1))
        ]
        connection.execute(_ADD[connection.dialect.name], rows)


def lock_of_resources(connection: Connection, resources: Collection[Resource]) -> Mapping[int, KnownOrder]:
    """All orders of these WooCommerce ids, locked: several of one if the shop was installed anew."""
    return _by_id(connection.execute(_LOCK_OF_RESOURCES, in_two_lists(resources)))


def in_two_lists(resources: Collection[Resource]) -> Mapping[str, Sequence[int]]:
    """These resources as parameters: `store_ids` and `resource_ids`."""
    return {
        "store_ids": [store_id for store_id, _ in resources],
        "resource_ids": [resource_id for _, resource_id in resources],
    }


def listed(
    connection: Connection,
    *,
    store: str | None = None,
    decision: str | None = None,
    rule: str | None = None,
    limit: int = 50,
) -> Sequence[KnownOrder]:
    """The youngest orders first."""
    query = _with_store().order_by(orders.c.id.desc()).limit(limit)
    if store is not None:
        query = query.where(stores.c.name == store)
    if decision is not None:
        query = query.where(orders.c.decision == decision)
    if rule is not None:
        query = query.where(orders.c.rule == rule)
    return [known_order(row) for row in connection.execute(query)]


def of_resource(connection: Connection, store_id: int, resource_id: int) -> Sequence[KnownOrder]:
    """The orders with this WooCommerce id: more than one if the shop was installed anew."""
    query = _with_store().where(orders.c.store_id == store_id, orders.c.resource_id == resource_id)
    return [known_order(row) for row in connection.execute(query.order_by(orders.c.id))]


def to_redecide(connection: Connection, store_id: int, version: int, *, limit: int) -> Sequence[int]:
    """Ids of a store's orders that were decided on before `version`, and are not settled for good."""
    query = select(orders.c.id).where(orders.c.store_id == store_id, *decided_before(version))
    return connection.execute(query.limit(limit)).scalars().all()


def decided_before(version: int | ColumnElement[int]) -> Sequence[ColumnElement[bool]]:
    """Conditions on orders: decided on by rules before this version, which may decide otherwise now.

    What has its invoice is settled for good, and no rule brings to life what the shop has deleted or ended.
    """
    # By name: an index finds what is equal, and would have to be read whole for all but one.
    open_ones = [label for label in LABELS if label != Decision.DONE]
    dead = [status for status, stage in STANDARD_STATUSES.items() if stage is OrderStage.DEAD]
    is_settled = or_(orders.c.rule == "deleted", and_(orders.c.rule == "dead", orders.c.status.in_(dead)))
    return [
        orders.c.decision.in_(open_ones),
        orders.c.decided_version < version,
        or_(orders.c.rule.is_(None), not_(is_settled)),
    ]


def save(connection: Connection, changed: Sequence[KnownOrder]) -> None:
    """Keep what is known of these orders, which the caller has locked, and what was decided on them."""
    if changed:
        connection.execute(_SAVE, [_row(order) for order in changed])


def drop_unknown(connection: Connection, order_ids: Sequence[int]) -> None:
    """Remove orders that were added for nothing: what was to be known of them belongs to another."""
    if order_ids:
        connection.execute(delete(orders).where(orders.c.id.in_(order_ids), orders.c.delivery_id.is_(None)))


def _with_store() -> Select[Any]:
    return select(orders, stores.c.name.label("store")).join(stores)


# Made once: to make a statement takes longer than to execute it.
_LOCKED = _with_store().order_by(orders.c.id).with_for_update(of=orders)
_LOCK_EACH = _LOCKED.where(in_list(orders.c.id, "ids"))
_LOCK_FREE = _LOCK_EACH.with_for_update(of=orders, skip_locked=True)
_LOCK_OF_RESOURCES = _LOCKED.where(
    pair_in_lists([orders.c.store_id, orders.c.resource_id], ["store_ids", "resource_ids"])
)
_ADD = {
    "sqlite": sqlite.insert(orders).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(orders).on_conflict_do_nothing(),
}
_OF_SNAPSHOT = ["number", "status", "payment_method", "total", "currency", "modified"]
_OF_SNAPSHOT += ["has_date_paid", "has_refunds"]
_OF_ORDER = ["delivery_id", "deleted_at", "deleted_arrival", "issue_anyway_by", "former_key", "decision"]
_OF_ORDER += ["reason", "decided_version", "rule", "rule_since"]
_SAVE = (
    update(orders)
    .where(orders.c.id == bindparam("of"))
    .values({name: bindparam(f"new_{name}") for name in [*_OF_ORDER, *_OF_SNAPSHOT, "details"]})
)


def _by_id(rows: Iterable[Row[Any]]) -> Mapping[int, KnownOrder]:
    return {row.id: known_order(row) for row in rows}


def _row(order: KnownOrder) -> Mapping[str, Any]:
    """The parameters of _SAVE."""
    known = order.snapshot
    row = {f"new_{name}": getattr(order, name) for name in _OF_ORDER}
    row |= {f"new_{name}": known and getattr(known, name) for name in _OF_SNAPSHOT}
    return row | {"of": order.id, "new_details": known and written(known.details)}


def known_order(row: Row[Any]) -> KnownOrder:
    """The order in a row with all columns of orders, and its store's name as `store`."""
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
            details=read(row.details),
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
        deleted_arrival=row.deleted_arrival,
        is_from_before=row.is_from_before,
        issue_anyway_by=row.issue_anyway_by,
        former_key=row.former_key,
        rule=row.rule,
        rule_since=row.rule_since,
    )
