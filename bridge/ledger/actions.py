"""What operators did: who had which issuance, delivery or store treated how, when, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, or_, select

from bridge.db.tables import actions, deliveries, issuances, orders


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that an operator did. It is about a delivery, an issuance, a store or an order."""

    at: datetime
    who: str
    verb: str
    result: str
    delivery_id: int | None
    issuance_id: int | None
    store_id: int | None = None
    order_id: int | None = None


def record(connection: Connection, action: Action) -> None:
    """Keep it, in the transaction that does it: neither is there without the other."""
    connection.execute(
        insert(actions).values(
            at=action.at,
            who=action.who,
            verb=action.verb,
            result=action.result,
            delivery_id=action.delivery_id,
            issuance_id=action.issuance_id,
            store_id=action.store_id,
            order_id=action.order_id,
        )
    )


def of_resource(connection: Connection, store_id: int, resource_id: int) -> Sequence[Action]:
    """All that was done to an order, its deliveries and issuances, by its id in WooCommerce, oldest first."""
    of_deliveries = select(deliveries.c.id).where(
        deliveries.c.store_id == store_id, deliveries.c.resource_id == resource_id
    )
    of_it = select(orders.c.id).where(orders.c.store_id == store_id, orders.c.resource_id == resource_id)
    of_issuances = select(issuances.c.id).where(issuances.c.order_id.in_(of_it))
    query = (
        select(actions)
        .where(
            or_(
                actions.c.delivery_id.in_(of_deliveries),
                actions.c.issuance_id.in_(of_issuances),
                actions.c.order_id.in_(of_it),
            )
        )
        .order_by(actions.c.id)
    )
    return [_action(row) for row in connection.execute(query)]


def of_store(connection: Connection, store_id: int, *, limit: int) -> Sequence[Action]:
    """What was done to a store itself, the latest first."""
    query = select(actions).where(actions.c.store_id == store_id).order_by(actions.c.id.desc()).limit(limit)
    return [_action(row) for row in connection.execute(query)]


def _action(row: Row[Any]) -> Action:
    return Action(
        row.at, row.who, row.verb, row.result, row.delivery_id, row.issuance_id, row.store_id, row.order_id
    )
