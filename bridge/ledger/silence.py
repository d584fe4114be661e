"""Silence: topics that a store's webhooks deliver no more, for longer than the store's own rhythm explains.

It is for stores whose shop is not connected: nobody can ask whether there were no orders, or no webhooks.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy import ColumnElement, Connection, and_, func, select

from bridge.db.tables import deliveries, shops, stores
from bridge.ledger.deliveries import WEBHOOK

CREATED, UPDATED = "order.created", "order.updated"  # deletions and restorations are too rare
WEEKS = 4  # of history before a topic's last delivery
HISTORY = timedelta(weeks=WEEKS)
LOOKBACK = 2 * HISTORY  # from now: deliveries before it are not read
USUAL_HOURS = 14.0  # of silence, at least; at the usual rate, chance makes that once in a million (e^-14)
TIMES_LONGER = 3  # than anything of the history: deliveries that come in bunches leave longer pauses
LEAST_HOURS = 28  # with a delivery, in the history; with less of it, nothing is said
LEAST_ORDERS = 10  # created since the last update, at least
FOLLOWS_WITHIN = timedelta(hours=2)  # of the creation of an order, there is an update of it or of another
_HOUR = timedelta(hours=1)
SHORTEST = USUAL_HOURS / 4 * _HOUR  # no silence is shorter; busy stores are told by that, without their hours


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The deliveries of a topic in an hour: how many, and when the last came."""

    number: int
    last_at: datetime


Hours = Mapping[datetime, Arrivals]  # by the beginning of the hour, in UTC; hours without any are left out


@dataclass(frozen=True, slots=True)
class Silence:
    """A topic of which nothing has come since a moment.

    `usual_hours`: of the whole hours since then, how many would have a delivery at the store's rhythm.
    `orders`: if updates ceased while orders are created, how many were since then; otherwise 0.
    """

    topic: str
    since: datetime
    usual_hours: float
    orders: int = 0


def measure(connection: Connection, now: datetime) -> Mapping[str, Sequence[Silence]]:
    """The silences of the stores in use that are not connected, by the stores' names.

    Reads the deliveries of eight weeks, without an index: for people, and for what is kept for minutes.
    """
    names = _not_connected(connection)
    at = deliveries.c.received_at
    is_read = and_(
        deliveries.c.id > _last_before(connection, now - LOOKBACK),
        deliveries.c.topic.in_([CREATED, UPDATED]),
        deliveries.c.source == WEBHOOK,
    )
    of_topic = (deliveries.c.store_id, deliveries.c.topic)
    lasts = connection.execute(
        select(deliveries.c.store_id, func.max(at, type_=at.type)).where(is_read).group_by(*of_topic)
    )
    quiet = {store_id for store_id, last_at in lasts if last_at < now - SHORTEST and store_id in names}
    hours: defaultdict[int, defaultdict[str, dict[datetime, Arrivals]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    arrivals = (
        select(*of_topic, func.count(), func.max(at, type_=at.type))
        .where(is_read, deliveries.c.store_id.in_(quiet))
        .group_by(*of_topic, _hour_of(connection, at))
    )
    for store_id, topic, number, last_at in connection.execute(arrivals) if quiet else ():
        hours[store_id][topic][_beginning(last_at)] = Arrivals(number, last_at)
    silences = {names[store_id]: find(by_topic, now) for store_id, by_topic in hours.items()}
    return {name: of_store for name, of_store in silences.items() if of_store}


def find(hours: Mapping[str, Hours], now: datetime) -> Sequence[Silence]:
    """The silences among a store's topics, from their deliveries of the last eight weeks.

    Hours with a delivery are counted, and not deliveries: an order makes several at a time, and somebody who
    completes forty orders at once makes forty. The rhythm is that of the weekdays and their hours in the four
    weeks before the topic's last delivery, so nights, weekends and closing times are no silence, and the
    silence itself does not count. It also has to be three times as long as any pause of these weeks.
    """
    found = []
    for topic in (CREATED, UPDATED):
        if not hours.get(topic):
            continue
        last = max(hours[topic])
        history = [hour for hour in hours[topic] if hour > last - HISTORY]
        rhythm = Counter((hour.weekday(), hour.hour) for hour in history)
        usual = _usual_hours(rhythm, last, _beginning(now))
        pauses = (_usual_hours(rhythm, *pause) for pause in pairwise(sorted(history)))
        is_silent = usual >= max(USUAL_HOURS, TIMES_LONGER * max(pauses, default=0.0))
        orders = 0
        if topic == UPDATED and CREATED in hours:
            orders = _orders_since(hours[CREATED], history, now)
        # Orders that were imported together have no updates, either: some usual time has to pass as well.
        is_left_behind = orders > 0 and usual >= USUAL_HOURS / 4
        if len(history) >= LEAST_HOURS and (is_silent or is_left_behind):
            since = hours[topic][last].last_at
            found.append(Silence(topic, since, usual, orders if is_left_behind else 0))
    return found


def _usual_hours(rhythm: Mapping[tuple[int, int], int], after: datetime, until: datetime) -> float:
    """How many of the hours between two usually have a delivery."""
    between = (after + number * _HOUR for number in range(1, int((until - after) / _HOUR)))
    return sum(rhythm.get((hour.weekday(), hour.hour), 0) for hour in between) / WEEKS


def _orders_since(created: Hours, updated: Sequence[datetime], now: datetime) -> int:
    """Orders created since the last hour with an update, if there were far fewer between any two before."""
    last = max(updated)
    number = sum(
        arrivals.number for hour, arrivals in created.items() if last < hour <= now - FOLLOWS_WITHIN - _HOUR
    )
    longest = run = 0
    for hour in sorted({*updated, *created}):
        if last - HISTORY < hour <= last:
            run = 0 if hour in updated else run + created[hour].number
            longest = max(longest, run)
    return number if number >= max(LEAST_ORDERS, TIMES_LONGER * longest) else 0


def _not_connected(connection: Connection) -> Mapping[int, str]:
    """The names of stores in use whose shops are not connected, by their ids."""
    connected = select(shops.c.id).where(shops.c.store_id == stores.c.id).exists()
    query = select(stores.c.id, stores.c.name).where(stores.c.removed_at.is_(None), ~connected)
    return {store.id: store.name for store in connection.execute(query)}


def _last_before(connection: Connection, moment: datetime) -> int:
    """The id of the last delivery before a moment, or a number near it: ids and times both grow."""
    low, high = 0, connection.execute(select(func.coalesce(func.max(deliveries.c.id), 0))).scalar_one()
    while low < high:
        middle = (low + high) // 2
        following = select(deliveries.c.received_at).where(deliveries.c.id > middle)
        received_at = connection.execute(following.order_by(deliveries.c.id).limit(1)).scalar_one_or_none()
        if received_at is None or received_at >= moment:
            high = middle
        else:
            low = middle + 1
    return int(low)


def _hour_of(connection: Connection, moment: ColumnElement[datetime]) -> ColumnElement[str]:
    """The hour of a moment, to group by: the beginning of the text that SQLite keeps it as."""
    if connection.dialect.name == "postgresql":
        return func.date_trunc("hour", moment, "UTC")
    return func.substr(moment, 1, len("2026-11-27 18"))


def _beginning(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
