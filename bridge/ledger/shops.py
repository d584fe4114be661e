"""The shops that are connected: where their API is, the keys to it, and how far they were compared.

A store without a row here is only told by its webhooks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bridge.db.tables import absences, shop_approvals, shop_webhooks, shops, stores
from bridge.ledger.store import Store
from bridge.vault.encryption import Vault

LEASE = timedelta(minutes=5)  # longer than a request to a shop may take, retries included


@dataclass(frozen=True, slots=True)
class Shop:
    """A store's connection to its shop. The keys stay encrypted until a method decrypts them.

    The times that `compared_until` and `compare_from` give are the shop's, the others are the bridge's.
    """

    store_id: int
    url: str
    api: str
    login: str
    can_write: bool
    page_size: int
    connected_at: datetime
    highest_order_id: int
    compared_until: datetime | None
    compare_from: datetime | None
    compared_at: datetime | None
    compared_recent_at: datetime | None
    compared_content_at: datetime | None
    compared_trash_at: datetime | None
    lease_ends_at: datetime | None
    next_round_at: datetime | None
    error: str | None
    error_kind: str | None
    failing_since: datetime | None
    refusals: int
    encrypted_key: str = field(repr=False)
    encrypted_secret: str = field(repr=False)

    def keys(self, vault: Vault) -> tuple[str, str]:
        """The consumer key and its secret; raises WrongKeyError."""
        return vault.decrypt(self.encrypted_key), vault.decrypt(self.encrypted_secret)


@dataclass(frozen=True, slots=True)
class NewShop:
    """A shop to connect. Its keys are in clear."""

    url: str
    api: str
    login: str
    can_write: bool
    page_size: int
    highest_order_id: int
    key: str = field(repr=False)
    secret: str = field(repr=False)


def connect(connection: Connection, vault: Vault, store: Store, new: NewShop, now: datetime) -> None:
    """Keep the connection of a locked store, in place of one that it has. How far it was compared stays."""
    values: dict[str, Any] = {
        "url": new.url,
        "api": new.api,
        "login": new.login,
        "can_write": new.can_write,
        "page_size": new.page_size,
        "consumer_key": vault.encrypt(new.key),
        "consumer_secret": vault.encrypt(new.secret),
        "connected_at": now,
        "next_round_at": now,
        "highest_order_id": new.highest_order_id,
        "error": None,
        "error_kind": None,
        "failing_since": None,
        "refusals": 0,
    }
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(shops).values(store_id=store.id, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["store_id"], set_=values))


def disconnect(connection: Connection, store_id: int) -> bool:
    """Forget the keys, and what is known of the webhooks; returns whether the store was connected."""
    connection.execute(delete(shop_webhooks).where(shop_webhooks.c.store_id == store_id))
    connection.execute(delete(shop_approvals).where(shop_approvals.c.store_id == store_id))
    return connection.execute(delete(shops).where(shops.c.store_id == store_id)).rowcount > 0


def re_encrypt(connection: Connection, shop: Shop, vault: Vault) -> int:
    """Encrypt those keys of a locked store's shop that the vault's first key does not; returns how many.

    Raises WrongKeyError.
    """
    tokens = {"consumer_key": shop.encrypted_key, "consumer_secret": shop.encrypted_secret}
    values = {
        name: again for name, token in tokens.items() if (again := vault.reencrypted(token)) is not None
    }
    if values:
        connection.execute(update(shops).where(shops.c.store_id == shop.store_id).values(**values))
    return len(values)


def of_store(connection: Connection, store_id: int) -> Shop | None:
    """The store's shop; None if it is not connected."""
    row = connection.execute(select(shops).where(shops.c.store_id == store_id)).one_or_none()
    return _shop_of(row) if row else None


def every(connection: Connection) -> Mapping[int, Shop]:
    """The shops of the stores in use, by the stores' ids."""
    query = select(shops).join(stores).where(stores.c.removed_at.is_(None))
    return {row.store_id: _shop_of(row) for row in connection.execute(query)}


def take_due(
    connection: Connection, now: datetime, *, limit: int, store_id: int | None = None
) -> Collection[int]:
    """Take the lease of shops whose next round is due, or of this one whatever is due; the stores' ids.

    A shop whose lease another process holds is left out. One whose lease ended belonged to a process that
    died: its round begins anew, and finds recorded what that one recorded.
    """
    query = select(shops.c.store_id).join(stores).where(_is_free(now), stores.c.removed_at.is_(None))
    query = query.where(_is_due(now) if store_id is None else shops.c.store_id == store_id)
    query = query.order_by(shops.c.next_round_at, shops.c.store_id).limit(limit)
    ids = list(connection.execute(query.with_for_update(of=shops, skip_locked=True)).scalars())
    connection.execute(update(shops).where(shops.c.store_id.in_(ids)).values(lease_ends_at=now + LEASE))
    return ids


def count_due(connection: Connection, now: datetime) -> int:
    """How many shops' rounds are due, and in no process' hands."""
    query = select(func.count()).select_from(shops.join(stores))
    query = query.where(_is_due(now), _is_free(now), stores.c.removed_at.is_(None))
    return connection.execute(query).scalar_one()


