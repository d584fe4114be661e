"""Opens the ledger for a command."""

from __future__ import annotations

from bridge.cli.terminal import fail
from bridge.ledger import Ledger
from bridge.ledger import stores as ledger_stores
from bridge.ledger.stores import Store
from bridge.settings import Settings, load_settings


def open_ledger(settings: Settings | None = None) -> Ledger:
    """The ledger of the settings; raises LedgerNotMigratedError or LedgerUnavailableError if it is unfit."""
    ledger = Ledger((settings or load_settings()).ledger_url)
    ledger.check()
    return ledger


def require_store(ledger: Ledger, name: str) -> Store:
    """The store of this name; ends the command if there is none."""
    with ledger.read() as connection:
        store = ledger_stores.find(connection, name)
    if store is None:
        fail(f"There is no store named {name}. `spacebridge stores list` shows those there are.")
    return store
