"""The stores, in the ledger: found, added, paused and resumed, their configs kept."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, literal, or_, select, true, update
from sqlalchemy.dialects import postgresql, sqlite

from bridge.db.statements import Pending, Sql, Statement
from bridge.db.tables import deliveries, orders, stores
from bridge.issuance import Policy
from bridge.ledger.orders import orders_wanted
from bridge.ledger.store import ALL, Store, StoreOptions, columns_of, flags, store_of
from bridge.vault.encryption import Vault

__all__ = ["ALL", "Store", "StoreOptions", "flags"]  # beside the queries

# A part of the delivery URL, so of what needs no escaping there.
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
PING_EVERY = timedelta(seconds=30)  # a store's pings are written at most this often
_CLOCK_TOLERANCE = timedelta(minutes=1)


class StoreExistsError(Exception):
    """A store of this name is already there."""


def add(
    connection: Connection,
    *,
    vault: Vault,
    name: str,
    organization_id: str,
    woocommerce_id: str,
    api_token: str,
    webhook_secret: str,
    policy: Policy,
    now: datetime,
) -> int:
    """Add a store and return its id. The transaction may go on if this fails.

    Raises StoreExistsError for its name, and for a Woocommerce object that another store has.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    store_id: int | None = connection.execute(
        dialect.insert(stores)
        .values(
            name=name,
            organization_id=organization_id,
            woocommerce_id=woocommerce_id,
            api_token=vault.encrypt(api_token),
            webhook_secret=vault.encrypt(webhook_secret),
            **columns_of(StoreOptions(policy)),
            created_at=now,
        )
        # A statement that fails would end the whole transaction in PostgreSQL.
        .on_conflict_do_nothing()
        .returning(stores.c.id)
    ).scalar_one_or_none()
    if store_id is None:
        raise StoreExistsError(name)
    return store_id


def find(connection: Connection, name: str) -> Store | None:
    """The store of this name."""
    row = connection.execute(select(stores).where(stores.c.name == name)).one_or_none()
    return store_of(row) if row else None


def get(connection: Connection, store_id: int) -> Store:
    """The store of this id, which must exist: other rows refer to it."""
    return store_of(connection.execute(select(stores).where(stores.c.id == store_id)).one())


def get_each(connection: Connection, store_ids: Collection[int]) -> Pending[Mapping[int, Store]]:
    """The stores of these ids, by them."""
    return _EACH.query(connection, _by_id, ids=list(store_ids))


def of_orders(
    connection: Connection, order_ids: Collection[int], *, of_issuances: Collection[int] = ()
) -> Pending[Mapping[int, Store]]:
    """The stores of these orders, and of these issuances, by their ids."""
    return _OF_ORDERS.query(connection, _by_id, ids=list(order_ids), issuance_ids=list(of_issuances))


def of_deliveries(connection: Connection, delivery_ids: Collection[int]) -> Pending[Mapping[int, Store]]:
    """The stores of these deliveries, by their ids."""
    return _OF_DELIVERIES.query(connection, _by_id, ids=list(delivery_ids))


def lock(connection: Connection, store_id: int) -> Store:
    """The store, which nobody else changes until this transaction ends; deliveries go on coming in."""
    query = select(stores).where(stores.c.id == store_id).with_for_update(key_share=True)
    return store_of(connection.execute(query).one())


def every(connection: Connection, *, removed: bool = False) -> Sequence[Store]:
    """All stores by name; with those that were removed if asked for."""
    query = select(stores).order_by(stores.c.name)
    if not removed:
        query = query.where(stores.c.removed_at.is_(None))
    return [store_of(row) for row in connection.execute(query)]


def of_woocommerce(connection: Connection, woocommerce_id: str, *, removed: bool) -> Store | None:
    """The store whose orders go, or went until it was removed, to this Woocommerce object."""
    query = select(stores).where(
        stores.c.woocommerce_id == woocommerce_id,
        stores.c.removed_at.is_not(None) if removed else stores.c.removed_at.is_(None),
    )
    row = connection.execute(query.order_by(stores.c.removed_at.desc(), stores.c.id).limit(1)).one_or_none()
    return store_of(row) if row else None


def choose(connection: Connection, store: Store, choices: StoreOptions, now: datetime) -> bool:
    """Replace a store's choices; whether open orders are decided anew, since they may stand otherwise now."""
    _update(connection, store.id, **columns_of(choices))
    decides = choices.policy != store.policy
    if decides:
        decide_anew(connection, store.id, now)
    return decides