def _is_due(now: datetime) -> ColumnElement[bool]:
    return or_(shops.c.next_round_at.is_(None), shops.c.next_round_at <= now)


def _is_free(now: datetime) -> ColumnElement[bool]:
    return or_(shops.c.lease_ends_at.is_(None), shops.c.lease_ends_at <= now)


def hasten(connection: Connection, now: datetime) -> None:
    """Have the next round of each shop begin now, but for those whose key is refused."""
    connection.execute(
        update(shops).where(shops.c.next_round_at > now, shops.c.refusals < 2).values(next_round_at=now)
    )


def hasten_after_absences(connection: Connection, now: datetime) -> None:
    """The same for the stores for which no receiver was up since their shops were compared."""
    since_compared = (
        select(absences.c.id)
        .where(
            absences.c.store_id == shops.c.store_id,
            absences.c.settled_at.is_(None),
            or_(shops.c.compared_at.is_(None), absences.c.ended_at > shops.c.compared_at),
        )
        .exists()
    )
    connection.execute(
        update(shops)
        .where(shops.c.next_round_at > now, shops.c.refusals < 2, shops.c.error.is_(None), since_compared)
        .values(next_round_at=now)
    )


def renew(connection: Connection, store_id: int, now: datetime) -> None:
    """Keep the lease for as long again."""
    connection.execute(update(shops).where(shops.c.store_id == store_id).values(lease_ends_at=now + LEASE))


def release(connection: Connection, store_id: int, next_round_at: datetime | None) -> None:
    """End the lease. None: the next round stays as it is."""
    values: dict[str, Any] = {"lease_ends_at": None}
    if next_round_at is not None:
        values["next_round_at"] = next_round_at
    connection.execute(update(shops).where(shops.c.store_id == store_id).values(**values))


def keep_page_size(connection: Connection, store_id: int, page_size: int) -> None:
    """So many orders a page are what the shop answers in time."""
    connection.execute(update(shops).where(shops.c.store_id == store_id).values(page_size=page_size))


def note_error(
    connection: Connection, store_id: int, *, error: str, kind: str, is_refusal: bool, now: datetime
) -> None:
    """The shop could not be asked. `is_refusal`: it did not accept the key."""
    connection.execute(
        update(shops)
        .where(shops.c.store_id == store_id)
        .values(
            error=error,
            error_kind=kind,
            failing_since=func.coalesce(shops.c.failing_since, now),
            refusals=shops.c.refusals + 1 if is_refusal else 0,
        )
    )


def note_success(connection: Connection, store_id: int) -> None:
    """The shop answers."""
    connection.execute(
        update(shops)
        .where(shops.c.store_id == store_id)
        .values(error=None, error_kind=None, failing_since=None, refusals=0)
    )


def note_compared(
    connection: Connection,
    store_id: int,
    *,
    until: datetime,
    compare_from: datetime | None,
    kinds: Sequence[str],
    now: datetime,
) -> None:
    """A comparison has ended: all that was modified before `until` is known.

    `compare_from`: what was asked for when it began; a request that came since then stays. `kinds`: what was
    compared beside it, of recent, content and trash.
    """
    done = {f"compared_{kind}_at": now for kind in kinds}
    is_same = shops.c.compare_from.is_(None) if compare_from is None else shops.c.compare_from == compare_from
    connection.execute(
        update(shops)
        .where(shops.c.store_id == store_id)
        .values(
            compared_until=case((shops.c.compared_until > until, shops.c.compared_until), else_=until),
            compare_from=case((is_same, None), else_=shops.c.compare_from),
            compared_at=now,
            **done,
        )
    )


def ask_for(connection: Connection, store_id: int, since: datetime, now: datetime) -> None:
    """Have all that was modified since then compared, soon, whatever the watermark."""
    earlier = case(
        (or_(shops.c.compare_from.is_(None), shops.c.compare_from > since), since),
        else_=shops.c.compare_from,
    )
    connection.execute(
        update(shops).where(shops.c.store_id == store_id).values(compare_from=earlier, next_round_at=now)
    )


def _shop_of(row: Row[Any]) -> Shop:
    return Shop(
        store_id=row.store_id,
        url=row.url,
        api=row.api,
        login=row.login,
        can_write=row.can_write,
        page_size=row.page_size,
        connected_at=row.connected_at,
        highest_order_id=row.highest_order_id,
        compared_until=row.compared_until,
        compare_from=row.compare_from,
        compared_at=row.compared_at,
        compared_recent_at=row.compared_recent_at,
        compared_content_at=row.compared_content_at,
        compared_trash_at=row.compared_trash_at,
        lease_ends_at=row.lease_ends_at,
        next_round_at=row.next_round_at,
        error=row.error,
        error_kind=row.error_kind,
        failing_since=row.failing_since,
        refusals=row.refusals,
        encrypted_key=row.consumer_key,
        encrypted_secret=row.consumer_secret,
    )
