"""Attempts: each request that hands an order to Space Invoices, from its claim to its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, insert, or_, select, update

from bridge.ledger import issuances as ledger_issuances
from bridge.ledger.issuances import SENDING, Issuance, StartedAttempt
from bridge.ledger.tables import attempts, issuances

# No lease is as long. One that ends later was given by a clock that has been set back since.
LONGEST_LEASE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to Space Invoices. Without an outcome, it is under way or its worker died."""

    started_at: datetime
    duration_ms: int | None
    outcome: str | None
    status: int | None
    excerpt: str | None
    kind: str


def start(
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
    attempt_id: int = connection.execute(
        insert(attempts)
        .values(issuance_id=issuance.id, delivery_id=delivery_id, started_at=now)
        .returning(attempts.c.id)
    ).scalar_one()
    attempt = StartedAttempt(
        attempt_id, issuance.id, issuance.order_id, issuance.attempts + 1, issuance.first_attempt_at or now
    )
    if not ledger_issuances.start_sending(
        connection, attempt, total=total, currency=currency, lease_ends_at=lease_ends_at
    ):
        connection.execute(delete(attempts).where(attempts.c.id == attempt_id))
        return None
    return attempt


def finish(
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


def expired(connection: Connection, issuance_id: int, now: datetime) -> StartedAttempt | None:
    """The attempt under way, if its lease has ended."""
    row = connection.execute(
        select(issuances).where(issuances.c.id == issuance_id, issuances.c.state == SENDING, _has_ended(now))
    ).one_or_none()
    if row is None:
        return None
    first_attempt_at = row.first_attempt_at or now
    return StartedAttempt(row.attempt_id, issuance_id, row.order_id, row.attempts, first_attempt_at)


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


def _has_ended(now: datetime) -> ColumnElement[bool]:
    return or_(issuances.c.lease_ends_at <= now, issuances.c.lease_ends_at > now + LONGEST_LEASE)
