"""Issuances: one row for each order and kind of document, and each attempt to have it issued.

Every function that changes a state names the states it may leave, and says whether it did. Whoever
comes second, or with the outcome of an attempt that is not the last, changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bridge.ledger.tables import attempts, issuances, orders, stores

DUE, SENDING, ISSUED, FAILED, HELD, WITHDRAWN = "due", "sending", "issued", "failed", "held", "withdrawn"


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
    first_attempt_at: datetime | None
    next_attempt_at: datetime | None
    total: str | None
    currency: str | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class StartedAttempt:
    """A claim: the right to send one request. `number` counts an issuance's attempts from 1."""

    id: int
    issuance_id: int
    order_id: int
    number: int
    first_attempt_at: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to Space Invoices. Without an outcome, it is under way or its worker died."""

    started_at: datetime
    duration_ms: int | None
    outcome: str | None
    status: int | None
    excerpt: str | None
    kind: str


def get(connection: Connection, issuance_id: int) -> Issuance | None:
    """The issuance of this id."""
    row = connection.execute(_with_names().where(issuances.c.id == issuance_id)).one_or_none()
    return _issuance(row) if row else None


def of_order(connection: Connection, order_id: int) -> Sequence[Issuance]:
    """The issuances of an order: at most one of each kind."""
    query = _with_names().where(issuances.c.order_id == order_id).order_by(issuances.c.id)
    return [_issuance(row) for row in connection.execute(query)]


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


def make_due(connection: Connection, *, store_id: int, order_id: int, kind: str, now: datetime) -> bool:
    """Have a document issued, unless it is already due, under way or settled otherwise.

    A withdrawn one comes back to life. Returns whether anything changed.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(issuances).values(
        store_id=store_id, order_id=order_id, kind=kind, state=DUE, next_attempt_at=now, created_at=now
    )
    changed = connection.execute(
        statement.on_conflict_do_update(
            index_elements=["order_id", "kind"],
            set_={"state": DUE, "next_attempt_at": now, "first_attempt_at": None, "settled_at": None},
            where=issuances.c.state == WITHDRAWN,
        ).returning(issuances.c.id)
    ).one_or_none()
    return changed is not None


def withdraw(connection: Connection, issuance_id: int, now: datetime) -> bool:
    """Take back a document that is due no more; one that is being sent cannot be taken back."""
    return _move(connection, issuance_id, [DUE], state=WITHDRAWN, next_attempt_at=None, settled_at=now)


def start_attempt(
    connection: Connection,
    issuance: Issuance,
    *,
    delivery_id: int,
    total: str,
    currency: str,
    now: datetime,
    lease_ends_at: datetime,
) -> StartedAttempt | None:
    """Claim a due issuance for one request; None if it is due no more.

    Once this is committed, the request counts as sent: a worker that dies later leaves an issuance
    of unknown outcome, for the sweep to find when the lease has ended.
    """
    number, first_attempt_at = issuance.attempts + 1, issuance.first_attempt_at or now
    attempt_id: int = connection.execute(
        insert(attempts)
        .values(issuance_id=issuance.id, delivery_id=delivery_id, started_at=now)
        .returning(attempts.c.id)
    ).scalar_one()
    claimed = _move(
        connection,
        issuance.id,
        [DUE],
        state=SENDING,
        attempt_id=attempt_id,
        attempts=number,
        first_attempt_at=first_attempt_at,
        next_attempt_at=None,
        lease_ends_at=lease_ends_at,
        total=total,
        currency=currency,
    )
    if not claimed:
        connection.execute(delete(attempts).where(attempts.c.id == attempt_id))
        return None
    return StartedAttempt(attempt_id, issuance.id, issuance.order_id, number, first_attempt_at)


def expired_attempt(connection: Connection, issuance_id: int, now: datetime) -> StartedAttempt | None:
    """The attempt under way, if its lease has ended."""
    row = connection.execute(
        select(issuances).where(
            issuances.c.id == issuance_id, issuances.c.state == SENDING, issuances.c.lease_ends_at <= now
        )
    ).one_or_none()
    if row is None:
        return None
    first_attempt_at = row.first_attempt_at or now
    return StartedAttempt(row.attempt_id, issuance_id, row.order_id, row.attempts, first_attempt_at)


