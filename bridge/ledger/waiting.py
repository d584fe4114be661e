"""Orders that wait for a person: unpaid or unmapped for too long, for attention, of an inactive store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, case, func, literal_column, select, text

from bridge.db.tables import deliveries, orders
from bridge.ledger.issuances import FAILED, HELD

LONG = timedelta(days=2)  # that an order waits for a payment, or for its status to be mapped
PAID_LONG = timedelta(hours=1)  # that it waits as pending although it is paid
RECENT = timedelta(days=1)
PENDING, PENDING_PAID, UNKNOWN_STATUS = "pending", "pending_paid", "unknown_status"
REASONS = (PENDING, PENDING_PAID, UNKNOWN_STATUS)
"""Why orders wait: rules of the decision; `pending_paid` are those of `pending` that have a date_paid."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Orders that wait for too long: how many, and since when the first does."""

    orders: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Attention:
    """Orders that need a person: how many, how many of them since a day ago, and since when the last does."""

    orders: int = 0
    recent: int = 0
    newest_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WhileInactive:
    """Orders that came in for an inactive store: how many, and when the last of them did."""

    orders: int = 0
    newest_at: datetime | None = None


def too_long(connection: Connection, now: datetime) -> Mapping[tuple[int, str], Waiting]:
    """Orders that wait for too long, by their stores' ids and why."""
    is_paid = (orders.c.rule == PENDING) & orders.c.has_date_paid
    why = case((is_paid, PENDING_PAID), else_=orders.c.rule).label("why")
    since = orders.c.rule_since
    rows = connection.execute(
        select(orders.c.store_id, why, func.count(), func.min(since, type_=since.type))
        .where(
            text("orders.rule IN ('pending', 'unknown_status')"),  # in the very words of the index
            # A process of the version before writes decisions without their rules.
            orders.c.decision == literal_column("'wait'"),
            (since <= now - LONG) | (is_paid & (since <= now - PAID_LONG)),
        )
        .group_by(orders.c.store_id, why)
    )
    return {(store_id, reason): Waiting(number, first) for store_id, reason, number, first in rows}


def for_attention(connection: Connection, now: datetime) -> Mapping[int, Attention]:
    """Orders that need a person, by their stores' ids, but for those whose issuance is held or failed."""
    since = orders.c.rule_since
    rows = connection.execute(
        select(
            orders.c.store_id,
            func.count(),
            func.count(case((since > now - RECENT, 1))),
            func.max(since, type_=since.type),
        )
        .where(
            orders.c.decision == literal_column("'attention'"),
            func.coalesce(orders.c.rule, "").not_in([HELD, FAILED]),
        )
        .group_by(orders.c.store_id)
    )
    return {store_id: Attention(number, recent, newest) for store_id, number, recent, newest in rows}


def while_inactive(connection: Connection, store_id: int, after_delivery: int) -> WhileInactive:
    """Orders of an inactive store of which the shop has sent something after this delivery."""
    number, newest = connection.execute(
        select(func.count(), func.max(orders.c.delivery_id)).where(
            orders.c.store_id == store_id,
            orders.c.rule == literal_column("'inactive'"),
            orders.c.decision == literal_column("'skip'"),
            orders.c.delivery_id > after_delivery,
        )
    ).one()
    if not number:
        return WhileInactive()
    newest_at = select(deliveries.c.received_at).where(deliveries.c.id == newest)
    return WhileInactive(number, connection.execute(newest_at).scalar_one())
