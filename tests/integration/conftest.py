"""Servers and bridges that the integration tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.ledger import Ledger
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


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'data' / 'ledger.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.new_database("test")


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A migrated ledger, on each database."""
    ledger = Ledger(database_url)
    ledger.upgrade()
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
