"""Deliveries: every signed webhook request, kept byte for byte."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert

from bridge.db.statements import Pending, Sql, Statement
from bridge.db.tables import deliveries, issuances, orders, stores

RECEIVED, PROCESSED, IGNORED, FAILED = "received", "processed", "ignored", "failed"
QUARANTINED = "quarantined"  # about another site's order, as far as its address tells
UNREADABLE = "unreadable"  # like an order, and not to be read as one
STATES = (RECEIVED, PROCESSED, IGNORED, QUARANTINED, UNREADABLE, FAILED)
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
    arrival: int  # its place in the sequence that the database gives; a repeated deletion takes a new one
    shop_url: str | None
    compressed_body: bytes = field(repr=False)

    @property
    def body(self) -> bytes:
        """The raw bytes of the request's body; none once it is erased."""
        return zlib.decompress(self.compressed_body) if self.compressed_body else b""


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
    shop_url: str | None
    state: str
    reason: str | None


def columns(new: NewDelivery) -> dict[str, Any]:
    """The columns of a delivery that are known from its request."""
    return {**new, "body": compressed(new["body"])}


def record(connection: Connection, *, store_id: int, now: datetime, **new: Unpack[NewDelivery]) -> Recorded:
    """Keep a delivery, or count it as a duplicate of one with the same content.

    A deletion says nothing but an id, so trashing an order a second time, after it was restored,
    sends the very same body: that repeat takes a new place among the arrivals and is processed again. So is
    one that could not be processed. Either has all its tries again. What waits for a person in quarantine, or
    since it cannot be read, is judged as this version judges the repeat.
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
    is_sqlite = isinstance(insertion, sqlite.Insert)
    is_ignored = deliveries.c.state == IGNORED
    # No IN: these are compiled by hand, with their values.
    judged_again = or_(*(deliveries.c.state == one for one in (FAILED, QUARANTINED, UNREADABLE)))
    again = or_(and_(deliveries.c.is_deletion, ~is_ignored), judged_again)
    latest = func.max if is_sqlite else func.greatest
    # PostgreSQL has drawn the next id for the row that is not inserted. In SQLite the next row may have this
    # number, too: whoever compares takes a row for later than a repeat of the same number.
    place = select(func.max(deliveries.c.id) + 1).scalar_subquery() if is_sqlite else insertion.excluded.id
    return insertion.on_conflict_do_update(
        index_elements=["store_id", "digest"],
        set_={
            "duplicates": deliveries.c.duplicates + 1,
            "last_received_at": latest(deliveries.c.last_received_at, insertion.excluded.last_received_at),
            "arrival": case((deliveries.c.is_deletion, place), else_=deliveries.c.arrival),
            "state": case((again, insertion.excluded.state), else_=deliveries.c.state),
            "reason": case((judged_again, insertion.excluded.reason), else_=deliveries.c.reason),
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


def newest_of(connection: Connection, issuance_ids: Collection[int]) -> Pending[Mapping[int, Delivery]]:
    """The deliveries of the newest snapshots of these issuances' orders, by the orders' ids."""
    return _NEWEST_OF.query(
        connection, lambda rows: {row.order_id: _delivery(row) for row in rows}, ids=list(issuance_ids)
    )


def of_orders(connection: Connection, order_ids: Collection[int]) -> Pending[Mapping[int, Delivery]]:
    """The deliveries of the newest snapshots of these orders, by the orders' ids."""
    return _OF_ORDERS.query(
        connection, lambda rows: {row.order_id: _delivery(row) for row in rows}, ids=list(order_ids)
    )


def of_first_order(connection: Connection, store_id: int) -> Delivery | None:
    """The delivery of the lowest of a store's WooCommerce ids, as the shop described that order last."""
    first = select(orders.c.delivery_id).where(
        orders.c.store_id == store_id, orders.c.delivery_id.is_not(None)
    )
    query = _with_store().where(
        deliveries.c.id == first.order_by(orders.c.resource_id, orders.c.order_key).limit(1).scalar_subquery()
    )
    row = connection.execute(query).one_or_none()
    return _delivery(row) if row else None


def lock_resources_of(connection: Connection, delivery_ids: Collection[int]) -> None:
    """Let nobody else process a delivery on what these are about until this transaction ends.

    An order that is not there yet has no row to lock, and its deletion may be processed just then.
    """
    if connection.dialect.name == "postgresql":
        _LOCK_RESOURCES_OF.execute(connection, ids=list(delivery_ids))


def lock_unprocessed(connection: Connection, delivery_ids: Collection[int]) -> Sequence[Delivery]:
    """Those of these deliveries that wait to be processed, as they came, locked.

    Left out is what somebody else has locked: it is being repeated or processed just now, and whoever
    processes it afterwards knows more.
    """
    locked = _LOCK_UNPROCESSED.query(
        connection, lambda rows: [_delivery(row) for row in rows], ids=list(delivery_ids)
    )
    return locked.result


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
    """Where among the arrivals the shop last said that it had trashed an order; whether that is processed."""

    delivery_id: int
    arrival: int
    is_unprocessed: bool


