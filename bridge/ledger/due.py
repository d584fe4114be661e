"""What is due: each store's queue of issuances that may be sent by now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    and_,
    bindparam,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
)

from bridge.db.tables import issuances, orders, stores
from bridge.ledger.clock import has_passed
from bridge.ledger.issuances import DUE, SENDING, Issuance
from bridge.ledger.orders import KnownOrder, known_order

LONGEST_WAIT = timedelta(hours=2)  # nothing is postponed for as long


@dataclass(frozen=True, slots=True)
class LockedDue:
    """A due issuance, by its id, and its order, which nobody else changes until the transaction ends."""

    issuance_id: int
    order: KnownOrder


def of_store(connection: Connection, store_id: int, *, now: datetime, limit: int) -> Sequence[int]:
    """Ids of the issuances of a store that may be sent by now, in the order they fell due."""
    query = select(issuances.c.id).where(*_is_due(literal(store_id))).order_by(*_PLACE).limit(limit)
    return connection.execute(query, _times(now)).scalars().all()


def lock_of_stores(
    connection: Connection, limits: Mapping[int, int], *, now: datetime
) -> Mapping[int, Sequence[LockedDue]]:
    """The same of each of these stores up to its limit, with their orders locked; by the stores' ids.

    Those that another transaction has locked are skipped. One request for an order at a time: two could
    overtake each other on their way, and the estimate come after the invoice. So what is due of an order that
    has a document under way is left out, and of an order that has two due, the one that was added first is
    taken.
    """
    found: dict[int, list[LockedDue]] = {store_id: [] for store_id in limits}
    for row in _lock_of_stores(connection, limits, _times(now)):
        found[row.store_id].append(LockedDue(row.issuance_id, known_order(row)))
    return found


def _lock_of_stores(
    connection: Connection, limits: Mapping[int, int], times: Mapping[str, datetime]
) -> Iterable[Row[Any]]:
    if connection.dialect.name == "postgresql":
        lists = {"store_ids": list(limits), "limits": list(limits.values())}
        return connection.execute(_LOCK_OF_STORES, {**lists, **times})
    # SQLite has no LATERAL, and no server that is to be asked as seldom as can be.
    return [
        row
        for store_id, limit in limits.items()
        for row in connection.execute(_LOCK_OF_STORE, {"store_id": store_id, "limit": limit, **times})
    ]


def stores_with_some(connection: Connection, *, now: datetime, limit: int) -> Sequence[int]:
    """Ids of stores of which something may be sent: of paused ones, those whose probe is due.

    In random order, so that no store is always behind the limit.
    """
    probe_at = stores.c.next_probe_at
    may_send = or_(stores.c.paused_at.is_(None), has_passed(probe_at, now, at_most=LONGEST_WAIT))
    something_due = exists().where(
        issuances.c.store_id == stores.c.id, issuances.c.state == DUE, _fallen_due(issuances)
    )
    query = select(stores.c.id).where(may_send, something_due).order_by(func.random()).limit(limit)
    return connection.execute(query, _times(now)).scalars().all()


def has_fallen_due(issuance: Issuance, now: datetime) -> bool:
    """Whether its time has come."""
    at = issuance.next_attempt_at
    return at is not None and has_passed(at, now, at_most=LONGEST_WAIT)


def _times(now: datetime) -> dict[str, datetime]:
    """The parameters of `_fallen_due`."""
    return {"now": now, "too_far": now + LONGEST_WAIT}


def _fallen_due(table: FromClause) -> ColumnElement[bool]:
    at = table.c.next_attempt_at
    return (at <= bindparam("now", type_=at.type)) | (at > bindparam("too_far", type_=at.type))


def _is_due(store_id: ColumnElement[int]) -> Sequence[ColumnElement[bool]]:
    return (
        issuances.c.store_id == store_id,
        # In the text: a plan for any state knows no index of those that are due.
        issuances.c.state == literal_column(f"'{DUE}'"),
        _fallen_due(issuances),
    )


# Made once: to make a statement takes longer than to execute it.
_PLACE = (issuances.c.next_attempt_at, issuances.c.id)
_SIBLING = issuances.alias("sibling")
_IS_UNDER_WAY = exists().where(
    _SIBLING.c.order_id == issuances.c.order_id,
    or_(
        _SIBLING.c.state == SENDING,
        and_(_SIBLING.c.state == DUE, _SIBLING.c.id < issuances.c.id, _fallen_due(_SIBLING)),
    ),
)


def _lock(store_id: ColumnElement[int], limit: ColumnElement[int]) -> Select[Any]:
    return (
        select(orders, stores.c.name.label("store"), issuances.c.id.label("issuance_id"))
        .select_from(issuances.join(orders, orders.c.id == issuances.c.order_id))
        .join(stores, stores.c.id == orders.c.store_id)
        .where(*_is_due(store_id), ~_IS_UNDER_WAY)
        .order_by(*_PLACE)
        .limit(limit)
        .with_for_update(of=orders, skip_locked=True)
    )


_LOCK_OF_STORE = _lock(bindparam("store_id"), bindparam("limit"))
_LIMITS = (
    func.unnest(bindparam("store_ids", type_=ARRAY(BigInteger)), bindparam("limits", type_=ARRAY(BigInteger)))
    .table_valued("store_id", "most")
    .render_derived("quota")
)
_OF_ITS_STORE = _lock(_LIMITS.c.store_id, _LIMITS.c.most).lateral("locked")
_LOCK_OF_STORES = select(_OF_ITS_STORE).select_from(_LIMITS.join(_OF_ITS_STORE, true()))
