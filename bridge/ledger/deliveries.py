"""Deliveries: every signed webhook request, kept byte for byte."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack

from sqlalchemy import Connection, Row, case, func, literal, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert

from bridge.ledger.statements import Asked, Sql, Statement
from bridge.ledger.tables import deliveries, issuances, orders, stores

RECEIVED, PROCESSED, IGNORED, FAILED = "received", "processed", "ignored", "failed"
UNREADABLE, QUARANTINED = "unreadable", "quarantined"  # kept for an operator, who says what becomes of them
CLOCK_TOLERANCE = timedelta(minutes=1)  # what arrived later than that was dated by a clock set back since
GIVE_UP_AFTER = 20  # failures of our own to process a delivery, before it is left to the operator


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
    compressed_body: bytes = field(repr=False)

    @property
    def body(self) -> bytes:
        """The raw bytes of the request's body."""
        return zlib.decompress(self.compressed_body)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a request: the delivery it is now, and whether it was there before."""

    delivery_id: int
    is_duplicate: bool
    is_to_be_processed: bool


class NewDelivery(TypedDict):
    """What a signed request brings, whatever is in it."""

    topic: str
    digest: bytes
    body: bytes
    resource_id: int | None
    is_deletion: bool
    ignored_because: str | None


def columns(new: NewDelivery) -> dict[str, Any]:
    """The columns of a delivery that are known from its request."""
    ignored_because = new["ignored_because"]
    return {
        "topic": new["topic"],
        "digest": new["digest"],
        "body": compressed(new["body"]),
        "resource_id": new["resource_id"],
        "is_deletion": new["is_deletion"],
        "state": RECEIVED if ignored_because is None else IGNORED,
        "reason": ignored_because,
    }


def record(connection: Connection, *, store_id: int, now: datetime, **new: Unpack[NewDelivery]) -> Recorded:
    """Keep a delivery, or count it as a duplicate of one with the same content.

    A deletion says nothing but an id, so trashing an order a second time, after it was restored,
    sends the very same body: that repeat is processed again. So is one that could not be processed. Either
    has all its tries again.
    """
    row = {"store_id": store_id, **columns(new), "received_at": now, "last_received_at": now}
    recorded = connection.execute(_RECORD[connection.dialect.name], row).one()
    return Recorded(recorded.id, recorded.duplicates > 0, recorded.state == RECEIVED)


def compressed(body: bytes) -> bytes:
    """A body as the ledger keeps it."""
    # Of an order, a tenth more is left than at zlib's usual level, in half of the time.
    return zlib.compress(body, level=1)


def counting_repeats(insertion: sqlite.Insert | postgresql.Insert) -> ReturningInsert[Any]:
    """An insertion of deliveries that counts one which is there instead, in the way that `record` tells.

    It returns the columns `id`, `duplicates`, `state`, `store_id` and `digest` of each.
    """
    again = or_(deliveries.c.is_deletion, deliveries.c.state == FAILED)
    latest = func.max if isinstance(insertion, sqlite.Insert) else func.greatest
    return insertion.on_conflict_do_update(
        index_elements=["store_id", "digest"],
        set_={
            "duplicates": deliveries.c.duplicates + 1,
            "last_received_at": latest(deliveries.c.last_received_at, insertion.excluded.last_received_at),
            "state": case((again, literal(RECEIVED)), else_=deliveries.c.state),
            "failures": case((again, 0), else_=deliveries.c.failures),
        },
    ).returning(
        deliveries.c.id,
        deliveries.c.duplicates,
        deliveries.c.state,
        deliveries.c.store_id,
        deliveries.c.digest,
    )


# Made once: to put it together anew takes several times as long as the database has to do with it.
_RECORD = {
    "sqlite": counting_repeats(sqlite.insert(deliveries)),
    "postgresql": counting_repeats(postgresql.insert(deliveries)),
}


def get(connection: Connection, delivery_id: int) -> Delivery | None:
    """The delivery of this id."""
    row = connection.execute(_with_store().where(deliveries.c.id == delivery_id)).one_or_none()
    return _delivery(row) if row else None


def lock(connection: Connection, delivery_id: int) -> Delivery | None:
    """The same, and nobody else processes or repeats it until this transaction ends."""
    # It stays what attempts refer to: who only adds one need not wait.
    query = _with_store().where(deliveries.c.id == delivery_id)
    query = query.with_for_update(of=deliveries, key_share=True)
    row = connection.execute(query).one_or_none()
    return _delivery(row) if row else None


def newest_of(connection: Connection, issuance_ids: Collection[int]) -> Asked[Mapping[int, Delivery]]:
    """The deliveries of the newest snapshots of these issuances' orders, by the orders' ids."""
    return _NEWEST_OF.ask(
        connection, lambda rows: {row.order_id: _delivery(row) for row in rows}, ids=list(issuance_ids)
    )


def lock_resources_of(connection: Connection, delivery_ids: Collection[int]) -> None:
    """Let nobody else process a delivery on what these are about until this transaction ends.

    An order that is not there yet has no row to lock, and its deletion may be processed just then.
    """
    if connection.dialect.name == "postgresql":
        _LOCK_RESOURCES_OF.tell(connection, ids=list(delivery_ids))


def lock_unprocessed(connection: Connection, delivery_ids: Collection[int]) -> Sequence[Delivery]:
    """Those of these deliveries that wait to be processed, as they came, locked.

    Left out is what somebody else has locked: it is being repeated or processed just now, and whoever
    processes it afterwards knows more.
    """
    locked = _LOCK_UNPROCESSED.ask(
        connection, lambda rows: [_delivery(row) for row in rows], ids=list(delivery_ids)
    )
    return locked.answer


def listed(
    connection: Connection, *, store: str | None = None, state: str | None = None, limit: int = 50
) -> Sequence[Delivery]:
    """The newest deliveries first."""
    query = _with_store().order_by(deliveries.c.id.desc()).limit(limit)
    if store is not None:
        query = query.where(stores.c.name == store)
    if state is not None:
        query = query.where(deliveries.c.state == state)
    return [_delivery(row) for row in connection.execute(query)]


def of_resource(connection: Connection, store_id: int, resource_id: int) -> Sequence[Delivery]:
    """Every delivery that names this WooCommerce id, oldest first."""
    query = (
        _with_store()
        .where(deliveries.c.store_id == store_id, deliveries.c.resource_id == resource_id)
        .order_by(deliveries.c.id)
    )
    return [_delivery(row) for row in connection.execute(query)]


def unprocessed(connection: Connection, *, received_before: datetime, limit: int) -> Sequence[int]:
    """Ids of deliveries that wait although a message for them should have come by now."""
    return (
        connection.execute(
            select(deliveries.c.id)
            .where(
                deliveries.c.state == RECEIVED,
                or_(
                    deliveries.c.last_received_at <= received_before,
                    deliveries.c.last_received_at > received_before + CLOCK_TOLERANCE,
                ),
            )
            .order_by(deliveries.c.id)
            .limit(limit)
        )
        .scalars()
        .all()
    )


@dataclass(frozen=True, slots=True)
class KnownDeletion:
    """When the shop last said that it had trashed an order, and whether that is processed."""

    delivery_id: int
    arrived_at: datetime
    is_unprocessed: bool


def deletions(
    connection: Connection, resources: Collection[tuple[int, int]]
) -> Asked[Mapping[tuple[int, int], Sequence[KnownDeletion]]]:
    """Every deletion of these WooCommerce ids, each of a store."""

    def read(rows: Sequence[Any]) -> Mapping[tuple[int, int], Sequence[KnownDeletion]]:
        found: dict[tuple[int, int], list[KnownDeletion]] = {one: [] for one in resources}
        for row in rows:
            known = KnownDeletion(row.id, row.last_received_at, row.state == RECEIVED)
            found[row.store_id, row.resource_id].append(known)
        return found

    return _DELETIONS.ask(connection, read, resources=list(resources))


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of a delivery, in a state and a phrase."""

    delivery_id: int
    state: str
    reason: str | None


