"""What the ledger has committed is on the disk, by both of its ways to commit.

SQLite syncs in the process that commits. One in which every sync fails must not be able to commit, nor a
receiver to acknowledge. PostgreSQL tells how far its log is on the disk.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from bridge.db import Ledger
from bridge.vault.encryption import make_key
from tests.integration.conftest import MigratedDatabase
from tests.support.running import answers, run_command
from tests.support.servers import PostgresServer, free_port, wait_until

COMMITS = 20
WAYS = ["write", "write_by_driver"]
INSERT = "INSERT INTO actions (at, who, verb, result) VALUES ('2026-11-01 00:00:00', 'maja', 'note', '{}')"


def commit(ledger: Ledger, way: str, number: int, returning: str = "id") -> object:
    """One commit, in one of the ledger's two ways; what the insertion is to return."""

    def insert(cursor: Any) -> object:
        cursor.execute(f"{INSERT.format(number)} RETURNING {returning}")
        return cursor.fetchone()[0]

    if way == "write_by_driver":
        return ledger.write_by_driver(insert)
    with ledger.write() as connection:
        return insert(connection.connection.cursor())


def run_unsynced(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a Python program in which every fsync and fdatasync fails, as on a disk that is broken."""
    return subprocess.run(
        [sys.executable, "-m", "tests.support.unsynced", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextmanager
def receiver(gunicorn: Sequence[str], **settings: str) -> Iterator[str]:
    """A receiver that this command starts, with these settings; its address."""
    port = free_port()
    process = subprocess.Popen(
        [*gunicorn, "--config", "python:bridge.gunicorn_config", "--bind", f"127.0.0.1:{port}"],
        env={**os.environ, "SPACEBRIDGE_BROKER_URL": "memory://", **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), "a receiver", within=90)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.parametrize("way", WAYS)
def test_no_commit_of_an_sqlite_ledger_succeeds_where_nothing_can_be_synced(tmp_path: Path, way: str) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with closing(Ledger(url)) as ledger:
        ledger.upgrade()
        # Held open, so that the log is one that was begun: the first page of a new one is synced in any case.
        commit(ledger, way, 0)
        tried = run_unsynced("commit", url, way, str(COMMITS))
    assert tried.returncode == 0, tried.stderr
    assert json.loads(tried.stdout) == {"failed": COMMITS, "committed": 0}


def test_no_delivery_is_acknowledged_where_nothing_can_be_synced(tmp_path: Path) -> None:
    data = tmp_path / "data"
    settings = {"SPACEBRIDGE_DATA_DIR": str(data), "SPACEBRIDGE_SECRET_KEY": make_key()}
    assert run_command(data, "db", "upgrade", **settings).returncode == 0
    (tmp_path / "token").write_text("token")
    (tmp_path / "secret").write_text("the webhook's secret")
    added = run_command(
        data,
        *("stores", "add", "shop", "--organization", "6" * 24, "--woocommerce", "7" * 24, "--offline"),
        *("--token-file", str(tmp_path / "token"), "--webhook-secret-file", str(tmp_path / "secret")),
        **settings,
    )
    assert added.returncode == 0, added.stderr
    held_open = Ledger(f"sqlite:///{data / 'ledger.db'}")  # as above
    commit(held_open, "write", 0)
    try:
        with receiver(
            [sys.executable, "-m", "tests.support.unsynced", "module", "gunicorn"], **settings
        ) as address:
            for _ in range(3):
                ping = requests.post(f"{address}/webhooks/shop", data="webhook_id=1", timeout=30)
                assert ping.status_code == 503, ping.text
    finally:
        held_open.close()


@pytest.mark.parametrize("way", WAYS)
def test_what_a_postgresql_ledger_has_committed_is_in_the_part_of_the_log_that_is_synced(
    migrated_database: MigratedDatabase, way: str
) -> None:
    late = []
    with (
        closing(Ledger(migrated_database.emptied())) as ledger,
        psycopg.connect(migrated_database.url, autocommit=True) as seen,
    ):
        assert seen.execute("SHOW fsync").fetchone() == ("on",)
        for number in range(COMMITS):
            written = commit(ledger, way, number, "pg_current_wal_insert_lsn()::text")
            synced = seen.execute("SELECT pg_current_wal_flush_lsn() - %s::pg_lsn", [written]).fetchone()
            late.append(synced is None or synced[0] <= 0)
    assert not any(late)


@pytest.mark.parametrize(
    ("how", "undo"),
    [
        ("ALTER DATABASE {0} SET synchronous_commit = off", "ALTER DATABASE {0} RESET synchronous_commit"),
        (
            "ALTER ROLE spacebridge SET synchronous_commit = off",
            "ALTER ROLE spacebridge RESET synchronous_commit",
        ),
    ],
)
def test_a_ledger_whose_commits_are_not_synced_is_found(
    postgres_server: PostgresServer, how: str, undo: str
) -> None:
    url = postgres_server.new_database("unsynced")
    with psycopg.connect(url, autocommit=True) as connection:
        with closing(Ledger(url)) as ledger:
            ledger.upgrade()
            assert ledger.unsynced() is None
        connection.execute(how.format("unsynced"))
        try:
            with closing(Ledger(url)) as ledger:
                assert "synchronous_commit is off" in (ledger.unsynced() or "")
            found = run_command(
                Path(), "doctor", SPACEBRIDGE_DATABASE_URL=url, SPACEBRIDGE_SECRET_KEY=make_key()
            )
            assert "synchronous_commit is off" in found.stdout
            assert "RESET synchronous_commit" in found.stdout
            settings = {"SPACEBRIDGE_DATABASE_URL": url, "SPACEBRIDGE_SECRET_KEY": make_key()}
            with receiver([sys.executable, "-m", "gunicorn"], **settings) as address:
                ready = requests.get(f"{address}/readyz", timeout=30)
                assert (ready.status_code, ready.json()["ledger"]) == (503, "not synced")
                assert "synchronous_commit is off" in ready.json()["reason"]
            allowed = {**settings, "SPACEBRIDGE_ALLOW_UNSYNCED_COMMITS": "true"}
            with receiver([sys.executable, "-m", "gunicorn"], **allowed) as address:
                assert requests.get(f"{address}/readyz", timeout=30).status_code == 200
        finally:
            connection.execute(undo.format("unsynced"))


@pytest.mark.parametrize("value", ["on", "local", "remote_write", "remote_apply"])
def test_a_commit_that_is_synced_on_the_server_is_enough(postgres_server: PostgresServer, value: str) -> None:
    url = postgres_server.new_database("synced")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE synced SET synchronous_commit = {value}")
    with closing(Ledger(url)) as ledger:
        assert ledger.unsynced() is None
