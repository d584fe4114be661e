"""What is due: each store's queue of issuances that may be sent by now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Integer,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)

from bridge.db.statements import Sql, Statement
from bridge.db.tables import issuances, stores
from bridge.ledger.issuances import DUE, Issuance

# Nothing is postponed for as long. What is due later was postponed by a clock that has been set back since.
LONGEST_WAIT = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Due:
    """One entry of a store's queue of due issuances, and its place in it."""

    next_attempt_at: datetime
    id: int


def of_store(
    connection: Connection, store_id: int, *, now: datetime, after: Due | None, limit: int
) -> Sequence[Due]:
    """What of a store is due by now, in the order it fell due; `after` that place in the queue."""
    given = {"store_id": store_id, "now": now, "beyond": now + LONGEST_WAIT, "limit": limit}
    if after is None:
        return _OF_STORE.query(connection, _read, **given).result
    place = {"after_at": after.next_attempt_at, "after_id": after.id}
    return _OF_STORE_AFTER.query(connection, _read, **given, **place).result


def stores_with_some(connection: Connection, *, now: datetime, limit: int) -> Sequence[int]:
    """Ids of stores of which something may be sent: of paused ones, those whose probe is due.

    In random order, so that no store is always behind the limit.
    """
    may_send = or_(
        stores.c.paused_at.is_(None),
        stores.c.next_probe_at <= now,
        stores.c.next_probe_at > now + LONGEST_WAIT,
    )
    fallen_due = or_(issuances.c.next_attempt_at <= now, issuances.c.next_attempt_at > now + LONGEST_WAIT)
    something_due = exists().where(issuances.c.store_id == stores.c.id, issuances.c.state == DUE, fallen_due)
    query = select(stores.c.id).where(may_send, something_due).order_by(func.random()).limit(limit)
    return connection.execute(query).scalars().all()


def has_fallen_due(issuance: Issuance, now: datetime) -> bool:
    """Whether its time has come."""
    at = issuance.next_attempt_at
    return at is not None and (at <= now or at > now + LONGEST_WAIT)


def _of_store(sql: Sql) -> Any:
    at = issuances.c.next_attempt_at
    fallen_due = or_(at <= _moment("now"), at > _moment("beyond"))
    return (
        select(at, issuances.c.id)
        # The state in the text: whoever plans for any state knows no index of those that are due.
        .where(
            issuances.c.store_id == bindparam("store_id", type_=issuances.c.store_id.type),
            issuances.c.state == literal_column(f"'{DUE}'"),
            fallen_due,
        )
        .order_by(at, issuances.c.id)
        .limit(bindparam("limit", type_=Integer))
    )


def _of_store_after(sql: Sql) -> Any:
    place = tuple_(issuances.c.next_attempt_at, issuances.c.id)
    after = tuple_(_moment("after_at"), bindparam("after_id", type_=issuances.c.id.type))
    return _of_store(sql).where(place > after)


def _moment(name: str) -> BindParameter[datetime]:
    return bindparam(name, type_=issuances.c.next_attempt_at.type)


_OF_STORE = Statement(_of_store)
_OF_STORE_AFTER = Statement(_of_store_after)


def _read(rows: Sequence[Any]) -> Sequence[Due]:
    return [Due(row.next_attempt_at, row.id) for row in rows]
