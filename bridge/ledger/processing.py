"""Deliveries as they are processed: those that wait are found, locked, and finished."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    select,
    update,
)

from bridge.db.lists import in_list, pair_in_lists
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
from bridge.ledger.orders import in_two_lists

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
        connection.execute(_LOCK_RESOURCES_OF, {"ids": delivery_ids})


def lock_unprocessed(connection: Connection, delivery_ids: Collection[int]) -> Sequence[Delivery]:
    """Lock those of these deliveries that wait to be processed; returns them in the order of their arrival.

    Those that another transaction has locked are left out: they are being repeated or processed just now, and
    the one that processes them afterwards knows more.
    """
    return [delivery_of(row) for row in connection.execute(_LOCK_UNPROCESSED, {"ids": delivery_ids})]


@dataclass(frozen=True, slots=True)
class KnownDeletion:
    """A deletion's last place among the arrivals, and whether it waits to be processed."""

    delivery_id: int
    arrival: int
    is_unprocessed: bool


def deletions(
    connection: Connection, resources: Collection[tuple[int, int]]
) -> Mapping[tuple[int, int], Sequence[KnownDeletion]]:
    """Every deletion of these WooCommerce ids, each of a store."""
    by_resource: dict[tuple[int, int], list[KnownDeletion]] = {resource: [] for resource in resources}
    for row in connection.execute(_DELETIONS, in_two_lists(resources)):
        known = KnownDeletion(row.id, row.arrival, row.state == RECEIVED)
        by_resource[row.store_id, row.resource_id].append(known)
    return by_resource


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of a delivery: its state, and why."""

    delivery_id: int
    state: str
    reason: str | None


def finish(connection: Connection, finished: Sequence[Finished]) -> None:
    """Write what became of deliveries."""
    if finished:
        connection.execute(
            _FINISH,
            [{"of": one.delivery_id, "new_state": one.state, "new_reason": one.reason} for one in finished],
        )


def supersede(connection: Connection, delivery_ids: Sequence[int]) -> None:
    """Ignore the unreadable deliveries of orders that were read from these, which arrived later."""
    if delivery_ids:
        connection.execute(_SUPERSEDE, {"ids": delivery_ids})


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


def _arrival(of: FromClause = deliveries) -> ColumnElement[int]:
    return func.coalesce(of.c.arrival, of.c.id)


def _keys_of_resources() -> Select[Any]:
    name = func.concat("spacebridge ", deliveries.c.store_id, " ", deliveries.c.resource_id)
    return (
        select(func.hashtextextended(name, 0).label("key"))
        .distinct()
        .where(
            in_list(deliveries.c.id, "ids"),
            deliveries.c.state == RECEIVED,
            deliveries.c.resource_id.is_not(None),
        )
        # Sorted, so that two transactions that lock several do not deadlock.
        .order_by("key")
    )


# Made once: to make a statement takes longer than to execute it.
_LOCK_RESOURCES_OF = select(func.pg_advisory_xact_lock(_keys_of_resources().subquery().c.key))
_LOCK_UNPROCESSED = (
    select_with_store()
    .where(in_list(deliveries.c.id, "ids"), deliveries.c.state == RECEIVED)
    .order_by(_arrival(), deliveries.c.id)
    # Its key stays as it is: a transaction that only adds an attempt, which refers to it, does not wait.
    .with_for_update(of=deliveries, key_share=True, skip_locked=True)
)
_DELETIONS = select(
    deliveries.c.id,
    deliveries.c.store_id,
    deliveries.c.resource_id,
    deliveries.c.state,
    _arrival().label("arrival"),
).where(
    pair_in_lists([deliveries.c.store_id, deliveries.c.resource_id], ["store_ids", "resource_ids"]),
    deliveries.c.is_deletion,
    deliveries.c.state != IGNORED,
    deliveries.c.state != QUARANTINED,
)
_FINISH = (
    update(deliveries)
    .where(deliveries.c.id == bindparam("of"))
    .values(state=bindparam("new_state"), reason=bindparam("new_reason"))
)
_READ = deliveries.alias("read")
_SUPERSEDE = (
    update(deliveries)
    .where(
        in_list(_READ.c.id, "ids"),
        deliveries.c.store_id == _READ.c.store_id,
        deliveries.c.resource_id == _READ.c.resource_id,
        # In the text: a plan for any state knows no index of those that are unreadable.
        deliveries.c.state == literal_column(f"'{UNREADABLE}'"),
        deliveries.c.id < _arrival(_READ),
    )
    .values(state=IGNORED, reason="the shop has sent the order again since")
)
