"""Orders: the newest snapshot of each, and what was decided on it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
    delete,
    false,
    not_,
    or_,
    select,
    true,
    tuple_,
    update,
)

from bridge.db.statements import Pending, Sql, Statement
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
    return lock_each(connection, [order_id]).result[order_id]


def lock_each(connection: Connection, order_ids: Collection[int]) -> Pending[Mapping[int, KnownOrder]]:
    """The orders of these ids, likewise; by their ids.

    All who lock several do so in the order of their ids: none waits in a circle.
    """
    return _LOCK_EACH.query(connection, _by_id, ids=list(order_ids))


def lock_free(connection: Connection, order_ids: Collection[int]) -> Mapping[int, KnownOrder]:
    """Those of these orders that no other transaction has locked, locked likewise; by their ids."""
    query = _with_store().where(orders.c.id.in_(order_ids)).order_by(orders.c.id)
    rows = connection.execute(query.with_for_update(of=orders, skip_locked=True))
    return {row.id: known_order(row) for row in rows}


def add(connection: Connection, identities: Sequence[Identity]) -> None:
    """Add the orders of these identities that are not there yet. Nothing is known of them.

    Of several with the same WooCommerce id, the last one here is the youngest.
    """
    if identities:
        _ADD.execute(connection, identities=sorted(identities, key=itemgetter(0, 1)))


def lock_of_resources(
    connection: Connection, resources: Collection[Resource]
) -> Pending[Mapping[int, KnownOrder]]:
    """All orders of these WooCommerce ids, locked: several of one if the shop was installed anew."""
    return _LOCK_OF_RESOURCES.query(connection, _by_id, resources=list(resources))


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
        _SAVE.execute(connection, changed=[_row(order) for order in changed])


def drop_unknown(connection: Connection, order_ids: Sequence[int]) -> None:
    """Remove orders that were added for nothing: what was to be known of them belongs to another."""
    if order_ids:
        connection.execute(delete(orders).where(orders.c.id.in_(order_ids), orders.c.delivery_id.is_(None)))


def _with_store() -> Select[Any]:
    return select(orders, stores.c.name.label("store")).join(stores)


def _lock_each(sql: Sql) -> Any:
    locked = _with_store().where(sql.in_list(orders.c.id, "ids")).order_by(orders.c.id)
    return locked.with_for_update(of=orders)


def _lock_of_resources(sql: Sql) -> Any:
    wanted = sql.rows("resources", orders.c.store_id, orders.c.resource_id)
    return (
        _with_store()
        .where(tuple_(orders.c.store_id, orders.c.resource_id).in_(select(wanted)))
        .order_by(orders.c.id)
        .with_for_update(of=orders)
    )


def _add(sql: Sql) -> Any:
    names = ["store_id", "resource_id", "order_key"]
    given = sql.rows("identities", *(orders.c[name] for name in names))
    # A condition, since SQLite would take the ON CONFLICT for one of a join.
    brought = select(given, false().label("is_from_before")).where(true())
    added = sql.insert(orders).from_select([*names, "is_from_before"], brought)
    return added.on_conflict_do_nothing(index_elements=names)


_SAVED = [
    orders.c[name]
    for name in (
        *("delivery_id", "number", "status", "payment_method", "total", "currency", "modified"),
        *("has_date_paid", "has_refunds", "details", "deleted_at", "deleted_arrival"),
        *("issue_anyway_by", "former_key", "decision", "reason", "decided_version"),
        *("rule", "rule_since"),
    )
]


def _save(sql: Sql) -> Any:
    given = sql.rows("changed", orders.c.id, *_SAVED)
    values = {one: given.c[one.name] for one in _SAVED}
    return update(orders).where(orders.c.id == given.c.id).values(values)


_LOCK_EACH = Statement(_lock_each)
_LOCK_OF_RESOURCES = Statement(_lock_of_resources)
_ADD = Statement(_add)
_SAVE = Statement(_save)


def _by_id(rows: Sequence[Any]) -> Mapping[int, KnownOrder]:
    return {row.id: known_order(row) for row in rows}


def _row(order: KnownOrder) -> Sequence[Any]:
    known = order.snapshot
    of_snapshot = [known and getattr(known, one.name) for one in _SAVED[1:9]]
    details = known and written(known.details)
    rest = [getattr(order, one.name) for one in _SAVED[10:]]
    return [order.id, order.delivery_id, *of_snapshot, details, *rest]


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
