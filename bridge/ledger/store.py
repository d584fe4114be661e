"""A store: a shop, the Woocommerce object in Space Invoices that its orders go to, and its options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, update

from bridge.db.tables import stores
from bridge.issuance import OPTIONS, Config, StoreOptions
from bridge.vault.encryption import Vault

PREVIOUS_SECRET_LASTS = timedelta(days=1)  # from when the new one was first seen


@dataclass(frozen=True, slots=True)
class Store:
    """A store as the ledger has it. Secrets stay encrypted until a method decrypts them."""

    id: int
    name: str
    organization_id: str
    woocommerce_id: str
    options: StoreOptions
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
    created_at: datetime
    removed_at: datetime | None
    webhook_secret_seen_at: datetime | None
    encrypted_api_token: str = field(repr=False)
    encrypted_webhook_secret: str = field(repr=False)
    encrypted_previous_secrets: Sequence[str] = field(repr=False)
    config_missing_since: datetime | None = None  # since when Space Invoices has not listed it
    inactive_since: datetime | None = None
    refused_deliveries: int = 0
    last_refused_at: datetime | None = None

    @property
    def shop_urls(self) -> Sequence[str]:
        """The addresses of its shop, as far as they are known."""
        return self.options.shop_urls

    def api_token(self, vault: Vault) -> str:
        """The token for Space Invoices; raises WrongKeyError."""
        return vault.decrypt(self.encrypted_api_token)

    def webhook_secret(self, vault: Vault) -> str:
        """The secret as WooCommerce's settings have it; raises WrongKeyError."""
        return vault.decrypt(self.encrypted_webhook_secret)

    def still_good(self, now: datetime) -> Sequence[str]:
        """The webhook secrets before the present one that are still accepted, encrypted."""
        seen_at = self.webhook_secret_seen_at
        is_over = seen_at is not None and now - seen_at >= PREVIOUS_SECRET_LASTS
        return [] if is_over else self.encrypted_previous_secrets

    def previous_secrets(self, vault: Vault, now: datetime) -> Sequence[str]:
        """The same in clear; raises WrongKeyError."""
        return [vault.decrypt(token) for token in self.still_good(now)]

    @property
    def awaits_new_secret(self) -> bool:
        """Whether its secret was replaced, and no delivery has been signed with the new one yet."""
        return bool(self.encrypted_previous_secrets) and self.webhook_secret_seen_at is None

    @property
    def decision_config(self) -> Config | None:
        """The flags that decide; None until the config has been fetched."""
        if self.removed_at is not None:
            return Config(active=False)  # nothing falls due by deliveries that are still processed
        return None if self.config is None else flags(self.config)

    @property
    def is_gone(self) -> bool:
        """Whether its Woocommerce object was deleted in Space Invoices, as far as that is believed."""
        return self.config is not None and self.config.get("_isDeleted") is True

    @property
    def is_paused_by_operator(self) -> bool:
        """Whether it is paused until an operator resumes it: nothing probes it."""
        return self.paused_at is not None and self.next_probe_at is None

    @property
    def state(self) -> str:
        """Its state: removed, paused, new (its config is not known), inactive or active."""
        if self.removed_at is not None:
            return "removed"
        if self.paused_at is not None:
            return "paused"
        if self.config is None:
            return "new"
        return "active" if flags(self.config).active else "inactive"


def flags(config: Mapping[str, Any]) -> Config:
    """The flags of a Woocommerce object that decide, with the API's defaults."""
    return Config(
        active=config.get("active") is not False and config.get("_isDeleted") is not True,
        issue_invoice_for_bank_payment=config.get("issueInvoiceForBankPayment") is True,
        issue_invoice_on_complete=config.get("issueInvoiceOnComplete") is True,
    )


def store_of(row: Row[Any]) -> Store:
    """The store of a row of the table."""
    return Store(
        id=row.id,
        name=row.name,
        organization_id=row.organization_id,
        woocommerce_id=row.woocommerce_id,
        options=_options(row),
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
        created_at=row.created_at,
        removed_at=row.removed_at,
        webhook_secret_seen_at=row.webhook_secret_seen_at,
        encrypted_api_token=row.api_token,
        encrypted_webhook_secret=row.webhook_secret,
        encrypted_previous_secrets=row.previous_webhook_secrets or [],
        config_missing_since=row.config_missing_since,
        inactive_since=row.inactive_since,
        refused_deliveries=row.refused_deliveries,
        last_refused_at=row.last_refused_at,
    )


def _options(row: Row[Any]) -> StoreOptions:
    columns = {name: getattr(row, name) for name in OPTIONS}
    values = {name: OPTIONS[name].load(value) for name, value in columns.items() if value is not None}
    if row.issue_from is None:  # a store that was added before there was this option
        values["issue_from"] = row.created_at
    return StoreOptions(**values)


def columns_of(options: StoreOptions) -> dict[str, object]:
    """The columns that keep a store's options."""
    columns: dict[str, object] = {}
    for name, option in OPTIONS.items():
        value = option.dump(getattr(options, name))
        columns[name] = None if option.is_learned and not value else value  # NULL until it is learned
    return columns


def update_store(connection: Connection, store_id: int, **columns: object) -> None:
    """Write columns of a store."""
    connection.execute(update(stores).where(stores.c.id == store_id).values(**columns))
