"""How much is to be done, how long it has been waiting, and what waits for a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, literal_column, select

from bridge.db.tables import actions, deliveries, issuances, shops, stores
from bridge.ledger import absences, finds, shop_webhooks
from bridge.ledger import waiting as waiting_orders
from bridge.ledger.deliveries import FAILED as FAILED_DELIVERY
from bridge.ledger.deliveries import QUARANTINED, RECEIVED, UNREADABLE
from bridge.ledger.issuances import DUE, FAILED, HELD, SENDING
from bridge.ledger.shop_webhooks import ACTIVE
from bridge.ledger.waiting import RECENT, Attention, Waiting, WhileInactive

OPEN_STATES = (DUE, SENDING, HELD, FAILED)
KEPT_STATES = (FAILED_DELIVERY, UNREADABLE, QUARANTINED)
"""States of deliveries that wait for an operator."""

LATE_AFTER = 60.0  # seconds since a document fell due; it is sent within a few


@dataclass(frozen=True, slots=True)
class Backlog:
    """Counts, and ages in seconds (0 where there is nothing). What is of single stores is by their names."""

    unprocessed: int
    oldest_unprocessed_seconds: float
    open_issuances: Mapping[str, int]
    # Of stores that are not paused, the age of what nothing but the bridge keeps from being sent.
    oldest_due_seconds: float
    stores_paused: int
    stores_without_config: int
    kept_deliveries: Mapping[str, int]
    # Of stores that are not paused and have late documents: since the oldest fell due, retries included.
    late_seconds: Mapping[str, float] = field(default_factory=dict)
    orders_waiting: Mapping[str, int] = field(default_factory=dict)  # for too long, by why
    orders_attention: int = 0
    orders_attention_recent: int = 0  # since a day ago
    inactive_orders: Mapping[str, int] = field(default_factory=dict)  # that came while the store is inactive
    last_refused_at: Mapping[str, datetime] = field(default_factory=dict)  # within the last day
    shops_failing_seconds: Mapping[str, float] = field(default_factory=dict)  # of those that cannot be asked
    absences: Mapping[str, int] = field(default_factory=dict)  # after which orders may be missing
    webhooks_off: Mapping[tuple[str, str, str], int] = field(default_factory=dict)  # by store, topic, status
    found: Mapping[tuple[str, str], int] = field(default_factory=dict)  # in the last day, by store and reason


@dataclass(frozen=True, slots=True)
class StoreBacklog:
    """The same of one store, and what of it waits for an operator. Ages are in seconds."""

    added_seconds_ago: float
    last_delivery_at: datetime | None
    unprocessed: int
    oldest_unprocessed_seconds: float
    kept_deliveries: Mapping[str, int]
    due: int  # now, or when its next attempt is due
    oldest_due_seconds: float  # since it fell due, retries included
    oldest_stuck_seconds: float  # of what nothing but the bridge keeps from being sent
    held: int
    failed: int
    waiting: Mapping[str, Waiting]  # by why
    attention: Attention
    while_inactive: WhileInactive

    def kept(self, state: str) -> int:
        """How many deliveries are in a state that waits for an operator."""
        return self.kept_deliveries.get(state, 0)


@dataclass(frozen=True, slots=True)
class _Due:
    """A store's due issuances: how many, since when the first is due, and since when it could be sent."""

    issuances: int
    since: datetime
    could_be_sent_since: datetime


