"""The stores, in the ledger: added, read, locked and changed.

Their configs are in store_configs.py, their pauses in store_pauses.py, their secrets in store_secrets.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bridge.db.lists import in_list
from bridge.db.tables import deliveries, stores
from bridge.issuance import Policy, StoreOptions
from bridge.ledger.store import Store, columns_of, flags, store_of, update_store
from bridge.vault.encryption import Vault

__all__ = ["Store", "flags"]  # beside the queries

# A part of the delivery URL, so made of characters that need no escaping there.
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
PING_EVERY = timedelta(seconds=30)  # a store's pings are written at most this often


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
    options: StoreOptions,
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
            **columns_of(options),
            created_at=now,
        )
        # In PostgreSQL, a statement that fails ends the whole transaction.
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
    return store_of(connection.execute(_OF_ID, {"store_id": store_id}).one())


def get_each(connection: Connection, store_ids: Collection[int]) -> Mapping[int, Store]:
    """The stores of these ids, by them."""
    return {row.id: store_of(row) for row in connection.execute(_EACH, {"ids": store_ids})}


def of_deliveries(connection: Connection, delivery_ids: Collection[int]) -> Mapping[int, Store]:
    """The stores of these deliveries, by their ids."""
    return {row.id: store_of(row) for row in connection.execute(_OF_DELIVERIES, {"ids": delivery_ids})}


def lock(connection: Connection, store_id: int) -> Store:
    """Lock the store until this transaction ends, and return it; its deliveries are recorded meanwhile."""
    query = select(stores).where(stores.c.id == store_id).with_for_update(key_share=True)
    return store_of(connection.execute(query).one())


def every(connection: Connection, *, removed: bool = False) -> Sequence[Store]:
    """All stores by name; with `removed`, those that were removed, too."""
    query = select(stores).order_by(stores.c.name)
    if not removed:
        query = query.where(stores.c.removed_at.is_(None))
    return [store_of(row) for row in connection.execute(query)]


def of_woocommerce(connection: Connection, woocommerce_id: str, *, removed: bool) -> Store | None:
    """The store in use whose orders go to this Woocommerce object, or the last one that was `removed`."""
    query = select(stores).where(
        stores.c.woocommerce_id == woocommerce_id,
        stores.c.removed_at.is_not(None) if removed else stores.c.removed_at.is_(None),
    )
    row = connection.execute(query.order_by(stores.c.removed_at.desc(), stores.c.id).limit(1)).one_or_none()
    return store_of(row) if row else None


def set_options(connection: Connection, store: Store, options: StoreOptions, now: datetime) -> bool:
    """Replace a store's options; returns whether open orders are decided on again for it."""
    update_store(connection, store.id, **columns_of(options))
    deciding = (field.name for field in fields(Policy))
    decides = any(getattr(options, name) != getattr(store.options, name) for name in deciding)
    if decides:
        start_redeciding(connection, store.id, now)
    return decides


def learn_shop(connection: Connection, store_id: int, shop_url: str) -> None:
    """Keep the address of the shop that the store's first order names; a known address stays."""
    connection.execute(
        update(stores)
        .where(stores.c.id == store_id, stores.c.shop_urls.is_(None))
        .values(shop_urls=[shop_url])
    )


def start_redeciding(connection: Connection, store_id: int, now: datetime) -> None:
    """The store's rules have changed: have each open order decided on again."""
    update_store(
        connection, store_id, decision_version=stores.c.decision_version + 1, deciding_anew_since=now
    )


def count(connection: Connection) -> int:
    """How many stores are in use."""
    query = select(func.count()).select_from(stores).where(stores.c.removed_at.is_(None))
    return connection.execute(query).scalar_one()


def to_redecide(connection: Connection) -> Sequence[Store]:
    """Stores whose rules have changed, and whose open orders are being decided on again."""
    query = select(stores).where(stores.c.deciding_anew_since.is_not(None))
    return [store_of(row) for row in connection.execute(query)]


def is_ping_known(store: Store, now: datetime) -> bool:
    """Whether the last ping is so recent that one at `now` is not written: anyone may send pings."""
    return store.last_ping_at is not None and abs(now - store.last_ping_at) < PING_EVERY


def record_ping(connection: Connection, store_id: int, now: datetime) -> None:
    """WooCommerce pinged the delivery URL: a person saved the webhook."""
    update_store(connection, store_id, last_ping_at=now)


def count_refused(connection: Connection, store_id: int, number: int, now: datetime) -> None:
    """Add a number of requests that were refused (401), the last of them now."""
    update_store(
        connection,
        store_id,
        refused_deliveries=stores.c.refused_deliveries + number,
        last_refused_at=now,
    )


def finish_redeciding(connection: Connection, store: Store) -> None:
    """Every open order was decided on again; nothing changes if the rules changed once more meanwhile."""
    connection.execute(
        update(stores)
        .where(stores.c.id == store.id, stores.c.decision_version == store.decision_version)
        .values(deciding_anew_since=None)
    )


# Made once: to make a statement takes longer than to execute it.
_OF_ID = select(stores).where(stores.c.id == bindparam("store_id"))
_EACH = select(stores).where(in_list(stores.c.id, "ids"))
_OF_DELIVERIES = select(stores).where(
    stores.c.id.in_(select(deliveries.c.store_id).where(in_list(deliveries.c.id, "ids")))
)
