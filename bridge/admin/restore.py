"""Makes a ledger safe that was restored from a back-up: what may be issued since waits for a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from bridge.admin import manage_stores
from bridge.admin.operate import follow_up, lock
from bridge.db import Ledger
from bridge.db.tables import issuances as table
from bridge.ledger import attempts, issuances, stores
from bridge.ledger.attempts import Claim, End
from bridge.ledger.issuances import DUE, SENDING, Issuance, StartedAttempt
from bridge.ledger.orders import KnownOrder
from bridge.spaceinvoices import Effect

VERB = "after-restore"
WHY = "the ledger was put back from a back-up: whether it was issued since is not known"
WHY_PAUSED = "the ledger was put back from a back-up, and does not know what was issued since"
BATCH = 200  # issuances in one transaction


@dataclass(frozen=True, slots=True)
class Extent:
    """What is not safe yet: the names of stores, and the numbers of issuances."""

    running: Sequence[str]  # stores that no operator has paused
    due: int
    sending: int


def extent(ledger: Ledger) -> Extent:
    """What `pause_all` and `hold_all` would change."""
    query = (
        select(table.c.state, func.count()).where(table.c.state.in_([DUE, SENDING])).group_by(table.c.state)
    )
    with ledger.read() as connection:
        counts: dict[str, int] = {row[0]: row[1] for row in connection.execute(query)}
        running = [store.name for store in stores.every(connection) if not store.is_paused_by_operator]
    return Extent(running, counts.get(DUE, 0), counts.get(SENDING, 0))


def pause_all(ledger: Ledger, *, who: str, now: datetime) -> Sequence[str]:
    """Pause every store, as an operator does; returns the names of those that were not.

    Deliveries go on being accepted and decided. Nothing is sent until somebody resumes the store.
    """
    with ledger.write() as connection:
        locked = [stores.lock(connection, store.id) for store in stores.every(connection)]
        running = [store for store in locked if not store.is_paused_by_operator]
        for store in running:
            manage_stores.pause(connection, store, why=WHY_PAUSED, who=who, now=now)
    return [store.name for store in running]


def hold_all(ledger: Ledger, *, who: str, now: datetime) -> int:
    """Hold every document that is due or being sent; returns how many.

    Records for each an attempt of unknown outcome, for those that the back-up does not know: so all that is
    done about documents that may exist is done about these. It can be interrupted anywhere, and run again.
    """
    held = last = 0
    while ids := _open_ones(ledger, after=last):
        with ledger.write() as connection:
            held += sum(_hold(connection, id_, who=who, now=now) for id_ in ids)
        last = ids[-1]
    return held


def _open_ones(ledger: Ledger, *, after: int) -> Sequence[int]:
    query = select(table.c.id).where(table.c.id > after, table.c.state.in_([DUE, SENDING]))
    with ledger.read() as connection:
        return connection.execute(query.order_by(table.c.id).limit(BATCH)).scalars().all()


def _hold(connection: Connection, issuance_id: int, *, who: str, now: datetime) -> bool:
    if (locked := lock(connection, issuance_id)) is None:
        return False
    issuance, order = locked
    if (attempt := _attempt(connection, issuance, order, now)) is None:
        return False
    end = End(attempt, Effect.UNKNOWN.value, duration_ms=None, status=None, excerpt=WHY)
    attempts.finish(connection, [end])
    issuances.mark_held(connection, attempt, error=WHY, now=now)
    follow_up(connection, VERB, issuance, order, who=who, now=now)
    return True


def _attempt(
    connection: Connection, issuance: Issuance, order: KnownOrder, now: datetime
) -> StartedAttempt | None:
    """The attempt whose outcome is not known: the one under way, or a new one for those before."""
    if issuance.state == SENDING and issuance.attempt_id is not None:
        return StartedAttempt(
            issuance.attempt_id,
            issuance.id,
            order.id,
            issuance.attempts,
            issuance.first_attempt_at or now,
            order.delivery_id or 0,
        )
    if issuance.state != DUE:
        return None  # it was moved until its order was locked
    (attempt,) = attempts.start(connection, [Claim.of(order, issuance)], now=now, lease_ends_at=now)
    return attempt