def learn_shop(connection: Connection, store_id: int, shop_url: str) -> None:
    """The store's first order has told where its shop is; changes nothing if that is known."""
    connection.execute(
        update(stores)
        .where(stores.c.id == store_id, stores.c.shop_urls.is_(None))
        .values(shop_urls=[shop_url])
    )


def decide_anew(connection: Connection, store_id: int, now: datetime) -> None:
    """The rules have changed: have each open order decided on again."""
    _update(connection, store_id, decision_version=stores.c.decision_version + 1, deciding_anew_since=now)


def with_stale_config(
    connection: Connection,
    *,
    tried_before: datetime,
    failed_before: datetime | None = None,
    or_after: datetime | None = None,
    limit: int,
) -> Sequence[int]:
    """Ids of stores whose config was last asked for before that time, or never; the longest ago first.

    Those that have no config to serve are before all others. `failed_before` is for those that could not be
    fetched, and `or_after` for what was dated by a clock that was set back since.
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


def count(connection: Connection) -> int:
    """How many stores there are."""
    query = select(func.count()).select_from(stores).where(stores.c.removed_at.is_(None))
    return connection.execute(query).scalar_one()


def count_config_fetches(connection: Connection, *, after: datetime, until: datetime) -> int:
    """For how many stores the config was last asked for in this time."""
    tried_at = stores.c.config_tried_at
    query = select(func.count()).select_from(stores).where(tried_at > after, tried_at <= until)
    return connection.execute(query).scalar_one()


def deciding_anew(connection: Connection) -> Sequence[Store]:
    """Stores whose rules changed, so that open orders may stand otherwise now."""
    return [
        store_of(row)
        for row in connection.execute(select(stores).where(stores.c.deciding_anew_since.is_not(None)))
    ]


def is_ping_known(store: Store, now: datetime) -> bool:
    """Whether the ping on record is so recent that one at `now` is not written: anyone may send pings."""
    return store.last_ping_at is not None and abs(now - store.last_ping_at) < PING_EVERY


def record_ping(connection: Connection, store_id: int, now: datetime) -> None:
    """WooCommerce pinged the delivery URL: somebody saved the webhook."""
    _update(connection, store_id, last_ping_at=now)


def count_refused(connection: Connection, store_id: int, number: int, now: datetime) -> None:
    """So many requests more were refused (401), the last of them now."""
    _update(
        connection,
        store_id,
        refused_deliveries=stores.c.refused_deliveries + number,
        last_refused_at=now,
    )


def start_config_fetch(connection: Connection, store: Store, now: datetime) -> bool:
    """Claim the fetching of a store's config; False if another process did since `store` was read."""
    claimed = connection.execute(
        update(stores)
        .where(stores.c.id == store.id, stores.c.config_tried_at.is_not_distinct_from(store.config_tried_at))
        .values(config_tried_at=now, config_error=None)
    )
    return claimed.rowcount == 1