def deletions(
    connection: Connection, resources: Collection[tuple[int, int]]
) -> Pending[Mapping[tuple[int, int], Sequence[KnownDeletion]]]:
    """Every deletion of these WooCommerce ids, each of a store."""

    def read(rows: Sequence[Any]) -> Mapping[tuple[int, int], Sequence[KnownDeletion]]:
        found: dict[tuple[int, int], list[KnownDeletion]] = {one: [] for one in resources}
        for row in rows:
            known = KnownDeletion(row.id, row.arrival, row.state == RECEIVED)
            found[row.store_id, row.resource_id].append(known)
        return found

    return _DELETIONS.query(connection, read, resources=list(resources))


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of a delivery, in a state and a phrase."""

    delivery_id: int
    state: str
    reason: str | None


def finish(connection: Connection, finished: Sequence[Finished]) -> None:
    """Note what became of deliveries."""
    if finished:
        _FINISH.execute(connection, finished=[[one.delivery_id, one.state, one.reason] for one in finished])


def replay(connection: Connection, delivery_id: int) -> bool:
    """Have a delivery processed once more. Nothing changes for one that waits to be, or is of no use."""
    moved = connection.execute(
        update(deliveries)
        .where(deliveries.c.id == delivery_id, deliveries.c.state.in_([PROCESSED, FAILED, UNREADABLE]))
        .values(state=RECEIVED, failures=0)
    )
    return moved.rowcount == 1


def ignore(connection: Connection, delivery_id: int, reason: str) -> bool:
    """Have a delivery that waits for a person wait no more: it is of no use."""
    moved = connection.execute(
        update(deliveries)
        .where(deliveries.c.id == delivery_id, deliveries.c.state.in_([QUARANTINED, UNREADABLE, FAILED]))
        .values(state=IGNORED, reason=reason)
    )
    return moved.rowcount == 1


def release(connection: Connection, store_id: int, shop_urls: Sequence[str]) -> int:
    """Have processed what was quarantined from these addresses, which are the shop's; returns how many."""
    return connection.execute(
        update(deliveries)
        .where(
            # In so many words, so that a plan for any values knows of the index of what is quarantined.
            deliveries.c.state == literal_column(f"'{QUARANTINED}'"),
            deliveries.c.store_id == store_id,
            deliveries.c.shop_url.in_(shop_urls),
        )
        .values(state=RECEIVED, reason=None, failures=0)
    ).rowcount


def with_quarantined(connection: Connection) -> Sequence[int]:
    """Ids of the stores that have quarantined deliveries."""
    # By the index of what is quarantined. The latest will do: when they are released, the others follow.
    query = select(deliveries.c.store_id).where(deliveries.c.state == literal_column(f"'{QUARANTINED}'"))
    latest = connection.execute(query.order_by(deliveries.c.id.desc()).limit(1000)).scalars()
    return list(dict.fromkeys(latest))


def supersede(connection: Connection, read: Sequence[tuple[int, int, int]]) -> None:
    """An order was read, by a delivery that arrived later: what could not be read of it waits for nobody.

    `read`: of each order its store's id, its WooCommerce id, and the arrival of that delivery.
    """
    if read:
        _SUPERSEDE.execute(connection, read=list(read), reason="the shop has sent the order again since")


def unreadable(connection: Connection, *, store: str | None = None, limit: int = 50) -> Sequence[Delivery]:
    """What looks like an order and cannot be read, the newest first."""
    return listed(connection, store=store, state=UNREADABLE, limit=limit)


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


def _arrival() -> ColumnElement[int]:
    return func.coalesce(deliveries.c.arrival, deliveries.c.id)


def _with_store() -> Any:
    return select(deliveries, stores.c.name.label("store")).join(stores)


def _newest_of(sql: Sql) -> Any:
    of_issuances = select(issuances.c.order_id).where(sql.in_list(issuances.c.id, "ids"))
    return _newest_where(orders.c.id.in_(of_issuances))


def _of_orders(sql: Sql) -> Any:
    return _newest_where(sql.in_list(orders.c.id, "ids"))


def _newest_where(condition: ColumnElement[bool]) -> Any:
    joined = orders.join(deliveries, deliveries.c.id == orders.c.delivery_id)
    joined = joined.join(stores, stores.c.id == deliveries.c.store_id)
    names = stores.c.name.label("store"), orders.c.id.label("order_id")
    return select(deliveries, *names).select_from(joined).where(condition)


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
        # Sorted, so that of two who lock several, none waits for the other in a circle.
        .order_by("key")
        .subquery()
    )
    return select(func.pg_advisory_xact_lock(keys.c.key))


def _lock_unprocessed(sql: Sql) -> Any:
    return (
        _with_store()
        .where(sql.in_list(deliveries.c.id, "ids"), deliveries.c.state == RECEIVED)
        .order_by(_arrival(), deliveries.c.id)
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
        _arrival().label("arrival"),
    ).where(
        tuple_(deliveries.c.store_id, deliveries.c.resource_id).in_(select(wanted)),
        deliveries.c.is_deletion,
        deliveries.c.state != IGNORED,
        deliveries.c.state != QUARANTINED,
    )


def _finish(sql: Sql) -> Any:
    given = sql.rows("finished", deliveries.c.id, deliveries.c.state, deliveries.c.reason)
    return (
        update(deliveries)
        .where(deliveries.c.id == given.c.id)
        .values(state=given.c.state, reason=given.c.reason)
    )


def _supersede(sql: Sql) -> Any:
    given = sql.rows("read", deliveries.c.store_id, deliveries.c.resource_id, deliveries.c.id)
    return (
        update(deliveries)
        .where(
            deliveries.c.store_id == given.c.store_id,
            deliveries.c.resource_id == given.c.resource_id,
            deliveries.c.state == literal_column(f"'{UNREADABLE}'"),
            deliveries.c.id < given.c.id,
        )
        .values(state=IGNORED, reason=bindparam("reason", type_=deliveries.c.reason.type))
    )


_NEWEST_OF = Statement(_newest_of)
_OF_ORDERS = Statement(_of_orders)
_SUPERSEDE = Statement(_supersede)
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
        arrival=row.id if row.arrival is None else row.arrival,
        shop_url=row.shop_url,
        compressed_body=row.body,
    )
