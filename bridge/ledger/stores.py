"""Stores: which shop's orders go to which Woocommerce object in Space Invoices, and how."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bridge.issuance import Config, Policy
from bridge.ledger.tables import stores
from bridge.ledger.vault import Vault

# A part of the delivery URL, so of what needs no escaping there.
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class StoreExistsError(Exception):
    """A store of this name is already there."""


@dataclass(frozen=True, slots=True)
class Store:
    """A store as the ledger holds it. Secrets stay encrypted until they are asked for."""

    id: int
    name: str
    organization_id: str
    woocommerce_id: str
    policy: Policy
    order_body: str
    unknown_outcome: str
    config: Mapping[str, Any] | None
    config_fetched_at: datetime | None
    config_tried_at: datetime | None
    config_error: str | None
    decision_version: int
    deciding_anew_since: datetime | None
    paused_at: datetime | None
    pause_reason: str | None
    next_probe_at: datetime | None
    failures: int
    resumed_at: datetime | None
    last_ping_at: datetime | None
    encrypted_api_token: str = field(repr=False)
    encrypted_webhook_secret: str = field(repr=False)

    def api_token(self, vault: Vault) -> str:
        """The token for Space Invoices; raises WrongKeyError."""
        return vault.decrypt(self.encrypted_api_token)

    def webhook_secret(self, vault: Vault) -> str:
        """The secret as it stands in WooCommerce's settings; raises WrongKeyError."""
        return vault.decrypt(self.encrypted_webhook_secret)

    @property
    def decision_config(self) -> Config | None:
        """The flags that decide; None while the config has never been fetched."""
        return None if self.config is None else flags(self.config)


def flags(config: Mapping[str, Any]) -> Config:
    """The flags of a Woocommerce object that decide, with the API document's defaults."""
    return Config(
        active=config.get("active") is not False and config.get("_isDeleted") is not True,
        issue_invoice_for_bank_payment=config.get("issueInvoiceForBankPayment") is True,
        issue_invoice_on_complete=config.get("issueInvoiceOnComplete") is True,
    )


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
    """Add a store and return its id; raises StoreExistsError, after which the transaction may go on."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    store_id: int | None = connection.execute(
        dialect.insert(stores)
        .values(
            name=name,
            organization_id=organization_id,
            woocommerce_id=woocommerce_id,
            api_token=vault.encrypt(api_token),
            webhook_secret=vault.encrypt(webhook_secret),
            issue_pending=policy.issue_pending,
            bank_payment_methods=sorted(policy.bank_payment_methods),
            status_map=dict(policy.status_map),
            created_at=now,
        )
        # A statement that fails would end the whole transaction in PostgreSQL.
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(stores.c.id)
    ).scalar_one_or_none()
    if store_id is None:
        raise StoreExistsError(name)
    return store_id


def find(connection: Connection, name: str) -> Store | None:
    """The store of this name."""
    row = connection.execute(select(stores).where(stores.c.name == name)).one_or_none()
    return _store(row) if row else None


def get(connection: Connection, store_id: int) -> Store:
    """The store of this id, which must exist: other rows refer to it."""
    return _store(connection.execute(select(stores).where(stores.c.id == store_id)).one())


def every(connection: Connection) -> Sequence[Store]:
    """All stores by name."""
    return [_store(row) for row in connection.execute(select(stores).order_by(stores.c.name))]


def with_stale_config(connection: Connection, *, tried_before: datetime, limit: int) -> Sequence[int]:
    """Ids of stores whose config was last asked for before that time, or never."""
    due = or_(stores.c.config_tried_at.is_(None), stores.c.config_tried_at <= tried_before)
    return connection.execute(select(stores.c.id).where(due).limit(limit)).scalars().all()


def deciding_anew(connection: Connection) -> Sequence[Store]:
    """Stores whose rules changed, so that open orders may stand otherwise now."""
    return [
        _store(row)
        for row in connection.execute(select(stores).where(stores.c.deciding_anew_since.is_not(None)))
    ]


def record_ping(connection: Connection, store_id: int, now: datetime) -> None:
    """WooCommerce pinged the delivery URL: somebody saved the webhook."""
    _update(connection, store_id, last_ping_at=now)


def start_config_fetch(connection: Connection, store: Store, now: datetime) -> bool:
    """Claim the fetching of a store's config; False if another process did since `store` was read."""
    claimed = connection.execute(
        update(stores)
        .where(stores.c.id == store.id, stores.c.config_tried_at.is_not_distinct_from(store.config_tried_at))
        .values(config_tried_at=now, config_error=None)
    )
    return claimed.rowcount == 1


def save_config(connection: Connection, store: Store, config: Mapping[str, Any], now: datetime) -> None:
    """Keep a freshly fetched Woocommerce object; if it decides otherwise, open orders are decided anew."""
    _update(
        connection,
        store.id,
        config=dict(config),
        config_fetched_at=now,
        config_tried_at=now,
        config_error=None,
    )
    if flags(config) != store.decision_config:
        _update(
            connection,
            store.id,
            decision_version=stores.c.decision_version + 1,
            deciding_anew_since=now,
        )


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
    """Stop forwarding; at `next_probe_at` one order is tried, or none ever if it is None."""
    _update(
        connection,
        store_id,
        paused_at=func.coalesce(stores.c.paused_at, literal(now, stores.c.paused_at.type)),
        pause_reason=reason,
        next_probe_at=next_probe_at,
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


def resume(connection: Connection, store_id: int, now: datetime) -> None:
    """Forward again: its account takes orders. The time it was paused counts against none of them."""
    _update(
        connection,
        store_id,
        paused_at=None,
        pause_reason=None,
        next_probe_at=None,
        failures=0,
        resumed_at=now,
    )


def forget_failures(connection: Connection, store_id: int) -> None:
    """A request of the store succeeded: those that failed before it are not in a row with the next."""
    _update(connection, store_id, failures=0)


def _update(connection: Connection, store_id: int, **values: object) -> None:
    connection.execute(update(stores).where(stores.c.id == store_id).values(**values))


def _store(row: Row[Any]) -> Store:
    return Store(
        id=row.id,
        name=row.name,
        organization_id=row.organization_id,
        woocommerce_id=row.woocommerce_id,
        policy=Policy(
            issue_pending=row.issue_pending,
            bank_payment_methods=frozenset(row.bank_payment_methods),
            status_map=row.status_map,
        ),
        order_body=row.order_body,
        unknown_outcome=row.unknown_outcome,
        config=row.config,
        config_fetched_at=row.config_fetched_at,
        config_tried_at=row.config_tried_at,
        config_error=row.config_error,
        decision_version=row.decision_version,
        deciding_anew_since=row.deciding_anew_since,
        paused_at=row.paused_at,
        pause_reason=row.pause_reason,
        next_probe_at=row.next_probe_at,
        failures=row.failures,
        resumed_at=row.resumed_at,
        last_ping_at=row.last_ping_at,
        encrypted_api_token=row.api_token,
        encrypted_webhook_secret=row.webhook_secret,
    )
