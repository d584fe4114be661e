"""Attempts: each request that hands an order to Space Invoices, from its claim to its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, bindparam, insert, or_, select, update

from bridge.ledger import issuances as ledger_issuances
from bridge.ledger.issuances import SENDING, Issuance, StartedAttempt
from bridge.ledger.orders import KnownOrder
from bridge.ledger.tables import attempts, issuances

# No lease is as long. One that ends later was given by a clock that has been set back since.
LONGEST_LEASE = timedelta(hours=1)


class NotDueError(Exception):
    """Somebody else has claimed an issuance, or it is due no more: the transaction has to be undone."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to Space Invoices. Without an outcome, it is under way or its worker died."""

    started_at: datetime
    duration_ms: int | None
    outcome: str | None
    status: int | None
    excerpt: str | None
    kind: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What is to be sent for a due issuance: which delivery, and the total and currency it names."""

    issuance: Issuance
    delivery_id: int
    total: str
    currency: str

    @classmethod
    def of(cls, order: KnownOrder, issuance: Issuance) -> Claim:
        """For the newest snapshot of an order; raises ValueError if there is none."""
        if order.snapshot is None or order.delivery_id is None:
            raise ValueError(f"nothing is known of order {order.id} to send")
        return cls(issuance, order.delivery_id, order.snapshot.total, order.snapshot.currency)


def start(
    connection: Connection, claims: Sequence[Claim], *, now: datetime, lease_ends_at: datetime
) -> Sequence[StartedAttempt]:
    """Claim due issuances, whose orders the caller has locked, for one request each.

    Once this is committed, the requests count as sent: a worker that dies later leaves issuances of unknown
    outcome, for the sweep to find when the lease has ended. Raises NotDueError if one of them is due no more.
    """
    if not claims:
        return []
    rows = [
        {"issuance_id": one.issuance.id, "delivery_id": one.delivery_id, "started_at": now} for one in claims
    ]
    ids = connection.execute(_START, rows).scalars()
    started = [
        StartedAttempt(
            attempt_id,
            one.issuance.id,
            one.issuance.order_id,
            one.issuance.attempts + 1,
            one.issuance.first_attempt_at or now,
            one.delivery_id,
        )
        for attempt_id, one in zip(ids, claims, strict=True)
    ]
    moves = [
        {
            "issuance_id": attempt.issuance_id,
            "attempt_id": attempt.id,
            "attempts": attempt.number,
            "first_attempt_at": attempt.first_attempt_at,
            "lease_ends_at": lease_ends_at,
            "total": one.total,
            "currency": one.currency,
        }
        for attempt, one in zip(started, claims, strict=True)
    ]
    if not ledger_issuances.start_sending(connection, moves):
        raise NotDueError
    return started


@dataclass(frozen=True, slots=True)
class End:
    """How an attempt ended."""

    attempt: StartedAttempt
    outcome: str
    duration_ms: int | None
    status: int | None
    excerpt: str | None


def finish(connection: Connection, ends: Sequence[End]) -> None:
    """Note how attempts ended."""
    if ends:
        rows = [
            {
                "ended_id": one.attempt.id,
                "outcome": one.outcome,
                "duration_ms": one.duration_ms,
                "status": one.status,
                "excerpt": one.excerpt,
            }
            for one in ends
        ]
        connection.execute(_FINISH, rows)


def expired(connection: Connection, issuance_id: int, now: datetime) -> StartedAttempt | None:
    """The attempt under way, if its lease has ended."""
    row = connection.execute(
        select(issuances, attempts.c.delivery_id)
        .join(attempts, attempts.c.id == issuances.c.attempt_id)
        .where(issuances.c.id == issuance_id, issuances.c.state == SENDING, _has_ended(now))
    ).one_or_none()
    if row is None:
        return None
    first_attempt_at = row.first_attempt_at or now
    return StartedAttempt(
        row.attempt_id, issuance_id, row.order_id, row.attempts, first_attempt_at, row.delivery_id
    )


def expired_ids(connection: Connection, *, now: datetime, limit: int) -> Sequence[int]:
    """Ids of issuances that are being sent by a worker that should have been done by now."""
    return (
        connection.execute(
            select(issuances.c.id)
            .where(issuances.c.state == SENDING, _has_ended(now))
            .order_by(issuances.c.lease_ends_at)
            .limit(limit)
        )
        .scalars()
        .all()
    )


def of_order(connection: Connection, order_id: int) -> Sequence[Attempt]:
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


_START = insert(attempts).returning(attempts.c.id, sort_by_parameter_order=True)
_FINISH = (
    update(attempts)
    .where(attempts.c.id == bindparam("ended_id"))
    .values({attempts.c[name]: bindparam(name) for name in ("outcome", "duration_ms", "status", "excerpt")})
)


def _has_ended(now: datetime) -> ColumnElement[bool]:
    return or_(issuances.c.lease_ends_at <= now, issuances.c.lease_ends_at > now + LONGEST_LEASE)
