"""When no receiver could take deliveries: a heartbeat, and for each gap in it the stores that it concerns.

WooCommerce gives up a webhook after few failures, so after a gap a store may have lost orders, and may get no
more. That stands until the shop was compared, or an operator says that nothing is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bridge.db.tables import absences, deliveries, heartbeats, stores

RECEIVER = "receiver"
INTERVAL = 2.0  # seconds between two beats of a receiver's process
LONGEST_GAP = timedelta(seconds=INTERVAL + 5)  # without a beat; a longer one is an absence


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which no receiver had the ledger, and the names of the stores that may have lost orders."""

    began_at: datetime
    ended_at: datetime
    stores: Sequence[str]


@dataclass(frozen=True, slots=True)
class Absence:
    """A time in which no receiver was up, for a store that may have lost orders in it."""

    id: int
    store_id: int
    began_at: datetime
    ended_at: datetime


def beat(connection: Connection, now: datetime) -> Gap | None:
    """A process of a receiver has the ledger, for the first time or again. Returns the gap before, if any.

    A gap is an absence of each store in use that ever had a delivery, and it is kept as one in this
    transaction. Of several processes that come back, the first does that: the others wait for its row. The
    first beat ever follows no gap. Nor does a time before the last beat, by a clock that was set back.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    first = dialect.insert(heartbeats).values(name=RECEIVER, at=now).on_conflict_do_nothing()
    connection.execute(first)
    row = select(heartbeats.c.id, heartbeats.c.at).where(heartbeats.c.name == RECEIVER).with_for_update()
    beat_id, last = connection.execute(row).one()
    connection.execute(update(heartbeats).where(heartbeats.c.id == beat_id).values(at=now))
    if now - last <= LONGEST_GAP:
        return None
    has_deliveries = select(deliveries.c.id).where(deliveries.c.store_id == stores.c.id).exists()
    in_use = select(stores.c.id, stores.c.name).where(stores.c.removed_at.is_(None), has_deliveries)
    concerned = connection.execute(in_use.order_by(stores.c.name)).all()
    if concerned:
        rows = [{"store_id": store.id, "began_at": last, "ended_at": now} for store in concerned]
        connection.execute(insert(absences), rows)
    return Gap(last, now, [store.name for store in concerned])


def go_on(connection: Connection, now: datetime) -> bool:
    """A process that beat a moment ago still has the ledger. False if there is no beat to move on."""
    moved = connection.execute(update(heartbeats).where(heartbeats.c.name == RECEIVER).values(at=now))
    return moved.rowcount > 0


def unsettled(connection: Connection, store_id: int | None = None) -> Sequence[Absence]:
    """Those after which a store may lack orders, of one store or of all in use, oldest first."""
    query = (
        select(absences)
        .join(stores, stores.c.id == absences.c.store_id)
        .where(absences.c.settled_at.is_(None), stores.c.removed_at.is_(None))
        .order_by(absences.c.id)
    )
    if store_id is not None:
        query = query.where(absences.c.store_id == store_id)
    return [Absence(row.id, row.store_id, row.began_at, row.ended_at) for row in connection.execute(query)]


def settle(connection: Connection, store_id: int, *, ended_before: datetime, who: str, now: datetime) -> int:
    """Nothing is missing of what the store's shop did until then; returns how many absences that settles.

    One that ends later, or that a receiver records at this moment, stays.
    """
    return connection.execute(
        update(absences)
        .where(
            absences.c.store_id == store_id,
            absences.c.settled_at.is_(None),
            absences.c.ended_at <= ended_before,
        )
        .values(settled_at=now, settled_by=who)
    ).rowcount


def count_unsettled(connection: Connection) -> Mapping[str, int]:
    """How many absences are not settled, by the names of the stores that have any."""
    query = (
        select(stores.c.name, func.count().label("number"))
        .join_from(absences, stores)
        .where(absences.c.settled_at.is_(None), stores.c.removed_at.is_(None))
        .group_by(stores.c.name)
    )
    return {store.name: store.number for store in connection.execute(query)}
