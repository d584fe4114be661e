"""Issuances: one row for each order and kind of document, and the states it passes through.

Every function that changes a state names the states it may leave, and says whether it did. Whoever
comes second, or with the outcome of an attempt that is not the last, changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bridge.ledger.orders import KnownOrder
from bridge.ledger.tables import issuances, orders, stores

DUE, SENDING, ISSUED, FAILED, HELD, WITHDRAWN = "due", "sending", "issued", "failed", "held", "withdrawn"
NOT_ADDED_YET = 0  # in place of an id


@dataclass(frozen=True, slots=True)
class Issuance:
    """An issuance as the ledger holds it. `order` is the order's id in WooCommerce."""

    id: int
    store_id: int
    store: str
    order_id: int
    order: int
    kind: str
    state: str
    attempts: int
    attempt_id: int | None
    first_attempt_at: datetime | None
    next_attempt_at: datetime | None
    total: str | None
    currency: str | None
    last_error: str | None
    withdrawn_by: str | None

    @classmethod
    def new(cls, order: KnownOrder, kind: str) -> Issuance:
        """One that is due and not in the ledger yet, so without an id."""
        return cls(
            id=NOT_ADDED_YET,
            store_id=order.store_id,
            store=order.store,
            order_id=order.id,
            order=order.resource_id,
            kind=kind,
            state=DUE,
            attempts=0,
            attempt_id=None,
            first_attempt_at=None,
            next_attempt_at=None,
            total=None,
            currency=None,
            last_error=None,
            withdrawn_by=None,
        )


@dataclass(frozen=True, slots=True)
class StartedAttempt:
    """A claim: the right to send one request. `number` counts an issuance's attempts from 1."""

    id: int
    issuance_id: int
    order_id: int
    number: int
    first_attempt_at: datetime
    delivery_id: int  # whose order is sent


def get(connection: Connection, issuance_id: int) -> Issuance | None:
    """The issuance of this id."""
    row = connection.execute(_with_names().where(issuances.c.id == issuance_id)).one_or_none()
    return _issuance(row) if row else None


def of_order(connection: Connection, order_id: int) -> Sequence[Issuance]:
    """The issuances of an order: at most one of each kind."""
    query = _with_names().where(issuances.c.order_id == order_id).order_by(issuances.c.id)
    return [_issuance(row) for row in connection.execute(query)]


def of_orders(connection: Connection, order_ids: Collection[int]) -> Mapping[int, Sequence[Issuance]]:
    """The same of each of these orders."""
    found: dict[int, list[Issuance]] = {order_id: [] for order_id in order_ids}
    for row in connection.execute(_OF_ORDERS, {"order_ids": sorted(order_ids)}):
        found[row.order_id].append(_issuance(row))
    return found


def orders_of(connection: Connection, issuance_ids: Collection[int]) -> Mapping[int, int]:
    """The order of each of these issuances, by their ids."""
    rows = connection.execute(_ORDERS_OF, {"ids": sorted(issuance_ids)})
    return {row.id: row.order_id for row in rows}


def listed(
    connection: Connection, *, store: str | None = None, state: str | None = None, limit: int = 50
) -> Sequence[Issuance]:
    """The youngest issuances first."""
    query = _with_names().order_by(issuances.c.id.desc()).limit(limit)
    if store is not None:
        query = query.where(stores.c.name == store)
    if state is not None:
        query = query.where(issuances.c.state == state)
    return [_issuance(row) for row in connection.execute(query)]


def make_due(connection: Connection, documents: Sequence[tuple[int, int, str]], now: datetime) -> None:
    """Have documents issued, each of a store and an order (by their ids) and of a kind.

    Nothing changes for one that is due, under way or settled otherwise. A withdrawn one comes back to life,
    unless an operator withdrew it.
    """
    if documents:
        rows = [
            {"store_id": store_id, "order_id": order_id, "kind": kind}
            | {"state": DUE, "next_attempt_at": now, "created_at": now}
            for store_id, order_id, kind in documents
        ]
        connection.execute(_MAKE_DUE[connection.dialect.name], rows)


