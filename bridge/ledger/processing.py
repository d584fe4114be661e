"""Deliveries as they are processed: those that wait are found, locked, and finished."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    select,
    tuple_,
    update,
)

from bridge.db.statements import Pending, Sql, Statement
from bridge.db.tables import deliveries
from bridge.ledger.clock import has_passed
from bridge.ledger.deliveries import (
    FAILED,
    IGNORED,
    QUARANTINED,
    RECEIVED,
    UNREADABLE,
    Delivery,
    delivery_of,
    select_with_store,
)

CLOCK_TOLERANCE = timedelta(minutes=1)  # no delivery is dated further ahead
GIVE_UP_AFTER = 20  # failures of the bridge to process a delivery, before it is left to the operator


def unprocessed(connection: Connection, *, received_before: datetime, limit: int) -> Sequence[int]:
    """Ids of deliveries that wait, though the worker should have had their message by now."""
    return (
        connection.execute(
            select(deliveries.c.id)
            .where(
                deliveries.c.state == RECEIVED,
                has_passed(deliveries.c.last_received_at, received_before, at_most=CLOCK_TOLERANCE),
            )
            .order_by(deliveries.c.id)
            .limit(limit)
        )
        .scalars()
        .all()
    )


def lock_resources_of(connection: Connection, delivery_ids: Collection[int]) -> None:
    """Lock the WooCommerce ids that these deliveries are about, until this transaction ends.

    An order that does not exist yet has no row to lock, and its deletion may be processed at the same time.
    """
    if connection.dialect.name == "postgresql":
        _LOCK_RESOURCES_OF.execute(connection, ids=list(delivery_ids))


def lock_unprocessed(connection: Connection, delivery_ids: Collection[int]) -> Sequence[Delivery]:
    """Lock those of these deliveries that wait to be processed; returns them in the order of their arrival.

    Those that another transaction has locked are left out: they are being repeated or processed just now, and
    the one that processes them afterwards knows more.
    """
    locked = _LOCK_UNPROCESSED.query(
        connection, lambda rows: [delivery_of(row) for row in rows], ids=list(delivery_ids)
    )
    return locked.result


@dataclass(frozen=True, slots=True)
class KnownDeletion:
    """A deletion's last place among the arrivals, and whether it waits to be processed."""

    delivery_id: int
    arrival: int
    is_unprocessed: bool


def deletions(
    connection: Connection, resources: Collection[tuple[int, int]]
) -> Pending[Mapping[tuple[int, int], Sequence[KnownDeletion]]]:
    """Every deletion of these WooCommerce ids, each of a store."""

    def read(rows: Sequence[Any]) -> Mapping[tuple[int, int], Sequence[KnownDeletion]]:
        by_resource: dict[tuple[int, int], list[KnownDeletion]] = {resource: [] for resource in resources}
        for row in rows:
            known = KnownDeletion(row.id, row.arrival, row.state == RECEIVED)
            by_resource[row.store_id, row.resource_id].append(known)
        return by_resource

    return _DELETIONS.query(connection, read, resources=list(resources))


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of a delivery: its state, and why."""

    delivery_id: int
    state: str
    reason: str | None


def finish(connection: Connection, finished: Sequence[Finished]) -> None:
    """Write what became of deliveries."""
    if finished:
        rows = [[delivery.delivery_id, delivery.state, delivery.reason] for delivery in finished]
        _FINISH.execute(connection, finished=rows)


def supersede(connection: Connection, read: Sequence[tuple[int, int, int]]) -> None:
    """Ignore the unreadable deliveries of orders that were read from a delivery which arrived later.

    `read`: of each order its store's id, its WooCommerce id, and the arrival of that delivery.
    """
    if read:
        _SUPERSEDE.execute(connection, read=list(read), reason="the shop has sent the order again since")


def note_failure(connection: Connection, delivery_id: int, reason: str) -> None:
    """Count an error in processing: the next sweep retries, and an operator after GIVE_UP_AFTER of them."""
    failures = deliveries.c.failures + 1
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id == delivery_id, deliveries.c.state == RECEIVED)
        .values(
            failures=failures,
            reason=reason,
            state=case((failures >= GIVE_UP_AFTER, literal(FAILED)), else_=deliveries.c.state),
        )
    )


def _arrival() -> ColumnElement[int]:
    return func.coalesce(deliveries.c.arrival, deliveries.c.id)


def _lock_resources_of(sql: Sql) -> Any:
    name = func.concat("spacebridge ", deliveries.c.store_id, " ", deliveries.c.resource_id)
    keys = (
        select(func.hashtextextended(name, 0).label("key"))
        .distinct()
        .where(
            sql.in_list(deliveries.c.id, "ids"),
            deliveries.c.state == RECEIVED,
            deliveries.c.resource_id.is_not(None),
        )
        # Sorted, so that two transactions that lock several do not deadlock.
        .order_by("key")
        .subquery()
    )
    return select(func.pg_advisory_xact_lock(keys.c.key))


def _lock_unprocessed(sql: Sql) -> Any:
    return (
        select_with_store()
        .where(sql.in_list(deliveries.c.id, "ids"), deliveries.c.state == RECEIVED)
        .order_by(_arrival(), deliveries.c.id)
        # Its key stays as it is: a transaction that only adds an attempt, which refers to it, does not wait.
        .with_for_update(of=deliveries, key_share=True, skip_locked=True)
    )


def _deletions(sql: Sql) -> Any:
    wanted = sql.rows("resources", deliveries.c.store_id, deliveries.c.resource_id)
    return select(
        deliveries.c.id,
        deliveries.c.store_id,
        deliveries.c.resource_id,
        deliveries.c.state,
        _arrival().label("arrival"),
    ).where(
        tuple_(deliveries.c.store_id, deliveries.c.resource_id).in_(select(wanted)),
        deliveries.c.is_deletion,
        deliveries.c.state != IGNORED,
        deliveries.c.state != QUARANTINED,
    )


def _finish(sql: Sql) -> Any:
    finished = sql.rows("finished", deliveries.c.id, deliveries.c.state, deliveries.c.reason)
    return (
        update(deliveries)
        .where(deliveries.c.id == finished.c.id)
        .values(state=finished.c.state, reason=finished.c.reason)
    )


def _supersede(sql: Sql) -> Any:
    read = sql.rows("read", deliveries.c.store_id, deliveries.c.resource_id, deliveries.c.id)
    return (
        update(deliveries)
        .where(
            deliveries.c.store_id == read.c.store_id,
            deliveries.c.resource_id == read.c.resource_id,
            deliveries.c.state == literal_column(f"'{UNREADABLE}'"),
            deliveries.c.id < read.c.id,
        )
        .values(state=IGNORED, reason=bindparam("reason", type_=deliveries.c.reason.type))
    )


_SUPERSEDE = Statement(_supersede)
_LOCK_RESOURCES_OF = Statement(_lock_resources_of)
_LOCK_UNPROCESSED = Statement(_lock_unprocessed)
_DELETIONS = Statement(_deletions)
_FINISH = Statement(_finish)
