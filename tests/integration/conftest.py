"""Servers and bridges that the integration tests share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bridge.ledger import Ledger, closing
from bridge.ledger.tables import metadata
from tests.running import RunningBridge
from tests.servers import PostgresServer, RedisServer
from tests.shop import Shop, open_shop

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
def migrated_database(postgres_server: PostgresServer) -> str:
    """URL of the database that is emptied for each ledger in PostgreSQL: a tenth of the time of a new one."""
    url = postgres_server.new_database("ledger")
    _migrate(url)
    return url


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
        url: str = request.getfixturevalue("migrated_database")
        _empty(url)
        return url
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


def _empty(url: str) -> None:
    """Take all rows out of a database, begin its ids anew, and end whatever is still connected to it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("""
            SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
            WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
        """)
        with connection.transaction():
            # What the copying of a ledger leaves behind.
            connection.execute(f"DROP FUNCTION IF EXISTS {closing.FUNCTION} CASCADE")
            connection.execute(f"DROP TABLE IF EXISTS {closing.NOTE.name}")
            for table in reversed(metadata.sorted_tables):
                connection.execute(f"DELETE FROM {table.name}")  # noqa: S608
                connection.execute(f"ALTER TABLE {table.name} ALTER COLUMN id RESTART")
