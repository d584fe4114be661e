"""Backs a ledger up and restores it, with the commands of docs/backup-and-upgrade.md for each database."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from sqlalchemy import make_url

from tests.support.running import run_command
from tests.support.servers import PostgresServer


def back_up(database_url: str, file: Path, server: PostgresServer | None) -> None:
    """Back it up into a file, which is not there yet; `server` is the one of PostgreSQL."""
    if server is None:
        made = run_command(file.parent, "db", "backup", str(file), SPACEBRIDGE_DATABASE_URL=database_url)
        assert made.returncode == 0, made.stderr
        return
    _run(server, "pg_dump", "--format=custom", f"--file={file}", f"--dbname={database_url}")


def restore(file: Path, folder: Path, server: PostgresServer | None) -> str:
    """Put it back into a new place, the folder or a database of that name; its URL."""
    if server is None:
        folder.mkdir()
        shutil.copy(file, folder / "ledger.db")
        return f"sqlite:///{folder / 'ledger.db'}"
    url = server.new_database(folder.name)
    to = ["--exit-on-error", "--single-transaction", "--no-owner", f"--dbname={url}"]
    _run(server, "pg_restore", *to, str(file))
    return url


def server_of(database_url: str, server: PostgresServer) -> PostgresServer | None:
    """The server that a ledger is in; None for a file."""
    return None if make_url(database_url).get_backend_name() == "sqlite" else server


def _run(server: PostgresServer, program: str, *arguments: str) -> None:
    path = Path(server.arguments()[0]).with_name(program)
    ended = subprocess.run([path, *arguments], env=os.environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