def finish(connection: Connection, finished: Sequence[Finished]) -> None:
    """Note what became of deliveries."""
    if finished:
        _FINISH.tell(connection, finished=[[one.delivery_id, one.state, one.reason] for one in finished])


def replay(connection: Connection, delivery_id: int) -> bool:
    """Have a delivery processed once more. Nothing changes for one that waits to be, or is of no use."""
    moved = connection.execute(
        update(deliveries)
        .where(deliveries.c.id == delivery_id, deliveries.c.state.in_([PROCESSED, FAILED]))
        .values(state=RECEIVED, failures=0)
    )
    return moved.rowcount == 1


def note_failure(connection: Connection, delivery_id: int, reason: str) -> None:
    """Processing raised: try again at the next sweep, or leave it to an operator after some tries."""
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


def _with_store() -> Any:
    return select(deliveries, stores.c.name.label("store")).join(stores)


def _newest_of(sql: Sql) -> Any:
    of_issuances = select(issuances.c.order_id).where(sql.among(issuances.c.id, "ids"))
    joined = orders.join(deliveries, deliveries.c.id == orders.c.delivery_id)
    joined = joined.join(stores, stores.c.id == deliveries.c.store_id)
    names = stores.c.name.label("store"), orders.c.id.label("order_id")
    return select(deliveries, *names).select_from(joined).where(orders.c.id.in_(of_issuances))


