"""A ledger with a store in it, on each database, and processes that work on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bridge.db import Ledger
from tests.integration.ledger.books import Books, add_store
from tests.integration.ledger.crowds import Crew


@pytest.fixture
def books(ledger: Ledger, database_url: str) -> Books:
    with ledger.write() as connection:
        return Books(ledger, database_url, add_store(connection))


@pytest.fixture(scope="session")
def crew() -> Iterator[Crew]:
    crew = Crew()
    yield crew
    crew.close()
