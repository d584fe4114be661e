"""Inserts deliveries through the driver, for each database in the way that costs it least."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Dialect, and_, bindparam, column, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.dml import ReturningInsert

from bridge.db.statements import CompiledStatement, Sql
from bridge.db.tables import deliveries, stores
from bridge.ledger.deliveries import RECEIVED, Recorded, counting_repeats

Row = Mapping[str, Any]  # a value for each of _BROUGHT, the store's id, and its secret as the ledger keeps it
Insert = Callable[[Any, Sequence[Row]], Sequence[Recorded | None]]

_BROUGHT = [
    deliveries.c[name]
    for name in (
        *("topic", "digest", "body", "resource_id", "is_deletion", "shop_url", "state", "reason"),
        "received_at",
    )
]
_COLUMNS = ["store_id", *(one.name for one in _BROUGHT), "last_received_at"]


def insertion(dialect: Dialect) -> Insert:
    """A function that, with a cursor of the driver's, records rows and says what became of each.

    It is None for a row whose store has another secret by now, and for one that has to be recorded by itself.
    """
    one = CompiledStatement(_of_one, dialect)
    if dialect.name == "sqlite":
        return lambda cursor, rows: [_alone(one, cursor, row) for row in rows]
    many = CompiledStatement(_of_many, dialect)

    def insert(cursor: Any, rows: Sequence[Row]) -> Sequence[Recorded | None]:
        return [_alone(one, cursor, rows[0])] if len(rows) == 1 else _together(many, cursor, rows)

    return insert


def _alone(form: CompiledStatement, cursor: Any, row: Row) -> Recorded | None:
    found = form.execute(cursor, row).fetchall()
    return _recorded(*found[0]) if found else None


def _together(form: CompiledStatement, cursor: Any, rows: Sequence[Row]) -> Sequence[Recorded | None]:
    """In one statement. It must not come upon the same delivery twice, so a repeat is left out."""
    firsts: dict[tuple[int, bytes], Row] = {}
    for row in rows:
        firsts.setdefault((row["store_id"], row["digest"]), row)
    lists = {name: [row[name] for row in firsts.values()] for name in rows[0]}
    recorded = {(one[3], one[4]): _recorded(*one) for one in form.execute(cursor, lists)}
    keys = [(row["store_id"], row["digest"]) for row in rows]
    return [recorded.get(key) if firsts[key] is row else None for key, row in zip(keys, rows, strict=True)]


def _recorded(delivery_id: int, duplicates: int, state: str, *_: object) -> Recorded:
    return Recorded(delivery_id, duplicates > 0, state == RECEIVED)


def _of_one(sql: Sql) -> ReturningInsert[Any]:
    """A row, whose values are the parameters, if its store has that secret."""
    values = {one.name: bindparam(one.name, type_=one.type) for one in _BROUGHT}
    brought = select(stores.c.id, *values.values(), values["received_at"]).where(
        stores.c.id == bindparam("store_id"), stores.c.webhook_secret == bindparam("webhook_secret")
    )
    return counting_repeats(sql.insert(deliveries).from_select(_COLUMNS, brought))


def _of_many(sql: Sql) -> ReturningInsert[Any]:
    """A row for each place in the lists that are the parameters, if its store has that secret."""
    columns = [deliveries.c.store_id, stores.c.webhook_secret, *_BROUGHT]
    lists = func.unnest(*(bindparam(one.name, type_=ARRAY(one.type)) for one in columns))
    named = [column(one.name, one.type) for one in columns]
    rows = lists.table_valued(*named, name="brought").render_derived()
    brought = (
        select(rows.c.store_id, *(rows.c[one.name] for one in _BROUGHT), rows.c.received_at)
        .join(stores, and_(stores.c.id == rows.c.store_id, stores.c.webhook_secret == rows.c.webhook_secret))
        # Two processes that are brought the same repeats lock them in the same order, not each other out.
        .order_by(rows.c.store_id, rows.c.digest)
    )
    return counting_repeats(sql.insert(deliveries).from_select(_COLUMNS, brought))
