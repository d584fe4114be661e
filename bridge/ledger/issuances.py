"""Issuances: one row for each order and kind of document, and the states it passes through.

Every function that changes a state names the states it may leave, and says whether it did. Whoever
comes second, or with the outcome of an attempt that is not the last, changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert

from bridge.db.lists import in_list
from bridge.db.tables import issuances, orders, stores
from bridge.issuance import Kind
from bridge.ledger.orders import KnownOrder

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
    kind: Kind
    state: str
    attempts: int
    attempt_id: int | None
    first_attempt_at: datetime | None
    next_attempt_at: datetime | None
    total: str | None
    currency: str | None
    last_error: str | None
    withdrawn_by: str | None
    content: str | None = None  # digests of what was sent, by which a change is seen
    due_since: datetime | None = None
    deferrals: int = 0

    @classmethod
    def new(cls, order: KnownOrder, kind: Kind) -> Issuance:
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
    row = connection.execute(_OF_ID, {"issuance_id": issuance_id}).one_or_none()
    return _issuance(row) if row else None


def of_order(connection: Connection, order_id: int) -> Sequence[Issuance]:
    """The issuances of an order: at most one of each kind."""
    return of_orders(connection, [order_id]).get(order_id, [])


def of_orders(connection: Connection, order_ids: Collection[int]) -> Mapping[int, Sequence[Issuance]]:
    """The same of each of these orders that has some, by the orders' ids."""
    found: dict[int, list[Issuance]] = {}
    for row in connection.execute(_OF_ORDERS, {"ids": order_ids}):
        found.setdefault(row.order_id, []).append(_issuance(row))
    return found


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


def make_due(
    connection: Connection, documents: Sequence[tuple[int, int, Kind]], now: datetime
) -> Mapping[tuple[int, Kind], int]:
    """Have documents issued, each of a store and an order (by their ids) and of a kind.

    Nothing changes for one that is due, under way or settled otherwise. A withdrawn one comes back to life,
    unless an operator withdrew it. Returns the ids of those that are due now and were not, by order and kind.
    """
    if not documents:
        return {}
    given = {"state": DUE, "next_attempt_at": now, "due_since": now, "created_at": now}
    rows = [
        {"store_id": store_id, "order_id": order_id, "kind": kind.value, **given}
        for store_id, order_id, kind in documents
    ]
    made = connection.execute(_MAKE_DUE[connection.dialect.name], rows)
    return {(row.order_id, Kind(row.kind)): row.id for row in made}


def withdraw(connection: Connection, issuance_ids: Sequence[int], now: datetime) -> None:
    """Take back documents that are due no more; one that is being sent cannot be taken back."""
    if issuance_ids:
        connection.execute(_WITHDRAW, {"ids": issuance_ids, "now": now})


def start_sending(
    connection: Connection,
    claims: Sequence[tuple[int, int, str, str, str]],
    *,
    now: datetime,
    lease_ends_at: datetime,
) -> bool:
    """Have attempts send due issuances, for as long as their leases last; False if one was not due.

    A claim: the ids of the issuance and of the attempt, and the total, the currency and the content sent.
    """
    names = ("of", "attempt", "new_total", "new_currency", "new_content")
    times = {"now": now, "lease": lease_ends_at}
    rows = [dict(zip(names, claim, strict=True)) | times for claim in claims]
    return connection.execute(_START_SENDING, rows).rowcount == len(rows)


def mark_issued(connection: Connection, issuance_ids: Sequence[int], now: datetime) -> None:
    """The documents exist. A late answer may find any state: after its lease, `held`, or due again."""
    if issuance_ids:
        connection.execute(_MARK_ISSUED, {"ids": issuance_ids, "now": now})


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
    """It cannot be sent by a fault on this side: leave it due, for later. It fell due when it did before."""
    return _move(
        connection,
        issuance_id,
        [DUE],
        state=DUE,
        last_error=error,
        next_attempt_at=until,
        deferrals=issuances.c.deferrals + 1,
    )


def give_up(connection: Connection, issuance_id: int, *, error: str, now: datetime) -> bool:
    """It could not be sent for too long by a fault on this side."""
    return _move(
        connection,
        issuance_id,
        [DUE],
        state=FAILED,
        last_error=error,
        next_attempt_at=None,
        settled_at=now,
    )


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
        due_since=now,
        deferrals=0,
        withdrawn_by=None,
        settled_at=None,
    )


def note_as_issued(
    connection: Connection, issuance_id: int, now: datetime, *, total: str, currency: str, content: str | None
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
        content=content,
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


def _make_due(insertion: Any) -> ReturningInsert[Any]:
    return insertion.on_conflict_do_update(  # type: ignore[no-any-return]  # each database has its own
        index_elements=["order_id", "kind"],
        set_={
            "state": DUE,
            "next_attempt_at": insertion.excluded.next_attempt_at,
            "due_since": insertion.excluded.due_since,
            "deferrals": 0,
            "first_attempt_at": None,
            "settled_at": None,
        },
        where=and_(issuances.c.state == WITHDRAWN, issuances.c.withdrawn_by.is_(None)),
    ).returning(issuances.c.id, issuances.c.order_id, issuances.c.kind)


# Made once: to make a statement takes longer than to execute it.
_NOW = bindparam("now", type_=issuances.c.settled_at.type)
_OF_ID = _with_names().where(issuances.c.id == bindparam("issuance_id"))
_OF_ORDERS = _with_names().where(in_list(issuances.c.order_id, "ids")).order_by(issuances.c.id)
_MAKE_DUE = {
    "sqlite": _make_due(sqlite.insert(issuances)),
    "postgresql": _make_due(postgresql.insert(issuances)),
}
_WITHDRAW = (
    update(issuances)
    .where(in_list(issuances.c.id, "ids"), issuances.c.state == DUE)
    .values(state=WITHDRAWN, next_attempt_at=None, settled_at=_NOW)
)
_START_SENDING = (
    update(issuances)
    .where(issuances.c.id == bindparam("of"), issuances.c.state == DUE)
    .values(
        state=SENDING,
        next_attempt_at=None,
        attempt_id=bindparam("attempt"),
        attempts=issuances.c.attempts + 1,
        first_attempt_at=func.coalesce(issuances.c.first_attempt_at, _NOW),
        lease_ends_at=bindparam("lease"),
        total=bindparam("new_total"),
        currency=bindparam("new_currency"),
        content=bindparam("new_content"),
    )
)
_MARK_ISSUED = (
    update(issuances)
    .where(in_list(issuances.c.id, "ids"), issuances.c.state.in_([SENDING, HELD, DUE, FAILED, WITHDRAWN]))
    .values(
        state=ISSUED,
        lease_ends_at=None,
        next_attempt_at=None,
        last_error=None,
        withdrawn_by=None,
        settled_at=_NOW,
    )
)


def _issuance(row: Row[Any]) -> Issuance:
    return Issuance(
        id=row.id,
        store_id=row.store_id,
        store=row.store,
        order_id=row.order_id,
        order=row.order,
        kind=Kind(row.kind),
        state=row.state,
        attempts=row.attempts,
        attempt_id=row.attempt_id,
        first_attempt_at=row.first_attempt_at,
        next_attempt_at=row.next_attempt_at,
        total=row.total,
        currency=row.currency,
        last_error=row.last_error,
        withdrawn_by=row.withdrawn_by,
        content=row.content,
        due_since=row.due_since or row.created_at,
        deferrals=row.deferrals,
    )