def finish_attempt(
    connection: Connection,
    attempt: StartedAttempt,
    *,
    outcome: str,
    duration_ms: int | None,
    status: int | None,
    excerpt: str | None,
) -> None:
    """Note how an attempt ended."""
    connection.execute(
        update(attempts)
        .where(attempts.c.id == attempt.id)
        .values(outcome=outcome, duration_ms=duration_ms, status=status, excerpt=excerpt)
    )


def mark_issued(connection: Connection, issuance_id: int, now: datetime) -> bool:
    """The document exists. A late answer may find any state: after its lease, `held`, or due again."""
    return _move(
        connection,
        issuance_id,
        [SENDING, HELD, DUE, FAILED, WITHDRAWN],
        state=ISSUED,
        lease_ends_at=None,
        next_attempt_at=None,
        last_error=None,
        settled_at=now,
    )


def mark_held(connection: Connection, attempt: StartedAttempt, *, error: str, now: datetime) -> bool:
    """The document may exist: it is not sent again by itself."""
    return _end(connection, attempt, state=HELD, last_error=error, settled_at=now)


def mark_failed(connection: Connection, attempt: StartedAttempt, *, error: str, now: datetime) -> bool:
    """Space Invoices refused the order, or it could not be handed over for too long."""
    return _end(connection, attempt, state=FAILED, last_error=error, settled_at=now)


def postpone(
    connection: Connection, attempt: StartedAttempt, *, error: str, next_attempt_at: datetime
) -> bool:
    """The request took no effect: it is due again, later. Its lease may have ended meanwhile: `held`."""
    return _move(
        connection,
        attempt.issuance_id,
        [SENDING, HELD],
        issuances.c.attempt_id == attempt.id,
        state=DUE,
        lease_ends_at=None,
        last_error=error,
        next_attempt_at=next_attempt_at,
        settled_at=None,
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
    )


def restart_clocks(connection: Connection, store_id: int) -> None:
    """The store was paused: the time it lost counts against none of its due issuances."""
    connection.execute(
        update(issuances)
        .where(issuances.c.store_id == store_id, issuances.c.state == DUE)
        .values(first_attempt_at=None)
    )


def due_ids(connection: Connection, *, now: datetime, limit: int) -> Sequence[int]:
    """Ids of what is due now and may be sent: of a paused store, only where a probe is due."""
    may_send = or_(stores.c.paused_at.is_(None), stores.c.next_probe_at <= now)
    return (
        connection.execute(
            select(issuances.c.id)
            .join(stores)
            .where(issuances.c.state == DUE, issuances.c.next_attempt_at <= now, may_send)
            .order_by(issuances.c.next_attempt_at, issuances.c.id)
            .limit(limit)
        )
        .scalars()
        .all()
    )


def expired_ids(connection: Connection, *, now: datetime, limit: int) -> Sequence[int]:
    """Ids of what is being sent by a worker that should have been done by now."""
    return (
        connection.execute(
            select(issuances.c.id)
            .where(issuances.c.state == SENDING, issuances.c.lease_ends_at <= now)
            .order_by(issuances.c.lease_ends_at)
            .limit(limit)
        )
        .scalars()
        .all()
    )


def attempts_of_order(connection: Connection, order_id: int) -> Sequence[Attempt]:
    """Every attempt for an order's documents, oldest first."""
    query = (
        select(attempts, issuances.c.kind)
        .join(issuances)
        .where(issuances.c.order_id == order_id)
        .order_by(attempts.c.id)
    )
    return [
        Attempt(row.started_at, row.duration_ms, row.outcome, row.status, row.excerpt, row.kind)
        for row in connection.execute(query)
    ]


def _end(connection: Connection, attempt: StartedAttempt, **values: Any) -> bool:
    latest = issuances.c.attempt_id == attempt.id
    return _move(connection, attempt.issuance_id, [SENDING], latest, lease_ends_at=None, **values)


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
        first_attempt_at=row.first_attempt_at,
        next_attempt_at=row.next_attempt_at,
        total=row.total,
        currency=row.currency,
        last_error=row.last_error,
    )
