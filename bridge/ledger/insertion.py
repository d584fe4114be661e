"""Inserts deliveries: the ledger keeps each content once for each store, and counts its repeats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from sqlalchemy import Connection, Dialect, and_, bindparam, case, column, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.dml import ReturningInsert

from bridge.db.direct_writer import DriverStatement
from bridge.db.tables import deliveries, stores
from bridge.ledger.deliveries import FAILED, IGNORED, QUARANTINED, RECEIVED, UNREADABLE


class NewDelivery(TypedDict):
    """A delivery to insert, and the webhook secret that its store had, encrypted, when it was verified."""

    store_id: int
    webhook_secret: str
    topic: str
    digest: bytes
    body: bytes  # compressed
    resource_id: int | None
    is_deletion: bool
    shop_url: str | None
    source: str
    state: str
    reason: str | None
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Insertion:
    """The delivery that was inserted, or that was counted since this one repeats it."""

    delivery_id: int
    is_duplicate: bool
    is_to_be_processed: bool


def insert(connection: Connection, new: NewDelivery) -> Insertion | None:
    """Insert a delivery in the caller's transaction, or count it as a repeat of the same content.

    None, and nothing is written, if the store has another webhook secret by now: its text changes with each
    encryption, and is erased when the store is removed.
    """
    parameters: dict[str, Any] = {**new}
    return _insertion(connection.execute(_INSERT[connection.dialect.name], parameters).all())


def insert_together(
    cursor: Any, dialect: Dialect, batch: Sequence[NewDelivery]
) -> Sequence[Insertion | None]:
    """Insert deliveries with a cursor of the driver's; returns what `insert` would, for each in order.

    In PostgreSQL, where they share one statement, it is None, too, for a repeat of another in the batch.
    """
    if dialect.name == "sqlite" or len(batch) == 1:
        statement = _for_driver(dialect)
        return [_insertion(statement.execute(cursor, new)) for new in batch]
    firsts: dict[tuple[int, bytes], Mapping[str, Any]] = {}
    for new in batch:
        firsts.setdefault((new["store_id"], new["digest"]), new)
    lists = {name: [new[name] for new in firsts.values()] for name in _PARAMETERS}
    rows = _for_driver(dialect, together=True).execute(cursor, lists)
    insertions = {(store_id, digest): _insertion([row]) for row in rows for *_, store_id, digest in [row]}
    keys = [(new["store_id"], new["digest"]) for new in batch]
    return [insertions.get(key) if firsts[key] is new else None for key, new in zip(keys, batch, strict=True)]


def _insertion(rows: Sequence[Any]) -> Insertion | None:
    if not rows:
        return None
    delivery_id, duplicates, state, *_ = rows[0]
    return Insertion(delivery_id, duplicates > 0, state == RECEIVED)


_PARAMETERS = list(NewDelivery.__annotations__)
_COLUMNS = [deliveries.c[name] for name in _PARAMETERS if name not in {"store_id", "webhook_secret"}]
_COLUMN_NAMES = ["store_id", *(column.name for column in _COLUMNS), "last_received_at"]


def _insert(make: Callable[..., Any]) -> ReturningInsert[Any]:
    """One row, whose values are the parameters."""
    values = {column.name: bindparam(column.name, type_=column.type) for column in _COLUMNS}
    row = select(stores.c.id, *values.values(), values["received_at"]).where(
        stores.c.id == bindparam("store_id"), stores.c.webhook_secret == bindparam("webhook_secret")
    )
    return _or_count(make(deliveries).from_select(_COLUMN_NAMES, row))


def _insert_together() -> ReturningInsert[Any]:
    """A row for each place in the lists that are the parameters, in PostgreSQL."""
    columns = [deliveries.c.store_id, stores.c.webhook_secret, *_COLUMNS]
    lists = func.unnest(*(bindparam(each.name, type_=ARRAY(each.type)) for each in columns))
    names = (column(each.name, each.type) for each in columns)
    listed = lists.table_valued(*names, name="new").render_derived()
    rows = (
        select(listed.c.store_id, *(listed.c[each.name] for each in _COLUMNS), listed.c.received_at)
        .join(
            stores,
            and_(stores.c.id == listed.c.store_id, stores.c.webhook_secret == listed.c.webhook_secret),
        )
        # Two processes with the same repeats lock them in the same order, and so do not deadlock.
        .order_by(listed.c.store_id, listed.c.digest)
    )
    return _or_count(postgresql.insert(deliveries).from_select(_COLUMN_NAMES, rows))


def _or_count(insert: sqlite.Insert | postgresql.Insert) -> ReturningInsert[Any]:
    """An INSERT that counts a repeat of a delivery instead of inserting it.

    A deletion says nothing but an id, so trashing an order a second time, after it was restored, sends the
    very same body: that repeat takes a new place among the arrivals and is processed again. So is one that
    could not be processed. Either has all its tries again. What is quarantined or unreadable gets the state
    that this version gives the repeat.
    """
    is_sqlite = isinstance(insert, sqlite.Insert)
    # No IN: these are compiled by hand, with their values.
    is_kept = or_(*(deliveries.c.state == state for state in (FAILED, QUARANTINED, UNREADABLE)))
    is_processed_again = or_(and_(deliveries.c.is_deletion, deliveries.c.state != IGNORED), is_kept)
    latest = func.max if is_sqlite else func.greatest
    # PostgreSQL has drawn the next id for the row that is not inserted. In SQLite the next row may get this
    # number, too: so of a row and a repeat of the same number, the row is the later one.
    place = select(func.max(deliveries.c.id) + 1).scalar_subquery() if is_sqlite else insert.excluded.id
    return insert.on_conflict_do_update(
        index_elements=["store_id", "digest"],
        set_={
            "duplicates": deliveries.c.duplicates + 1,
            "last_received_at": latest(deliveries.c.last_received_at, insert.excluded.last_received_at),
            "arrival": case((deliveries.c.is_deletion, place), else_=deliveries.c.arrival),
            "state": case((is_processed_again, insert.excluded.state), else_=deliveries.c.state),
            "reason": case((is_kept, insert.excluded.reason), else_=deliveries.c.reason),
            "failures": case((is_processed_again, 0), else_=deliveries.c.failures),
        },
    ).returning(
        deliveries.c.id,
        deliveries.c.duplicates,
        deliveries.c.state,
        deliveries.c.store_id,
        deliveries.c.digest,
    )


_INSERT = {"sqlite": _insert(sqlite.insert), "postgresql": _insert(postgresql.insert)}
_INSERT_TOGETHER = _insert_together()
_compiled: dict[tuple[str, bool], DriverStatement] = {}


def _for_driver(dialect: Dialect, *, together: bool = False) -> DriverStatement:
    statement = _compiled.get((dialect.name, together))
    if statement is None:
        made = _INSERT_TOGETHER if together else _INSERT[dialect.name]
        statement = _compiled[dialect.name, together] = DriverStatement(made, dialect)
    return statement