def save_config(connection: Connection, store: Store, config: Mapping[str, Any], now: datetime) -> None:
    """Keep a Woocommerce object as it was when it was asked for, at `now`.

    If it decides otherwise, open orders are decided anew. One that was asked for later is not replaced.
    """
    current = lock(connection, store.id)
    fetched_at = current.config_fetched_at
    if fetched_at is not None and now < fetched_at <= now + _CLOCK_TOLERANCE:
        return
    _update(
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
        decide_anew(connection, store.id, now)


def note_config_missing(connection: Connection, store: Store, now: datetime) -> datetime | None:
    """Space Invoices, asked at `now`, did not list the object: returns since when it has not.

    None if an answer that was asked for later is known, which listed it.
    """
    current = lock(connection, store.id)
    fetched_at, since = current.config_fetched_at, current.config_missing_since
    if fetched_at is not None and now < fetched_at <= now + _CLOCK_TOLERANCE:
        return None
    if since is None or since > now:  # the clock was set back
        since = now
    _update(connection, store.id, config_missing_since=since, config_tried_at=now, config_error=None)
    return since


def _inactive(current: Store, config: Mapping[str, Any], now: datetime) -> dict[str, object]:
    """The columns that tell since when nothing is issued, and which deliveries came before that."""
    if flags(config).active:
        return {"inactive_since": None, "inactive_after_delivery": None}
    if current.inactive_since is not None:
        return {}
    newest = select(func.coalesce(func.max(deliveries.c.id), 0)).scalar_subquery()
    return {"inactive_since": now, "inactive_after_delivery": newest}


def save_config_error(connection: Connection, store_id: int, error: str) -> None:
    """Note that fetching failed. The config that was fetched before goes on serving."""
    _update(connection, store_id, config_error=error)


def finish_deciding_anew(connection: Connection, store: Store) -> None:
    """Every open order was decided anew, unless the rules changed again meanwhile."""
    connection.execute(
        update(stores)
        .where(stores.c.id == store.id, stores.c.decision_version == store.decision_version)
        .values(deciding_anew_since=None)
    )


def count_failure(connection: Connection, store_id: int) -> int:
    """One more request of the store failed; returns how many have, one after the other."""
    failures: int = connection.execute(
        update(stores)
        .where(stores.c.id == store_id)
        .values(failures=stores.c.failures + 1)
        .returning(stores.c.failures)
    ).scalar_one()
    return failures


def pause(
    connection: Connection, store_id: int, *, reason: str, now: datetime, next_probe_at: datetime | None
) -> None:
    """Stop forwarding; at `next_probe_at` one order is tried. None is an operator's word, which lasts."""
    by_operator = next_probe_at is None
    connection.execute(
        update(stores)
        .where(stores.c.id == store_id, true() if by_operator else _is_not_stopped_by_operator())
        .values(
            paused_at=func.coalesce(stores.c.paused_at, literal(now, stores.c.paused_at.type)),
            pause_reason=reason,
            next_probe_at=next_probe_at,
        )
    )


def claim_probe(connection: Connection, store: Store, next_probe_at: datetime) -> bool:
    """Claim the probe that is due; the next one may follow at `next_probe_at`. False if another was first."""
    claimed = connection.execute(
        update(stores)
        .where(stores.c.id == store.id, stores.c.next_probe_at == store.next_probe_at)
        .values(next_probe_at=next_probe_at)
    )
    return claimed.rowcount == 1


def leave_probe(connection: Connection, store_id: int, now: datetime) -> None:
    """The probe that was claimed had nothing to send: another may be made at once."""
    connection.execute(
        update(stores)
        .where(stores.c.id == store_id, stores.c.next_probe_at.is_not(None))
        .values(next_probe_at=now)
    )


def resume(connection: Connection, store_id: int, now: datetime, *, by_operator: bool) -> None:
    """Forward again. The time it was paused counts against none of its orders.

    A success resumes it only if no operator has paused it meanwhile.
    """
    connection.execute(
        update(stores)
        .where(stores.c.id == store_id, true() if by_operator else _is_not_stopped_by_operator())
        .values(paused_at=None, pause_reason=None, next_probe_at=None, failures=0, resumed_at=now)
    )


def _is_not_stopped_by_operator() -> ColumnElement[bool]:
    return or_(stores.c.paused_at.is_(None), stores.c.next_probe_at.is_not(None))


def forget_failures(connection: Connection, store_id: int) -> None:
    """A request of the store succeeded: those that failed before it are not in a row with the next."""
    _update(connection, store_id, failures=0)


def probe_now(connection: Connection, store_id: int, now: datetime) -> None:
    """A store that is probed has good reason to be well again: try the next order at once."""
    connection.execute(
        update(stores)
        .where(stores.c.id == store_id, stores.c.next_probe_at.is_not(None))
        .values(next_probe_at=now, failures=0)
    )


def _each(sql: Sql) -> Any:
    return select(stores).where(sql.in_list(stores.c.id, "ids"))


def _of_orders(sql: Sql) -> Any:
    of_them = select(orders.c.store_id).where(orders.c.id.in_(orders_wanted(sql)))
    return select(stores).where(stores.c.id.in_(of_them))


def _of_deliveries(sql: Sql) -> Any:
    of_them = select(deliveries.c.store_id).where(sql.in_list(deliveries.c.id, "ids"))
    return select(stores).where(stores.c.id.in_(of_them))


_EACH = Statement(_each)
_OF_DELIVERIES = Statement(_of_deliveries)
_OF_ORDERS = Statement(_of_orders)


def _by_id(rows: Sequence[Any]) -> Mapping[int, Store]:
    return {row.id: store_of(row) for row in rows}


def _update(connection: Connection, store_id: int, **values: object) -> None:
    connection.execute(update(stores).where(stores.c.id == store_id).values(**values))
