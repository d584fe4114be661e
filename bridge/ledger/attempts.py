"""Attempts: each request that hands an order to Space Invoices, from its claim to its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, bindparam, insert, select, update

from bridge.db.tables import attempts, issuances
from bridge.issuance import Kind, Order
from bridge.ledger import issuances as ledger_issuances
from bridge.ledger.clock import has_passed
from bridge.ledger.issuances import SENDING, Issuance, StartedAttempt
from bridge.ledger.orders import KnownOrder

LONGEST_LEASE = timedelta(hours=1)  # no lease is as long


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
    kind: Kind


@dataclass(frozen=True, slots=True)
class Claim:
    """What is to be sent for a due issuance: which delivery, and the total and currency it names.

    `content`: digests of its lines and its customer.
    """

    issuance: Issuance
    delivery_id: int
    total: str
    currency: str
    content: str = ""

    @classmethod
    def of(cls, order: KnownOrder, issuance: Issuance) -> Claim:
        """For the newest snapshot of an order; raises ValueError if there is none."""
        if order.snapshot is None or order.delivery_id is None:
            raise ValueError(f"nothing is known of order {order.id} to send")
        known = order.snapshot
        return cls(issuance, order.delivery_id, known.total, known.currency, content_of(known))


def content_of(order: Order) -> str:
    """Digests of what a document of this order says of its lines and its customer."""
    return f"{order.details.lines}.{order.details.customer}"


def start(
    connection: Connection, claims: Sequence[Claim], *, now: datetime, lease_ends_at: datetime
) -> Sequence[StartedAttempt]:
    """Claim due issuances, whose orders the caller has locked, for one request each.

    Once this is committed, the requests count as sent: a worker that dies later leaves issuances of unknown
    outcome, which are rescued when the lease has ended. Raises NotDueError if one of them is due no more.
    """
    if not claims:
        return []
    begun = connection.execute(
        _START,
        [
            {"issuance_id": one.issuance.id, "delivery_id": one.delivery_id, "started_at": now}
            for one in claims
        ],
    )
    attempt_of = {row.issuance_id: row.id for row in begun}
    sent = [
        (one.issuance.id, attempt_of[one.issuance.id], one.total, one.currency, one.content) for one in claims
    ]
    if not ledger_issuances.start_sending(connection, sent, now=now, lease_ends_at=lease_ends_at):
        raise NotDueError
    return [
        StartedAttempt(
            attempt_of[one.issuance.id],
            one.issuance.id,
            one.issuance.order_id,
            one.issuance.attempts + 1,
            one.issuance.first_attempt_at or now,
            one.delivery_id,
        )
        for one in claims
    ]


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
        connection.execute(
            _FINISH,
            [
                {
                    "of": one.attempt.id,
                    "new_outcome": one.outcome,
                    "new_duration_ms": one.duration_ms,
                    "new_status": one.status,
                    "new_excerpt": one.excerpt,
                }
                for one in ends
            ],
        )


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
        Attempt(row.started_at, row.duration_ms, row.outcome, row.status, row.excerpt, Kind(row.kind))
        for row in connection.execute(query)
    ]


# Made once: to make a statement takes longer than to execute it.
_START = insert(attempts).returning(attempts.c.id, attempts.c.issuance_id)
_FINISH = (
    update(attempts)
    .where(attempts.c.id == bindparam("of"))
    .values(
        outcome=bindparam("new_outcome"),
        duration_ms=bindparam("new_duration_ms"),
        status=bindparam("new_status"),
        excerpt=bindparam("new_excerpt"),
    )
)


def _has_ended(now: datetime) -> ColumnElement[bool]:
    return has_passed(issuances.c.lease_ends_at, now, at_most=LONGEST_LEASE)
