"""Servers and bridges that the integration tests share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bridge.db import Ledger
from bridge.db.tables import metadata
from tests.support.books import Books, add_store
from tests.support.crowds import Crew
from tests.support.running import RunningBridge
from tests.support.servers import PostgresServer, RedisServer
from tests.support.shop import Shop, open_shop
from tests.support.watched import WatchedLedger

BACKENDS = ["sqlite", "postgresql"]


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that is copied for each ledger in SQLite: a third of the time that a new one takes."""
    file = tmp_path_factory.mktemp("migrated") / "ledger.db"
    _migrate(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def migrated_database(postgres_server: PostgresServer) -> MigratedDatabase:
    return MigratedDatabase(postgres_server)


@pytest.fixture
def books(ledger: Ledger, database_url: str) -> Books:
    with ledger.write() as connection:
        return Books(ledger, database_url, add_store(connection))


@pytest.fixture(scope="session")
def crew() -> Iterator[Crew]:
    crew = Crew()
    yield crew
    crew.close()


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest) -> str:
    """A database of each kind: for a test that asks for a ledger, the ledger's; else one without tables."""
    is_migrated = "ledger" in request.fixturenames
    if request.param == "sqlite":
        file: Path = request.getfixturevalue("tmp_path") / "data" / "ledger.db"
        if is_migrated:
            file.parent.mkdir()
            shutil.copy(request.getfixturevalue("migrated_file"), file)
        return f"sqlite:///{file}"
    if is_migrated:
        database: MigratedDatabase = request.getfixturevalue("migrated_database")
        return database.emptied()
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.new_database("test")


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A migrated ledger without a row, on each database.

    A test that changes its schema or its server's settings makes its own, from `database_url`.
    """
    ledger = Ledger(database_url)
    yield ledger
    ledger.close()


@pytest.fixture
def watched(ledger: Ledger, database_url: str) -> Iterator[WatchedLedger]:
    """The same ledger once more, for a test that watches what is written through it."""
    watched = WatchedLedger(database_url)
    yield watched
    watched.close()


@pytest.fixture(scope="module", params=BACKENDS)
def bridge(
    request: pytest.FixtureRequest, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningBridge]:
    """A running bridge on each database, for the tests of one module."""
    database_url = ""
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        database_url = server.new_database("bridge")
    folder = tmp_path_factory.mktemp("bridge")
    with RunningBridge(folder, database_url=database_url, broker_url=redis_server.new_url()) as running:
        yield running


@pytest.fixture
def shop(ledger: Ledger) -> Iterator[Shop]:
    """A store on each database, driven step by step."""
    with open_shop(ledger) as shop:
        yield shop


def _migrate(url: str) -> None:
    ledger = Ledger(url)
    ledger.upgrade()
    ledger.close()


class MigratedDatabase:
    """The database that is emptied for each ledger in PostgreSQL: a tenth of the time of a new one.

    Where a test has left more in it than rows (a trigger, a table by another name, a setting), it is made
    from scratch, so that no test finds what another has left.
    """

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._make()

    @property
    def url(self) -> str:
        """Its URL, with whatever is in it."""
        return self._url

    def emptied(self) -> str:
        """Its URL, with no row in it, its ids at their start, and nobody connected to it."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("""
                SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
                WHERE datname = current_database() AND backend_type = 'client backend'
                AND pid <> pg_backend_pid()
            """)
            if is_as_migrated := _shape_of(connection) == self._shape:
                with connection.transaction():
                    for table in reversed(metadata.sorted_tables):
                        connection.execute(f"DELETE FROM {table.name}")  # noqa: S608
                        connection.execute(f"ALTER TABLE {table.name} ALTER COLUMN id RESTART")
        if not is_as_migrated:
            self._make()
        return self._url

    def _make(self) -> None:
        self._url = self._server.new_database("ledger")
        _migrate(self._url)
        with psycopg.connect(self._url, autocommit=True) as connection:
            self._shape = _shape_of(connection)


def _shape_of(connection: psycopg.Connection[Any]) -> Sequence[Any]:
    """All of a database but its rows: its tables, columns, triggers, functions and settings."""
    return connection.execute("""
        SELECT oid, relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
        UNION ALL
        SELECT attrelid, concat(attname, attnotnull, atthasdef, attisdropped) FROM pg_attribute
        WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
        UNION ALL SELECT oid, concat(conname, convalidated) FROM pg_constraint
        UNION ALL SELECT oid, concat(tgname, tgenabled) FROM pg_trigger
        UNION ALL SELECT oid, proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT setrole, setconfig::text FROM pg_db_role_setting
        WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
        ORDER BY 1, 2
    """).fetchall()
