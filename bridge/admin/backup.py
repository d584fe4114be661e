"""Backs up an SQLite ledger while the bridge runs: a file of one moment, checked before it has its name."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from bridge.admin import RefusedError
from bridge.db.engine import Ledger
from bridge.db.schema import Schema
from bridge.disk import sync


def back_up(ledger: Ledger, file: Path) -> int:
    """Write what the ledger holds at this moment into a new file of mode 0600; its size in bytes.

    Deliveries are accepted meanwhile. The file appears whole and synced to disk, or not at all. The ledger
    may have any version, since a back-up is made before an upgrade. Raises RefusedError,
    LedgerUnavailableError and OSError.
    """
    if ledger.schema() is Schema.MISSING:
        raise RefusedError(
            f"There is no ledger to back up ({ledger.place}). Name the folder of yours with --data-dir."
        )
    if file.exists():
        raise RefusedError(f"{file} is there already, and no back-up is overwritten: give another name.")
    # In the folder where the back-up goes, since a hard link cannot reach another file system.
    with tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=file.parent) as folder:
        made = Path(folder) / "ledger.db"
        made.touch(mode=0o600, exist_ok=False)
        try:
            _write(ledger, made)
        except sqlite3.Error as error:
            raise RefusedError(f"The back-up was not made: {error}.") from None
        sync(made)
        size = made.stat().st_size
        try:
            # A link, unlike a rename, replaces no other file.
            file.hardlink_to(made)
        except FileExistsError:
            raise RefusedError(f"{file} has just been made by somebody else: give another name.") from None
    sync(file.parent)
    return size


def _write(ledger: Ledger, made: Path) -> None:
    with ledger.read() as connection, closing(sqlite3.connect(made)) as to:
        if connection.dialect.name != "sqlite":
            raise RefusedError(
                f"The ledger is in a server of its own ({ledger.place}), which has its own tool: "
                "pg_dump --format=custom --file=FILE DATABASE"
            )
        driver: Any = connection.connection.driver_connection
        # All pages in one step: of one moment, and in WAL mode no writer waits for a reader.
        driver.backup(to, pages=-1)
        problems = to.execute("PRAGMA integrity_check").fetchall()
        if problems != [("ok",)]:
            raise RefusedError(
                f"The ledger is damaged ({len(problems)} faults; the first: {problems[0][0]}), and so would "
                "be its back-up, which is not kept. Keep those from before."
            )
