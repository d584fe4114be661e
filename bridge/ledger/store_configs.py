"""The config of each store, as Space Invoices has it: which are to be fetched, and what was fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select, update

from bridge.db.tables import deliveries, stores
from bridge.ledger.store import Store, flags, update_store
from bridge.ledger.stores import lock, start_redeciding

_CLOCK_TOLERANCE = timedelta(minutes=1)


def stale(
    connection: Connection,
    *,
    tried_before: datetime,
    failed_before: datetime | None = None,
    or_after: datetime | None = None,
    limit: int,
) -> Sequence[int]:
    """Ids of stores whose config was last asked for before `tried_before`, or never; the oldest first.

    Stores without any config come before all others. `failed_before` holds for those whose last fetch failed,
    and `or_after` finds what a clock dated that was set back since.
    """
    tried_at, fetched_at = stores.c.config_tried_at, stores.c.config_fetched_at
    due = or_(tried_at.is_(None), tried_at <= tried_before)
    if failed_before is not None:
        has_failed = or_(
            fetched_at.is_(None),
            stores.c.config_error.is_not(None),
            stores.c.config_missing_since.is_not(None),
        )
        due = or_(due, and_(has_failed, tried_at <= failed_before))
    if or_after is not None:
        due = or_(due, tried_at > or_after)
    query = select(stores.c.id).where(due, stores.c.removed_at.is_(None))
    order = fetched_at.is_not(None), tried_at.asc().nulls_first()
    return connection.execute(query.order_by(*order).limit(limit)).scalars().all()


def count_fetches(connection: Connection, *, after: datetime, until: datetime) -> int:
    """How many stores' config was last asked for in this time."""
    tried_at = stores.c.config_tried_at
    query = select(func.count()).select_from(stores).where(tried_at > after, tried_at <= until)
    return connection.execute(query).scalar_one()


def start_fetch(connection: Connection, store: Store, now: datetime) -> bool:
    """Claim the fetching of a store's config; False if another process did since `store` was read."""
    claimed = connection.execute(
        update(stores)
        .where(stores.c.id == store.id, stores.c.config_tried_at.is_not_distinct_from(store.config_tried_at))
        .values(config_tried_at=now, config_error=None)
    )
    return claimed.rowcount == 1


def save(connection: Connection, store: Store, config: Mapping[str, Any], now: datetime) -> None:
    """Keep a config as it was when it was asked for, at `now`.

    If it decides otherwise, open orders are decided on again. A config that was asked for later stays.
    """
    current = lock(connection, store.id)
    if _has_later_answer(current, now):
        return
    update_store(
        connection,
        store.id,
        config=dict(config),
        config_fetched_at=now,
        config_tried_at=now,
        config_error=None,
        # While it is gone, the next answer without it is believed at once.
        config_missing_since=current.config_missing_since if config.get("_isDeleted") is True else None,
        **_inactive(current, config, now),
    )
    if current.config is None or flags(config) != flags(current.config):
        start_redeciding(connection, store.id, now)


def note_missing(connection: Connection, store: Store, now: datetime) -> datetime | None:
    """Space Invoices, asked at `now`, did not list the config: returns since when it has not.

    None if an answer that was asked for later is known, which listed it.
    """
    current = lock(connection, store.id)
    since = current.config_missing_since
    if _has_later_answer(current, now):
        return None
    if since is None or since > now:  # the clock was set back
        since = now
    update_store(connection, store.id, config_missing_since=since, config_tried_at=now, config_error=None)
    return since


def save_error(connection: Connection, store_id: int, error: str) -> None:
    """Note that fetching failed. The config that was fetched before stays in use."""
    update_store(connection, store_id, config_error=error)


def _has_later_answer(store: Store, asked_at: datetime) -> bool:
    fetched_at = store.config_fetched_at
    return fetched_at is not None and asked_at < fetched_at <= asked_at + _CLOCK_TOLERANCE


def _inactive(current: Store, config: Mapping[str, Any], now: datetime) -> dict[str, object]:
    """The columns that keep since when nothing is issued, and which deliveries came before that."""
    if flags(config).active:
        return {"inactive_since": None, "inactive_after_delivery": None}
    if current.inactive_since is not None:
        return {}
    newest = select(func.coalesce(func.max(deliveries.c.id), 0)).scalar_subquery()
    return {"inactive_since": now, "inactive_after_delivery": newest}
