"""Deliveries that wait for a person (quarantined, unreadable, or failed), and what people do to them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, literal_column, select, update

from bridge.db.tables import deliveries
from bridge.ledger.deliveries import (
    FAILED,
    IGNORED,
    PROCESSED,
    QUARANTINED,
    RECEIVED,
    UNREADABLE,
    Delivery,
    listed,
)


def replay(connection: Connection, delivery_id: int) -> bool:
    """Have a delivery processed again. Returns False for one that waits for that, or must not be."""
    moved = connection.execute(
        update(deliveries)
        .where(deliveries.c.id == delivery_id, deliveries.c.state.in_([PROCESSED, FAILED, UNREADABLE]))
        .values(state=RECEIVED, failures=0)
    )
    return moved.rowcount == 1


def ignore(connection: Connection, delivery_id: int, reason: str) -> bool:
    """Have a delivery wait no more, as it is of no use. Returns False for one that waits for nobody."""
    moved = connection.execute(
        update(deliveries)
        .where(deliveries.c.id == delivery_id, deliveries.c.state.in_([QUARANTINED, UNREADABLE, FAILED]))
        .values(state=IGNORED, reason=reason)
    )
    return moved.rowcount == 1


def release(connection: Connection, store_id: int, shop_urls: Sequence[str]) -> int:
    """Have quarantined deliveries processed that come from the shop's addresses; returns how many."""
    return connection.execute(
        update(deliveries)
        .where(
            # A literal, so that a generic plan can use the partial index of quarantined deliveries.
            deliveries.c.state == literal_column(f"'{QUARANTINED}'"),
            deliveries.c.store_id == store_id,
            deliveries.c.shop_url.in_(shop_urls),
        )
        .values(state=RECEIVED, reason=None, failures=0)
    ).rowcount


def with_quarantined(connection: Connection) -> Sequence[int]:
    """Ids of the stores that have quarantined deliveries."""
    # By the partial index. The latest will do: when they are released, the others follow.
    query = select(deliveries.c.store_id).where(deliveries.c.state == literal_column(f"'{QUARANTINED}'"))
    latest = connection.execute(query.order_by(deliveries.c.id.desc()).limit(1000)).scalars()
    return list(dict.fromkeys(latest))


def unreadable(connection: Connection, *, store: str | None = None, limit: int = 50) -> Sequence[Delivery]:
    """Deliveries that look like orders and cannot be read, the newest first."""
    return listed(connection, store=store, state=UNREADABLE, limit=limit)