def _lock_resources_of(sql: Sql) -> Any:
    name = func.concat("spacebridge ", deliveries.c.store_id, " ", deliveries.c.resource_id)
    keys = (
        select(func.hashtextextended(name, 0).label("key"))
        .distinct()
        .where(
            sql.among(deliveries.c.id, "ids"),
            deliveries.c.state == RECEIVED,
            deliveries.c.resource_id.is_not(None),
        )
        # Sorted, so that of two who lock several, none waits for the other in a circle.
        .order_by("key")
        .subquery()
    )
    return select(func.pg_advisory_xact_lock(keys.c.key))


def _lock_unprocessed(sql: Sql) -> Any:
    return (
        _with_store()
        .where(sql.among(deliveries.c.id, "ids"), deliveries.c.state == RECEIVED)
        .order_by(deliveries.c.id)
        # It stays what attempts refer to: who only adds one need not wait.
        .with_for_update(of=deliveries, key_share=True, skip_locked=True)
    )


def _deletions(sql: Sql) -> Any:
    wanted = sql.rows("resources", deliveries.c.store_id, deliveries.c.resource_id)
    return select(
        deliveries.c.id,
        deliveries.c.store_id,
        deliveries.c.resource_id,
        deliveries.c.state,
        deliveries.c.last_received_at,
    ).where(
        tuple_(deliveries.c.store_id, deliveries.c.resource_id).in_(select(wanted)),
        deliveries.c.is_deletion,
    )


def _finish(sql: Sql) -> Any:
    given = sql.rows("finished", deliveries.c.id, deliveries.c.state, deliveries.c.reason)
    return (
        update(deliveries)
        .where(deliveries.c.id == given.c.id)
        .values(state=given.c.state, reason=given.c.reason)
    )


_NEWEST_OF = Statement(_newest_of)
_LOCK_RESOURCES_OF = Statement(_lock_resources_of)
_LOCK_UNPROCESSED = Statement(_lock_unprocessed)
_DELETIONS = Statement(_deletions)
_FINISH = Statement(_finish)


def _delivery(row: Row[Any]) -> Delivery:
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
        compressed_body=row.body,
    )
