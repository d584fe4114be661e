"""What the commands on stores have in common: settings, ledger, stores by name, a confirmation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import click
from sqlalchemy import Connection

from bridge.admin import store_removal
from bridge.cli.ledger_access import open_ledger, settings_of_command
from bridge.cli.terminal import confirm_or_fail, fail
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
            self.ledger, self.vault, settings.api_url, settings.api_timeout, settings.config_ttl, now=now
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
                fail(_unknown(name))
            yield connection, store


def now() -> datetime:
    """The time of what a command does."""
    return datetime.now(UTC)


def find(connection: Connection, name: str) -> Store:
    """The store of this name, in use or removed; ends the command if there is none."""
    # A query takes no bytes that are no text, which a shell may pass on.
    store = ledger_stores.find(connection, name) if name.isprintable() else None
    if store is None:
        removed = store_removal.removed_before(connection, name)
        fail(f"{_unknown(name)}{f' It was removed, and is {removed.name} now.' if removed else ''}")
    return store


def confirm(*, why: str, question: str, yes: bool) -> None:
    """Ask the operator to confirm what cannot be undone; without a yes, end the command, nothing changed."""
    if yes:
        return
    click.echo(why, err=True)
    confirm_or_fail(question)


def _in_use(connection: Connection, name: str) -> Store:
    store = find(connection, name)
    if store.removed_at is not None:
        fail(f"The store {name} was removed, and can only be shown.")
    return store


def _unknown(name: str) -> str:
    return f"There is no store named {name}. `spacebridge stores list` shows those there are."
