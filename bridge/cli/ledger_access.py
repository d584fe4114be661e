"""The settings, the ledger and a store, as commands get them."""

from __future__ import annotations

from pathlib import Path

import click
from sqlalchemy import Connection

from bridge.admin.store_removal import removed_before
from bridge.cli.groups import data_dir
from bridge.cli.starting import GRACE, await_start
from bridge.cli.terminal import fail
from bridge.data_folder import is_up
from bridge.db import Ledger, Schema
from bridge.ledger import stores as ledger_stores
from bridge.ledger.stores import Store
from bridge.settings import KEY_FILE, PREFIX, Settings, load_settings

_UNUSABLE = {Schema.MISSING, Schema.OLD}


def settings_of_command(*, with_any_ledger: bool = False) -> Settings:
    """The settings, with the folder of --data-dir if it is given; raises SettingsError.

    `with_any_ledger`: the command uses the folder even if the ledger is not in it.
    """
    folder = data_dir()
    if folder is None:
        return load_settings()
    settings = load_settings({"data_dir": folder})
    if not settings.is_embedded and not with_any_ledger:
        raise click.UsageError(
            f"--data-dir names the folder of an embedded ledger, and {PREFIX}DATABASE_URL names another "
            "ledger: leave one of the two out."
        )
    return settings


def open_ledger(settings: Settings | None = None, *, is_awaited: bool = False) -> Ledger:
    """The ledger; ends the command if it is missing or of an older version, and never makes one.

    Waits while a `spacebridge up` that starts makes or migrates the ledger; with `is_awaited`, also for
    `GRACE` seconds until an `up` starts. Raises SettingsError, LedgerMovedError and LedgerUnavailableError.
    """
    settings = settings or settings_of_command()
    ledger = Ledger(settings.ledger_url)
    if settings.is_embedded:
        folder = settings.data_dir.absolute()
        await_start(
            lambda: ledger.schema() not in _UNUSABLE,
            f"In {folder}, there is no ledger yet: waiting for `spacebridge up`, which makes it.",
            grace=GRACE if is_awaited else 0,
            is_starting=lambda: is_up(folder),
        )
    schema = ledger.schema()
    if schema in _UNUSABLE:
        fail(_problem(settings, ledger, schema))
    ledger.require_open()
    return ledger


def require_store(connection: Connection, name: str) -> Store:
    """The store of this name, in use or removed; ends the command if there is none."""
    # A shell passes on bytes that are no text, which no query can hold.
    store = ledger_stores.find(connection, name) if name.isprintable() else None
    return store or fail(unknown_store(name))


def require_store_or_its_new_name(connection: Connection, name: str) -> Store:
    """The same. If the store was removed, the message says which name it has now."""
    if (removed := removed_before(connection, name)) is not None:
        fail(f"{unknown_store(name)} It was removed, and is {removed.name} now.")
    return require_store(connection, name)


def unknown_store(name: str) -> str:
    """The message that there is no store of this name."""
    return f"There is no store named {name}. `spacebridge stores list` shows those there are."


def _problem(settings: Settings, ledger: Ledger, schema: Schema) -> str:
    """What is wrong with the ledger, where it was looked for, and what to type."""
    if not settings.is_embedded:
        content = "no ledger" if schema is Schema.MISSING else "a ledger of an older version"
        return f"The database ({ledger.place}) holds {content}: run `spacebridge db upgrade`."
    folder = settings.data_dir.absolute()
    if schema is Schema.OLD:
        return (
            f"In {folder}, there is a ledger of an older version: stop the bridge over it, and start this "
            "version's `spacebridge up`, which migrates it."
        )
    return no_ledger_in(folder)


def no_ledger_in(folder: Path) -> str:
    """The message on a data folder without a ledger: what to type."""
    problem = "no ledger: `spacebridge up` makes one, and the key to it."
    if (folder / KEY_FILE).exists():
        problem = (
            "a key and no ledger: put the ledger back from its back-up; if there was none, `spacebridge up` "
            "makes it."
        )
    return f"In {folder}, there is {problem} If yours is in another folder, name that with --data-dir."