def measure(connection: Connection, now: datetime) -> Backlog:
    """The backlog as it stands, counted by indexes that hold only open rows."""
    unprocessed, oldest = connection.execute(
        select(func.count(), _first(deliveries.c.last_received_at)).where(deliveries.c.state == "received")
    ).one()
    due = _due(connection)
    by_state = {state: _count(connection, issuances, state) for state in (SENDING, HELD, FAILED)}
    known = connection.execute(_STORES).all()
    forwarded = [store for store in known if store.paused_at is None and store.id in due]
    late = {store.name: _late(due[store.id].since, store.resumed_at, now) for store in forwarded}
    stuck = [_late(due[store.id].could_be_sent_since, store.resumed_at, now) for store in forwarded]
    waiting = dict.fromkeys(waiting_orders.REASONS, 0)
    for (_, why), found in waiting_orders.too_long(connection, now).items():
        waiting[why] += found.orders
    attention = waiting_orders.for_attention(connection, now)
    inactive = {
        store.name: _while_inactive(connection, store).orders
        for store in known
        if store.inactive_since is not None
    }
    names = {store.id: store.name for store in known}
    return Backlog(
        unprocessed=unprocessed,
        oldest_unprocessed_seconds=_age(oldest, now),
        open_issuances={DUE: sum(one.issuances for one in due.values()), **by_state},
        oldest_due_seconds=max(stuck, default=0.0),
        stores_paused=sum(store.paused_at is not None for store in known),
        stores_without_config=sum(store.config_fetched_at is None for store in known),
        kept_deliveries={state: _count(connection, deliveries, state) for state in KEPT_STATES},
        late_seconds={name: seconds for name, seconds in late.items() if seconds > LATE_AFTER},
        orders_waiting=waiting,
        orders_attention=sum(one.orders for one in attention.values()),
        orders_attention_recent=sum(one.recent for one in attention.values()),
        inactive_orders={name: number for name, number in inactive.items() if number},
        last_refused_at={
            store.name: store.last_refused_at
            for store in known
            if store.last_refused_at is not None and now - store.last_refused_at < RECENT
        },
        shops_failing_seconds={name: _age(since, now) for name, since in connection.execute(_FAILING_SHOPS)},
        absences=absences.count_unsettled(connection),
        webhooks_off={
            (names[one.store_id], one.topic, one.status): 1
            for one in shop_webhooks.every(connection)
            if one.status != ACTIVE or one.problem is not None
        },
        found=_found(connection, names, now),
    )


def of_stores(connection: Connection, now: datetime) -> Mapping[int, StoreBacklog]:
    """The backlog of each store, by its id.

    Reads every delivery, a million of them in a second or two: for people, not for work.
    """
    arrivals, unprocessed = _arrivals(connection), _unprocessed(connection)
    due, stopped = _due(connection), _stopped(connection)
    waiting = waiting_orders.too_long(connection, now)
    attention = waiting_orders.for_attention(connection, now)
    found = {}
    for store in connection.execute(_STORES):
        last_at, kept = arrivals.get(store.id, (None, {}))
        number, oldest = unprocessed.get(store.id, (0, None))
        of_due = due.get(store.id)
        found[store.id] = StoreBacklog(
            added_seconds_ago=_age(store.created_at, now),
            last_delivery_at=last_at,
            unprocessed=number,
            oldest_unprocessed_seconds=_age(oldest, now),
            kept_deliveries=kept,
            due=of_due.issuances if of_due else 0,
            oldest_due_seconds=_late(of_due.since, store.resumed_at, now) if of_due else 0.0,
            oldest_stuck_seconds=(
                _late(of_due.could_be_sent_since, store.resumed_at, now) if of_due else 0.0
            ),
            held=stopped.get((store.id, HELD), 0),
            failed=stopped.get((store.id, FAILED), 0),
            waiting={why: one for (store_id, why), one in waiting.items() if store_id == store.id},
            attention=attention.get(store.id, Attention()),
            while_inactive=_while_inactive(connection, store),
        )
    return found


_STORES = select(
    stores.c.id,
    stores.c.name,
    stores.c.created_at,
    stores.c.paused_at,
    stores.c.resumed_at,
    stores.c.config_fetched_at,
    stores.c.inactive_since,
    stores.c.inactive_after_delivery,
    stores.c.last_refused_at,
).where(stores.c.removed_at.is_(None))


