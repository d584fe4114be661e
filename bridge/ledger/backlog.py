"""How much is to be done, and how long it has been waiting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, case, func, or_, select

from bridge.ledger.deliveries import FAILED as FAILED_DELIVERY
from bridge.ledger.deliveries import RECEIVED
from bridge.ledger.issuances import DUE, FAILED, HELD, SENDING
from bridge.ledger.tables import actions, deliveries, issuances, stores

OPEN_STATES = (DUE, SENDING, HELD, FAILED)


@dataclass(frozen=True, slots=True)
class Backlog:
    """Counts, and ages in seconds (0 where there is nothing)."""

    unprocessed: int
    oldest_unprocessed_seconds: float
    open_issuances: Mapping[str, int]
    oldest_due_seconds: float
    stores_paused: int
    failed_deliveries: int
    stores_without_config: int


@dataclass(frozen=True, slots=True)
class StoreBacklog:
    """The same of one store, and what of it waits for an operator. Ages are in seconds."""

    added_seconds_ago: float
    last_delivery_at: datetime | None
    unprocessed: int
    oldest_unprocessed_seconds: float
    failed_deliveries: int
    due: int  # by now
    oldest_due_seconds: float
    held: int
    failed: int


def measure(connection: Connection, now: datetime) -> Backlog:
    """The backlog as it stands, counted by indexes that hold only open rows."""
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
    failed = connection.execute(
        select(func.count()).select_from(deliveries).where(deliveries.c.state == FAILED_DELIVERY)
    ).scalar_one()
    without_config = connection.execute(
        select(func.count())
        .select_from(stores)
        .where(stores.c.config_fetched_at.is_(None), stores.c.removed_at.is_(None))
    ).scalar_one()
    return Backlog(
        unprocessed=unprocessed,
        oldest_unprocessed_seconds=_age(oldest, now),
        open_issuances=by_state,
        oldest_due_seconds=_age(oldest_due, now),
        stores_paused=paused,
        failed_deliveries=failed,
        stores_without_config=without_config,
    )


def of_stores(connection: Connection, now: datetime) -> Mapping[int, StoreBacklog]:
    """The backlog of each store, by its id.

    Reads every delivery and issuance, a million of them in a second or two: for people, not for work.
    """
    arrivals, unprocessed = _arrivals(connection), _unprocessed(connection)
    counts, oldest_due = _open_issuances(connection, now)
    found = {}
    for store_id, added_at in connection.execute(select(stores.c.id, stores.c.created_at)):
        last_at, failed = arrivals.get(store_id, (None, 0))
        number, oldest = unprocessed.get(store_id, (0, None))
        found[store_id] = StoreBacklog(
            added_seconds_ago=_age(added_at, now),
            last_delivery_at=last_at,
            unprocessed=number,
            oldest_unprocessed_seconds=_age(oldest, now),
            failed_deliveries=failed,
            due=counts.get((store_id, DUE), 0),
            oldest_due_seconds=_age(oldest_due.get(store_id), now),
            held=counts.get((store_id, HELD), 0),
            failed=counts.get((store_id, FAILED), 0),
        )
    return found


def _arrivals(connection: Connection) -> Mapping[int, tuple[datetime, int]]:
    """When the last delivery of each store came, and how many of its could not be processed.

    Not joined with the stores: SQLite would then go through their deliveries by an index, row by row.
    """
    arrived = deliveries.c.last_received_at
    has_failed = case((deliveries.c.state == FAILED_DELIVERY, 1))
    rows = connection.execute(
        select(deliveries.c.store_id, func.max(arrived, type_=arrived.type), func.count(has_failed)).group_by(
            deliveries.c.store_id
        )
    )
    return {store_id: (last_at, failed) for store_id, last_at, failed in rows}


def _unprocessed(connection: Connection) -> Mapping[int, tuple[int, datetime]]:
    """How many deliveries of each store are to be processed, and since when the first is."""
    replayed = (
        select(actions.c.delivery_id, func.max(actions.c.at, type_=actions.c.at.type).label("at"))
        .group_by(actions.c.delivery_id)
        .subquery()
    )
    arrived = deliveries.c.last_received_at
    since = case((replayed.c.at > arrived, replayed.c.at), else_=arrived)
    rows = connection.execute(
        select(deliveries.c.store_id, func.count(), func.min(since, type_=arrived.type))
        .outerjoin_from(deliveries, replayed, replayed.c.delivery_id == deliveries.c.id)
        .where(deliveries.c.state == RECEIVED)
        .group_by(deliveries.c.store_id)
    )
    return {store_id: (number, oldest) for store_id, number, oldest in rows}


def _open_issuances(
    connection: Connection, now: datetime
) -> tuple[Mapping[tuple[int, str], int], Mapping[int, datetime]]:
    """How many issuances of each store are in which state, and since when its first is due that is by now."""
    due_at = issuances.c.next_attempt_at
    is_due = and_(issuances.c.state == DUE, due_at <= now)
    rows = connection.execute(
        select(issuances.c.store_id, issuances.c.state, func.count(), func.min(due_at, type_=due_at.type))
        .where(or_(is_due, issuances.c.state.in_([HELD, FAILED])))
        .group_by(issuances.c.store_id, issuances.c.state)
    ).all()
    counts = {(store_id, state): number for store_id, state, number, _ in rows}
    return counts, {store_id: oldest for store_id, state, _, oldest in rows if state == DUE}


def _age(moment: datetime | None, now: datetime) -> float:
    return max(0.0, (now - moment).total_seconds()) if moment else 0.0