def withdraw(connection: Connection, issuance_ids: Sequence[int], now: datetime) -> None:
    """Take back documents that are due no more; one that is being sent cannot be taken back."""
    if issuance_ids:
        connection.execute(_WITHDRAW, [{"issuance_id": one, "now": now} for one in issuance_ids])


def start_sending(connection: Connection, claims: Sequence[Mapping[str, Any]]) -> bool:
    """Have attempts send due issuances, for as long as their leases last; whether each of them was due.

    A claim has the columns `attempt_id`, `attempts`, `first_attempt_at`, `lease_ends_at`, `total` and
    `currency`, and `issuance_id`.
    """
    return connection.execute(_START_SENDING, claims).rowcount == len(claims)


def mark_issued(connection: Connection, issuance_ids: Sequence[int], now: datetime) -> None:
    """The documents exist. A late answer may find any state: after its lease, `held`, or due again."""
    if issuance_ids:
        connection.execute(_MARK_ISSUED, [{"issuance_id": one, "now": now} for one in issuance_ids])


def mark_held(connection: Connection, attempt: StartedAttempt, *, error: str, now: datetime) -> bool:
    """The document may exist: it is not sent again by itself."""
    return _end(connection, attempt, state=HELD, last_error=error, settled_at=now)


def mark_failed(connection: Connection, attempt: StartedAttempt, *, error: str, now: datetime) -> bool:
    """Space Invoices refused the order, or it could not be handed over for too long."""
    return _end(connection, attempt, state=FAILED, last_error=error, settled_at=now)


def postpone(
    connection: Connection, attempt: StartedAttempt, *, error: str, next_attempt_at: datetime
) -> bool:
    """The request took no effect: it is due again, later."""
    return _end(
        connection, attempt, state=DUE, last_error=error, next_attempt_at=next_attempt_at, settled_at=None
    )


def defer(connection: Connection, issuance_id: int, *, error: str, until: datetime) -> bool:
    """It cannot be sent by a fault on this side: leave it due, for later."""
    return _move(connection, issuance_id, [DUE], state=DUE, last_error=error, next_attempt_at=until)


def give_back(connection: Connection, attempt: StartedAttempt, *, error: str, now: datetime) -> bool:
    """The account was refused, which is not the order's fault: due again, and the attempt not counted."""
    return _end(
        connection,
        attempt,
        state=DUE,
        last_error=error,
        next_attempt_at=now,
        attempts=attempt.number - 1,
        first_attempt_at=None,
        settled_at=None,
    )


def send_again(connection: Connection, issuance_id: int, now: datetime) -> bool:
    """An operator wants it sent: due now, as if it had never been tried."""
    return _move(
        connection,
        issuance_id,
        [HELD, FAILED, WITHDRAWN],
        or_(issuances.c.state != WITHDRAWN, issuances.c.withdrawn_by.is_not(None)),
        state=DUE,
        attempts=0,
        first_attempt_at=None,
        next_attempt_at=now,
        withdrawn_by=None,
        settled_at=None,
    )


def note_as_issued(
    connection: Connection, issuance_id: int, now: datetime, *, total: str, currency: str
) -> bool:
    """An operator has seen the document, or made it by hand: it is not sent any more.

    A withdrawn one is no exception: its order may come back to life, and would be issued a second time.
    """
    return _move(
        connection,
        issuance_id,
        [HELD, FAILED, DUE, WITHDRAWN],
        state=ISSUED,
        next_attempt_at=None,
        total=total,
        currency=currency,
        last_error=None,
        withdrawn_by=None,
        settled_at=now,
    )


def withdraw_for_good(connection: Connection, issuance_id: int, now: datetime, *, who: str) -> bool:
    """An operator wants it issued no more: no decision brings it back to life.

    Nor does one bring back what a decision had withdrawn before.
    """
    return _move(
        connection,
        issuance_id,
        [HELD, FAILED, DUE, WITHDRAWN],
        issuances.c.withdrawn_by.is_(None),
        state=WITHDRAWN,
        next_attempt_at=None,
        withdrawn_by=who,
        settled_at=now,
    )


