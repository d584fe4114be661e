"""What the commands on stores have in common: settings, ledger and keys, and stores by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from bridge.admin.manage_stores import Fetched
from bridge.admin.store_check import check_account
from bridge.cli.ledger_access import (
    open_ledger,
    require_store_or_its_new_name,
    settings_of_command,
    unknown_store,
)
from bridge.cli.starting import await_server
from bridge.cli.terminal import fail
from bridge.db import Ledger
from bridge.ledger import stores as ledger_stores
from bridge.ledger.stores import Store
from bridge.pipeline.context import Context
from bridge.settings import Settings
from bridge.vault import Vault


@dataclass(frozen=True, slots=True)
class StoreSession:
    """The settings, the ledger and the keys of one command."""

    settings: Settings
    ledger: Ledger
    vault: Vault

    @classmethod
    def open(cls, *, is_awaited: bool = False) -> StoreSession:
        """Open the ledger that the settings name; raises SettingsError or LedgerUnavailableError.

        `is_awaited`: wait a moment for a `spacebridge up` that is starting to create the ledger.
        """
        settings = settings_of_command()
        return cls(settings, open_ledger(settings, is_awaited=is_awaited), settings.vault())

    def context(self) -> Context:
        """What the pipeline's functions need."""
        settings = self.settings
        return Context(
            self.ledger,
            self.vault,
            settings.api_url,
            settings.api_timeout,
            settings.config_ttl,
            settings.public_url,
            now=now,
        )

    def store(self, name: str) -> Store:
        """The store in use of this name; ends the command if there is none."""
        with self.ledger.read() as connection:
            return _in_use(connection, name)

    @contextmanager
    def changing(self, name: str) -> Iterator[tuple[Connection, Store]]:
        """A transaction in which the store is locked; ends the command if there is none."""
        with self.ledger.write() as connection:
            store = ledger_stores.lock(connection, _in_use(connection, name).id)
            if store.name != name:  # another command has just removed it
                fail(unknown_store(name))
            yield connection, store

    def fetch(self, token: str, organization_id: str, woocommerce_id: str) -> Fetched:
        """The config that the token has access to; raises StoreCheckError."""
        await_server(self.settings.api_url)  # it may be a sandbox that is just starting
        at = now()
        config = check_account(
            self.context(), token=token, organization_id=organization_id, woocommerce_id=woocommerce_id
        )
        return Fetched(config, at)


def now() -> datetime:
    """The time of what a command does."""
    return datetime.now(UTC)


def _in_use(connection: Connection, name: str) -> Store:
    store = require_store_or_its_new_name(connection, name)
    if store.removed_at is not None:
        fail(f"The store {name} was removed, and can only be shown.")
    return store
