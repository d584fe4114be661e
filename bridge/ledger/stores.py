"""Stores: which shop's orders go to which Woocommerce object in Space Invoices, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from bridge.issuance import Config, Policy
from bridge.ledger.tables import stores
from bridge.ledger.vault import Vault


class StoreExistsError(Exception):
    """A store of this name is already there."""


class StoreHasDeliveriesError(Exception):
    """The store's deliveries and issuances refer to it; what was issued must stay known."""


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
    paused_at: datetime | None
    pause_reason: str | None
    next_probe_at: datetime | None
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
        if self.config is None:
            return None
        return Config(
            active=self.config.get("active") is not False,
            issue_invoice_for_bank_payment=self.config.get("issueInvoiceForBankPayment") is True,
            issue_invoice_on_complete=self.config.get("issueInvoiceOnComplete") is True,
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
    """Add a store and return its id; raises StoreExistsError."""
    try:
        store_id: int = connection.execute(
            insert(stores)
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
            .returning(stores.c.id)
        ).scalar_one()
    except IntegrityError:
        raise StoreExistsError(name) from None
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


def remove(connection: Connection, store_id: int) -> None:
    """Remove a store that never had a delivery; raises StoreHasDeliveriesError for another."""
    try:
        connection.execute(delete(stores).where(stores.c.id == store_id))
    except IntegrityError:
        raise StoreHasDeliveriesError from None


def set_policy(connection: Connection, store_id: int, policy: Policy) -> None:
    """Replace what the store lets the bridge decide by."""
    _update(
        connection,
        store_id,
        issue_pending=policy.issue_pending,
        bank_payment_methods=sorted(policy.bank_payment_methods),
        status_map=dict(policy.status_map),
    )


def set_option(connection: Connection, store_id: int, *, name: str, value: str) -> None:
    """Set `order_body` or `unknown_outcome`."""
    if name not in {"order_body", "unknown_outcome"}:
        raise ValueError(name)
    _update(connection, store_id, **{name: value})


def record_ping(connection: Connection, store_id: int, now: datetime) -> None:
    """WooCommerce pinged the delivery URL: somebody saved the webhook."""
    _update(connection, store_id, last_ping_at=now)


def save_config(connection: Connection, store_id: int, config: Mapping[str, Any], now: datetime) -> None:
    """Keep a freshly fetched Woocommerce object."""
    _update(
        connection,
        store_id,
        config=dict(config),
        config_fetched_at=now,
        config_tried_at=now,
        config_error=None,
    )


def save_config_error(connection: Connection, store_id: int, error: str, now: datetime) -> None:
    """Note that fetching failed. The config that was fetched before goes on serving."""
    _update(connection, store_id, config_tried_at=now, config_error=error)


def pause(
    connection: Connection, store_id: int, *, reason: str, now: datetime, next_probe_at: datetime | None
) -> None:
    """Stop forwarding; at `next_probe_at` one order is tried, or none ever if it is None."""
    _update(connection, store_id, paused_at=now, pause_reason=reason, next_probe_at=next_probe_at)


def postpone_probe(connection: Connection, store_id: int, next_probe_at: datetime) -> None:
    """The probe that was due is being made: the next one may follow at `next_probe_at`."""
    _update(connection, store_id, next_probe_at=next_probe_at)


def resume(connection: Connection, store_id: int) -> None:
    """Forward again."""
    _update(connection, store_id, paused_at=None, pause_reason=None, next_probe_at=None)


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
        paused_at=row.paused_at,
        pause_reason=row.pause_reason,
        next_probe_at=row.next_probe_at,
        last_ping_at=row.last_ping_at,
        encrypted_api_token=row.api_token,
        encrypted_webhook_secret=row.webhook_secret,
    )
