"""When no receiver could take deliveries: a heartbeat, and for each gap in it the stores that it concerns.

WooCommerce gives up a webhook after few failures, so after a gap a store may have lost orders, and may get no
more. That stands until the shop was compared, or an operator says that nothing is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bridge.db.tables import absences, heartbeats, stores

RECEIVER = "receiver"
INTERVAL = 2.0  # seconds between two beats of a receiver's process
LONGEST_GAP = timedelta(seconds=INTERVAL + 5)  # without a beat; a longer one is an absence


@dataclass(frozen=True, slots=True)
class Absence:
    """A time in which no receiver was up, for a store that may have lost orders in it."""

    id: int
    store_id: int
    began_at: datetime
    ended_at: datetime


def beat(connection: Connection, now: datetime) -> timedelta | None:
    """A receiver has the ledger now. Returns how long none had it, if that was an absence.

    Of several processes, the first after a gap records it. A clock that is set back records nothing.
    """
    is_postgresql = connection.dialect.name == "postgresql"
    dialect = postgresql if is_postgresql else sqlite
    first = dialect.insert(heartbeats).values(name=RECEIVER, at=now).on_conflict_do_nothing()
    connection.execute(first)
    row = select(heartbeats.c.id, heartbeats.c.at).where(heartbeats.c.name == RECEIVER).with_for_update()
    beat_id, last = connection.execute(row).one()
    connection.execute(update(heartbeats).where(heartbeats.c.id == beat_id).values(at=now))
    gap: timedelta = now - last
    if gap <= LONGEST_GAP:
        return None
    in_use = select(stores.c.id).where(stores.c.removed_at.is_(None), stores.c.created_at < now)
    rows = [
        {"store_id": store_id, "began_at": last, "ended_at": now}
        for store_id in connection.execute(in_use).scalars()
    ]
    if rows:
        connection.execute(insert(absences), rows)
    return gap


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
    """Nothing is missing of what the store's shop did until then; returns how many absences that settles."""
    return connection.execute(
        update(absences)
        .where(
            absences.c.store_id == store_id,
            absences.c.settled_at.is_(None),
            absences.c.ended_at <= ended_before,
        )
        .values(settled_at=now, settled_by=who)
    ).rowcount
