"""The ledger's schema: made and migrated by one command, on both databases, by any number of processes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from bridge.db import Ledger, LedgerNotMigratedError, migrating
from bridge.db.schema import REVISIONS, Schema
from bridge.db.tables import metadata
from bridge.vault.encryption import make_key
from tests.support.running import run_command


def test_a_new_database_is_unfit_until_it_is_upgraded(database_url: str) -> None:
    ledger = Ledger(database_url)
    with pytest.raises(LedgerNotMigratedError, match="spacebridge db upgrade"):
        ledger.check()
    ledger.upgrade()
    ledger.check()
    ledger.close()


def test_the_migrations_make_what_the_tables_say(ledger: Ledger) -> None:
    with ledger.read() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    assert differences == []


def test_the_revisions_are_those_of_the_migrations(ledger: Ledger) -> None:
    scripts = ScriptDirectory(str(Path(migrating.__file__).parent / "migrations"))
    newest_first = [script.revision for script in scripts.walk_revisions()]
    assert tuple(reversed(newest_first)) == REVISIONS
    assert ledger.schema() is Schema.CURRENT


def test_upgrading_again_changes_nothing(ledger: Ledger) -> None:
    ledger.upgrade()
    ledger.check()


def test_several_processes_may_upgrade_at_once(database_url: str, tmp_path: Path) -> None:
    embedded = database_url.startswith("sqlite")
    settings = {
        "SPACEBRIDGE_DATABASE_URL": "" if embedded else database_url,
        "SPACEBRIDGE_SECRET_KEY": make_key(),
    }
    with ThreadPoolExecutor(4) as at_once:
        upgrades = at_once.map(
            lambda _: run_command(tmp_path / "data", "db", "upgrade", **settings), range(4)
        )
    for upgrade in upgrades:
        assert upgrade.returncode == 0, upgrade.stderr
    ledger = Ledger(database_url)
    ledger.check()
    ledger.close()


def test_sqlite_is_in_wal_mode_and_fully_synced(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    ledger.upgrade()
    with ledger.write() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
    ledger.close()
