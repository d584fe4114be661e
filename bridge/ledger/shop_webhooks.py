"""The webhooks of connected shops, a row for each topic, as the shop showed them last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, case, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bridge.db.tables import shop_webhooks, shops, stores

TOPICS = ("order.created", "order.updated", "order.deleted", "order.restored")
ACTIVE, PAUSED, DISABLED = "active", "paused", "disabled"  # as WooCommerce has them
DELETED = "deleted"  # the shop has none for this topic
MOST_REMADE = 2  # times a webhook is made anew within a day
A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class KnownWebhook:
    """A shop's webhook for a topic; `since`: when its status was first seen so."""

    store_id: int
    topic: str
    webhook_id: int | None
    status: str
    since: datetime
    modified: datetime | None  # by the shop: the last delivery that it tried, or when somebody saved it
    seen_at: datetime
    secret_set_at: datetime | None
    remade: Sequence[datetime]
    problem: str | None

    def may_be_remade(self, now: datetime) -> bool:
        """Whether it was not made anew too often of late."""
        return sum(now - at < A_DAY for at in self.remade) < MOST_REMADE


def of_store(connection: Connection, store_id: int) -> Mapping[str, KnownWebhook]:
    """The webhooks of a store's shop by their topics; empty if the shop was never asked for them."""
    query = select(shop_webhooks).where(shop_webhooks.c.store_id == store_id)
    return {row.topic: _webhook_of(row) for row in connection.execute(query)}


def every(connection: Connection) -> Sequence[KnownWebhook]:
    """Those of all connected stores in use."""
    query = (
        select(shop_webhooks)
        .join(stores, stores.c.id == shop_webhooks.c.store_id)
        .join(shops, shops.c.store_id == stores.c.id)
        .where(stores.c.removed_at.is_(None))
        .order_by(shop_webhooks.c.store_id, shop_webhooks.c.id)
    )
    return [_webhook_of(row) for row in connection.execute(query)]


def save(
    connection: Connection,
    store_id: int,
    topic: str,
    *,
    webhook_id: int | None,
    status: str,
    modified: datetime | None,
    now: datetime,
) -> None:
    """Keep what the shop shows of a topic's webhook now."""
    values: dict[str, Any] = {
        "webhook_id": webhook_id,
        "status": status,
        "modified": modified,
        "seen_at": now,
    }
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(shop_webhooks).values(store_id=store_id, topic=topic, since=now, **values)
    has_status = shop_webhooks.c.status == status
    changed = {
        **values,
        "since": case((has_status, shop_webhooks.c.since), else_=now),
        "problem": case((has_status, shop_webhooks.c.problem), else_=None),
    }
    connection.execute(statement.on_conflict_do_update(index_elements=["store_id", "topic"], set_=changed))


def note_remade(connection: Connection, webhook: KnownWebhook, now: datetime) -> None:
    """It was, or is just about to be, made anew."""
    recent = [at.isoformat() for at in webhook.remade if now - at < A_DAY]
    _update(connection, webhook.store_id, webhook.topic, remade=[*recent, now.isoformat()])


def withdraw_remade(connection: Connection, webhook: KnownWebhook) -> None:
    """It was not made anew after all."""
    before = [at.isoformat() for at in webhook.remade] or None
    _update(connection, webhook.store_id, webhook.topic, remade=before)


def forget_remade(connection: Connection, store_id: int) -> None:
    """A person has looked: the webhooks may be made anew again as often as ever."""
    connection.execute(
        update(shop_webhooks).where(shop_webhooks.c.store_id == store_id).values(remade=None, problem=None)
    )


def note_problem(connection: Connection, store_id: int, topic: str, problem: str | None) -> None:
    """Why it could not be made anew."""
    _update(connection, store_id, topic, problem=problem)


def note_secret(connection: Connection, store_id: int, topic: str, now: datetime | None) -> None:
    """The store's present secret was written to the webhook, and read back; None: it has another now."""
    _update(connection, store_id, topic, secret_set_at=now)


def forget_secrets(connection: Connection, store_id: int) -> None:
    """The store has another secret: none of its webhooks has it yet."""
    connection.execute(
        update(shop_webhooks).where(shop_webhooks.c.store_id == store_id).values(secret_set_at=None)
    )


def _update(connection: Connection, store_id: int, topic: str, **values: object) -> None:
    connection.execute(
        update(shop_webhooks)
        .where(shop_webhooks.c.store_id == store_id, shop_webhooks.c.topic == topic)
        .values(**values)
    )


def _webhook_of(row: Row[Any]) -> KnownWebhook:
    return KnownWebhook(
        store_id=row.store_id,
        topic=row.topic,
        webhook_id=row.webhook_id,
        status=row.status,
        since=row.since,
        modified=row.modified,
        seen_at=row.seen_at,
        secret_set_at=row.secret_set_at,
        remade=[datetime.fromisoformat(at) for at in row.remade or []],
        problem=row.problem,
    )
