"""What each store has to do, and what waits for an operator, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from bridge.db.tables import deliveries, issuances, orders
from bridge.ledger.backlog import OPEN_STATES
from bridge.ledger.deliveries import RECEIVED
from bridge.ledger.orders import decided_before
from bridge.ledger.store import Store


@dataclass(frozen=True, slots=True)
class Workload:
    """One store's: deliveries that are not processed yet, issuances that are not settled, by state."""

    unprocessed: int = 0
    issuances: Mapping[str, int] | None = None
    last_delivery_at: datetime | None = None

    def of(self, state: str) -> int:
        """How many issuances are in this state: due, sending, held or failed."""
        return (self.issuances or {}).get(state, 0)


def measure(connection: Connection, store_id: int | None = None) -> Mapping[int, Workload]:
    """The workload of each store that has had any, by its id; or of one store alone."""
    waiting = select(deliveries.c.store_id, func.count().label("n")).where(deliveries.c.state == RECEIVED)
    newest = select(deliveries.c.store_id, func.max(deliveries.c.id).label("id"))
    states = select(issuances.c.store_id, issuances.c.state, func.count().label("n")).where(
        issuances.c.state.in_(OPEN_STATES)
    )
    if store_id is not None:
        waiting = waiting.where(deliveries.c.store_id == store_id)
        newest = newest.where(deliveries.c.store_id == store_id)
        states = states.where(issuances.c.store_id == store_id)
    unprocessed = {row.store_id: row.n for row in connection.execute(waiting.group_by(deliveries.c.store_id))}
    last = newest.group_by(deliveries.c.store_id).subquery()
    last_at = {
        row.store_id: row.last_received_at
        for row in connection.execute(
            select(deliveries.c.store_id, deliveries.c.last_received_at).join(
                last, deliveries.c.id == last.c.id
            )
        )
    }
    by_state: dict[int, dict[str, int]] = {}
    for row in connection.execute(states.group_by(issuances.c.store_id, issuances.c.state)):
        by_state.setdefault(row.store_id, {})[row.state] = row.n
    return {
        one: Workload(unprocessed.get(one, 0), by_state.get(one), last_at.get(one))
        for one in {*unprocessed, *last_at, *by_state}
    }


def of_store(connection: Connection, store_id: int) -> Workload:
    """One store's workload."""
    return measure(connection, store_id).get(store_id, Workload())


def count_to_redecide(connection: Connection, store: Store) -> int:
    """How many of a store's orders are to be decided again, since its rules have changed."""
    query = select(func.count()).where(orders.c.store_id == store.id, *decided_before(store.decision_version))
    return connection.execute(query).scalar_one()
