"""What is due: each store's queue of issuances that may be sent by now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, exists, func, or_, select, tuple_

from bridge.ledger.issuances import DUE, Issuance
from bridge.ledger.tables import issuances, stores

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
    query = select(issuances.c.next_attempt_at, issuances.c.id).where(
        issuances.c.store_id == store_id, issuances.c.state == DUE, _has_fallen_due(now)
    )
    if after is not None:
        place = tuple_(issuances.c.next_attempt_at, issuances.c.id)
        types = [issuances.c.next_attempt_at.type, issuances.c.id.type]
        query = query.where(place > tuple_(after.next_attempt_at, after.id, types=types))
    rows = connection.execute(query.order_by(issuances.c.next_attempt_at, issuances.c.id).limit(limit))
    return [Due(row.next_attempt_at, row.id) for row in rows]


def stores_with_some(connection: Connection, *, now: datetime, limit: int) -> Sequence[int]:
    """Ids of stores of which something may be sent: of paused ones, those whose probe is due.

    In random order, so that no store is always behind the limit.
    """
    may_send = or_(
        stores.c.paused_at.is_(None),
        stores.c.next_probe_at <= now,
        stores.c.next_probe_at > now + LONGEST_WAIT,
    )
    something_due = exists().where(
        issuances.c.store_id == stores.c.id, issuances.c.state == DUE, _has_fallen_due(now)
    )
    query = select(stores.c.id).where(may_send, something_due).order_by(func.random()).limit(limit)
    return connection.execute(query).scalars().all()


def has_fallen_due(issuance: Issuance, now: datetime) -> bool:
    """Whether its time has come."""
    at = issuance.next_attempt_at
    return at is not None and (at <= now or at > now + LONGEST_WAIT)


def _has_fallen_due(now: datetime) -> ColumnElement[bool]:
    return or_(issuances.c.next_attempt_at <= now, issuances.c.next_attempt_at > now + LONGEST_WAIT)
