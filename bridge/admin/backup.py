"""Backs up an SQLite ledger while the bridge runs: a file of one moment, checked before it has its name."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from bridge.db.engine import Ledger
from bridge.db.schema import Schema
from bridge.disk import sync


class NoBackupError(Exception):
    """No back-up is made; the message says why, and what to do."""


def back_up(ledger: Ledger, file: Path) -> int:
    """Write what the ledger holds at this moment into a new file of mode 0600; its size in bytes.

    Deliveries go on being accepted meanwhile. The file appears whole and synced to disk, or not at all. A
    ledger of any version will do, since a back-up is made before an upgrade. Raises NoBackupError,
    LedgerUnavailableError and OSError.
    """
    if ledger.schema() is Schema.MISSING:
        raise NoBackupError(
            f"There is no ledger to back up ({ledger.place}). Name the folder of yours with --data-dir."
        )
    if file.exists():
        raise NoBackupError(f"{file} is there already, and no back-up is overwritten: give another name.")
    # In the folder where the back-up goes, for a name is given within one file system only.
    with tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=file.parent) as folder:
        made = Path(folder) / "ledger.db"
        made.touch(mode=0o600, exist_ok=False)
        try:
            _write(ledger, made)
        except sqlite3.Error as error:
            raise NoBackupError(f"The back-up was not made: {error}.") from None
        sync(made)
        size = made.stat().st_size
        try:
            # A link, unlike a new name, takes the place of nobody's file.
            file.hardlink_to(made)
        except FileExistsError:
            raise NoBackupError(f"{file} has just been made by somebody else: give another name.") from None
    sync(file.parent)
    return size


def _write(ledger: Ledger, made: Path) -> None:
    with ledger.read() as connection, closing(sqlite3.connect(made)) as to:
        if connection.dialect.name != "sqlite":
            raise NoBackupError(
                f"The ledger is in a server of its own ({ledger.place}), which has its own tool: "
                "pg_dump --format=custom --file=FILE DATABASE"
            )
        driver: Any = connection.connection.driver_connection
        # All pages in one step: of one moment, and in WAL mode no writer waits for a reader.
        driver.backup(to, pages=-1)
        found = to.execute("PRAGMA integrity_check").fetchall()
        if found != [("ok",)]:
            raise NoBackupError(
                f"The ledger is damaged ({len(found)} faults; the first: {found[0][0]}), and so would be its "
                "back-up, which is not kept. Keep those from before."
            )