def _found(connection: Connection, names: Mapping[int, str], now: datetime) -> Mapping[tuple[str, str], int]:
    """How many orders were found in the shops in the last day, by the store's name and why."""
    counts = finds.counts_since(connection, now - RECENT)
    return {
        (names[store_id], reason): number
        for store_id, of_store in counts.items()
        if store_id in names
        for reason, number in of_store.items()
    }


_FAILING_SHOPS = (
    select(stores.c.name, shops.c.failing_since)
    .join(shops)
    .where(stores.c.removed_at.is_(None), shops.c.failing_since.is_not(None))
)


def _while_inactive(connection: Connection, store: Any) -> WhileInactive:
    """What came in for a store since its config lets nothing be issued; nothing for one that is active."""
    if store.inactive_since is None:
        return WhileInactive()
    return waiting_orders.while_inactive(connection, store.id, store.inactive_after_delivery or 0)


def _first(moment: ColumnElement[datetime]) -> ColumnElement[datetime]:
    return func.min(moment, type_=moment.type)


def _last(moment: ColumnElement[datetime]) -> ColumnElement[datetime]:
    return func.max(moment, type_=moment.type)


def _count(connection: Connection, table: Any, state: str) -> int:
    # The state in the text, since the partial indexes are for that very state.
    in_state = table.c.state == literal_column(f"'{state}'")
    return connection.execute(select(func.count()).select_from(table).where(in_state)).scalar_one()


def _due(connection: Connection) -> Mapping[int, _Due]:
    """What is due, by the ids of its stores.

    What was never tried waits for this side alone, since it fell due, however often it was deferred. What was
    tried may have to wait for the time of its next attempt.
    """
    due_at = issuances.c.next_attempt_at
    noted = func.coalesce(issuances.c.due_since, issuances.c.created_at, type_=due_at.type)
    since = case((due_at < noted, due_at), else_=noted)  # by a clock that was set back later
    could_be_sent = case((issuances.c.attempts == 0, since), else_=due_at)
    rows = connection.execute(
        select(issuances.c.store_id, func.count(), _first(since), _first(could_be_sent))
        .where(issuances.c.state == literal_column(f"'{DUE}'"))
        .group_by(issuances.c.store_id)
    )
    return {store_id: _Due(number, fell_due, could) for store_id, number, fell_due, could in rows}


def _stopped(connection: Connection) -> Mapping[tuple[int, str], int]:
    """How many issuances are held and failed, by their stores' ids and state."""
    found = {}
    for state in (HELD, FAILED):
        rows = connection.execute(
            select(issuances.c.store_id, func.count())
            .where(issuances.c.state == literal_column(f"'{state}'"))
            .group_by(issuances.c.store_id)
        )
        found.update({(store_id, state): number for store_id, number in rows})
    return found


def _arrivals(connection: Connection) -> Mapping[int, tuple[datetime, Mapping[str, int]]]:
    """When the last delivery of each store came, and how many of its wait for an operator, by their state.

    Not joined with the stores: SQLite would then go through their deliveries by an index, row by row.
    """
    counts = [func.count(case((deliveries.c.state == state, 1))) for state in KEPT_STATES]
    rows = connection.execute(
        select(deliveries.c.store_id, _last(deliveries.c.last_received_at), *counts).group_by(
            deliveries.c.store_id
        )
    )
    return {
        store_id: (last_at, dict(zip(KEPT_STATES, kept, strict=True))) for store_id, last_at, *kept in rows
    }


def _unprocessed(connection: Connection) -> Mapping[int, tuple[int, datetime]]:
    """How many deliveries of each store are to be processed, and since when the first is."""
    replayed = (
        select(actions.c.delivery_id, _last(actions.c.at).label("at"))
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


def _late(since: datetime, resumed_at: datetime | None, now: datetime) -> float:
    """For how long something has been late: not while its store was paused."""
    return _age(max(since, resumed_at or since), now)


def _age(moment: datetime | None, now: datetime) -> float:
    return max(0.0, (now - moment).total_seconds()) if moment else 0.0
