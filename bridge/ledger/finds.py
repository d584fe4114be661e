"""What comparisons with a shop found: orders that the ledger had not, or had in an older state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select

from bridge.db.tables import finds

MISSING, STALE, TRASHED, RESTORED, GONE = "missing", "stale", "trashed", "restored", "gone"


@dataclass(frozen=True, slots=True)
class Find:
    """One order that was found, when it changed in the shop, and why no webhook told."""

    store_id: int
    resource_id: int
    kind: str
    reason: str
    delivery_id: int | None
    changed_at: datetime | None
    found_at: datetime


def add(connection: Connection, found: Sequence[Find]) -> None:
    """Keep what was found."""
    if found:
        names = Find.__slots__
        connection.execute(insert(finds), [{name: getattr(one, name) for name in names} for one in found])


def of_resource(connection: Connection, store_id: int, resource_id: int) -> Sequence[Find]:
    """What was found of an order, oldest first."""
    query = select(finds).where(finds.c.store_id == store_id, finds.c.resource_id == resource_id)
    return [
        Find(**{name: getattr(row, name) for name in Find.__slots__})
        for row in connection.execute(query.order_by(finds.c.id))
    ]


def counts_since(connection: Connection, since: datetime) -> Mapping[int, Mapping[str, int]]:
    """How many orders were found since then, by their store and why no webhook told."""
    query = (
        select(finds.c.store_id, finds.c.reason, func.count())
        .where(finds.c.found_at >= since)
        .group_by(finds.c.store_id, finds.c.reason)
    )
    counts: dict[int, dict[str, int]] = {}
    for store_id, reason, number in connection.execute(query):
        counts.setdefault(store_id, {})[reason] = number
    return counts
