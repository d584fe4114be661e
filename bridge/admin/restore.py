"""Makes a ledger safe that was put back from a back-up: what may be issued since waits for a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from bridge.admin import manage_stores
from bridge.db import Ledger
from bridge.db.tables import issuances as table
from bridge.ledger import actions, attempts, issuances, orders, stores
from bridge.ledger.actions import Action
from bridge.ledger.attempts import Claim, End
from bridge.ledger.issuances import DUE, SENDING, Issuance, StartedAttempt
from bridge.ledger.orders import KnownOrder
from bridge.pipeline.decide import settle
from bridge.spaceinvoices import Effect

VERB = "after-restore"
WHY = "the ledger was put back from a back-up: whether it was issued since is not known"
WHY_PAUSED = "the ledger was put back from a back-up, and does not know what was issued since"
BATCH = 200  # issuances in one transaction


@dataclass(frozen=True, slots=True)
class Extent:
    """What there is to be made safe: stores by their names, and issuances by how many."""

    running: Sequence[str]  # stores that no operator has paused
    due: int
    sending: int


def extent(ledger: Ledger) -> Extent:
    """What `pause_all` and `hold_all` would come upon."""
    with ledger.read() as connection:
        counts = {
            row.state: row.number
            for row in connection.execute(
                select(table.c.state, func.count().label("number"))
                .where(table.c.state.in_([DUE, SENDING]))
                .group_by(table.c.state)
            )
        }
        running = [one.name for one in stores.every(connection) if not one.is_paused_by_operator]
    return Extent(running, counts.get(DUE, 0), counts.get(SENDING, 0))


def pause_all(ledger: Ledger, *, who: str, now: datetime) -> Sequence[str]:
    """Pause every store, as an operator does; the names of those that were not paused so.

    Deliveries go on being accepted and decided. Nothing is sent until somebody resumes the store.
    """
    with ledger.write() as connection:
        found = [stores.lock(connection, one.id) for one in stores.every(connection)]
        running = [one for one in found if not one.is_paused_by_operator]
        for store in running:
            manage_stores.pause(connection, store, why=WHY_PAUSED, who=who, now=now)
    return [store.name for store in running]


def hold_all(ledger: Ledger, *, who: str, now: datetime) -> int:
    """Hold every document that is due or being sent; returns how many.

    For each, an attempt of unknown outcome is recorded. It stands for those that the back-up does not know
    of, and so all that is done about documents that may exist is done about these. May be stopped anywhere
    and begun again.
    """
    held = last = 0
    while ids := _open_ones(ledger, after=last):
        with ledger.write() as connection:
            held += sum(_hold(connection, one, who=who, now=now) for one in ids)
        last = ids[-1]
    return held


def _open_ones(ledger: Ledger, *, after: int) -> Sequence[int]:
    query = select(table.c.id).where(table.c.id > after, table.c.state.in_([DUE, SENDING]))
    with ledger.read() as connection:
        return connection.execute(query.order_by(table.c.id).limit(BATCH)).scalars().all()


def _hold(connection: Connection, issuance_id: int, *, who: str, now: datetime) -> bool:
    found = issuances.get(connection, issuance_id)
    if found is None:
        return False
    order = orders.lock(connection, found.order_id)
    found = next(one for one in issuances.of_order(connection, order.id) if one.id == issuance_id)
    attempt = _attempt(connection, found, order, now)
    if attempt is None:
        return False
    end = End(attempt, Effect.UNKNOWN.value, duration_ms=None, status=None, excerpt=WHY)
    attempts.finish(connection, [end])
    issuances.mark_held(connection, attempt, error=WHY, now=now)
    verdict = settle(connection, stores.get(connection, order.store_id), order, now).verdict
    result = f"was {found.state}, is held -> {verdict}"
    actions.record(connection, Action(now, who, VERB, result, delivery_id=None, issuance_id=found.id))
    return True


def _attempt(
    connection: Connection, issuance: Issuance, order: KnownOrder, now: datetime
) -> StartedAttempt | None:
    """The attempt whose outcome is not known: the one under way, or one that stands for those forgotten."""
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
