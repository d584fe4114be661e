"""How much is to be done, and how long it has been waiting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from bridge.ledger.issuances import DUE, FAILED, HELD, SENDING
from bridge.ledger.tables import deliveries, issuances, stores

OPEN_STATES = (DUE, SENDING, HELD, FAILED)


@dataclass(frozen=True, slots=True)
class Backlog:
    """Counts, and ages in seconds (0 where there is nothing)."""

    unprocessed: int
    oldest_unprocessed_seconds: float
    open_issuances: Mapping[str, int]
    oldest_due_seconds: float
    stores_paused: int


def measure(connection: Connection, now: datetime) -> Backlog:
    """The backlog as it stands, counted by indexes that hold only open rows.

    But for held and failed issuances: no index holds those, so all issuances are read for their count.
    """
    unprocessed, oldest = connection.execute(
        select(
            func.count(),
            func.min(deliveries.c.last_received_at, type_=deliveries.c.last_received_at.type),
        ).where(deliveries.c.state == "received")
    ).one()
    by_state = dict.fromkeys(OPEN_STATES, 0)
    for state in OPEN_STATES:
        by_state[state] = connection.execute(
            select(func.count()).select_from(issuances).where(issuances.c.state == state)
        ).scalar_one()
    oldest_due = connection.execute(
        select(func.min(issuances.c.next_attempt_at, type_=issuances.c.next_attempt_at.type)).where(
            issuances.c.state == DUE
        )
    ).scalar_one()
    paused = connection.execute(
        select(func.count()).select_from(stores).where(stores.c.paused_at.is_not(None))
    ).scalar_one()
    return Backlog(unprocessed, _age(oldest, now), by_state, _age(oldest_due, now), paused)


def _age(moment: datetime | None, now: datetime) -> float:
    return max(0.0, (now - moment).total_seconds()) if moment else 0.0