def _end(connection: Connection, attempt: StartedAttempt, **values: Any) -> bool:
    """Move what this attempt was for, unless another has begun. If its lease has ended, that is `held`."""
    latest = issuances.c.attempt_id == attempt.id
    return _move(connection, attempt.issuance_id, [SENDING, HELD], latest, lease_ends_at=None, **values)


def _move(
    connection: Connection, issuance_id: int, leaving: list[str], *guards: ColumnElement[bool], **values: Any
) -> bool:
    moved = connection.execute(
        update(issuances)
        .where(issuances.c.id == issuance_id, issuances.c.state.in_(leaving), *guards)
        .values(**values)
    )
    return moved.rowcount == 1


def _with_names() -> Any:
    return (
        select(issuances, stores.c.name.label("store"), orders.c.resource_id.label("order"))
        .join(stores, issuances.c.store_id == stores.c.id)
        .join(orders, issuances.c.order_id == orders.c.id)
    )


def _each(leaving: Sequence[str], **values: Any) -> Any:
    """An update of many rows, each with its own parameters and each in one of these states."""
    # Not `in_`, whose parameters cannot be given for many rows at once.
    is_leaving = or_(*(issuances.c.state == state for state in leaving))
    return update(issuances).where(issuances.c.id == bindparam("issuance_id"), is_leaving).values(values)


def _make_due(insertion: postgresql.Insert | sqlite.Insert) -> Any:
    return insertion.on_conflict_do_update(
        index_elements=["order_id", "kind"],
        set_={
            "state": DUE,
            "next_attempt_at": insertion.excluded.next_attempt_at,
            "first_attempt_at": None,
            "settled_at": None,
        },
        where=and_(issuances.c.state == WITHDRAWN, issuances.c.withdrawn_by.is_(None)),
    )


def _given(name: str) -> Any:
    return bindparam(name, type_=issuances.c[name].type)


# Made once: to put a statement together takes longer than the database has to do with it.
_OF_ORDERS = (
    _with_names()
    .where(issuances.c.order_id.in_(bindparam("order_ids", expanding=True)))
    .order_by(issuances.c.id)
)
_ORDERS_OF = select(issuances.c.id, issuances.c.order_id).where(
    issuances.c.id.in_(bindparam("ids", expanding=True))
)
_MAKE_DUE = {
    "sqlite": _make_due(sqlite.insert(issuances)),
    "postgresql": _make_due(postgresql.insert(issuances)),
}
_NOW = bindparam("now", type_=issuances.c.settled_at.type)
_WITHDRAW = _each([DUE], state=WITHDRAWN, next_attempt_at=None, settled_at=_NOW)
_START_SENDING = _each(
    [DUE],
    state=SENDING,
    next_attempt_at=None,
    **{
        name: _given(name)
        for name in ("attempt_id", "attempts", "first_attempt_at", "lease_ends_at", "total", "currency")
    },
)
_MARK_ISSUED = _each(
    [SENDING, HELD, DUE, FAILED, WITHDRAWN],
    state=ISSUED,
    lease_ends_at=None,
    next_attempt_at=None,
    last_error=None,
    withdrawn_by=None,
    settled_at=_NOW,
)


def _issuance(row: Row[Any]) -> Issuance:
    return Issuance(
        id=row.id,
        store_id=row.store_id,
        store=row.store,
        order_id=row.order_id,
        order=row.order,
        kind=row.kind,
        state=row.state,
        attempts=row.attempts,
        attempt_id=row.attempt_id,
        first_attempt_at=row.first_attempt_at,
        next_attempt_at=row.next_attempt_at,
        total=row.total,
        currency=row.currency,
        last_error=row.last_error,
        withdrawn_by=row.withdrawn_by,
    )
