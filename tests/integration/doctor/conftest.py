"""The bridges that the doctor's tests examine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.db import Ledger
from bridge.ledger import stores
from bridge.pipeline.context import Clients
from bridge.settings import load_settings
from bridge.vault.encryption import make_key
from tests.integration.doctor.patient import (
    Patient,
)
from tests.support.servers import RedisServer
from tests.support.shop import Clock, Shop, forward_issuance, open_shop


@pytest.fixture(scope="module")
def neighbour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop with a ledger of its own, whose sandbox serves the others, too."""
    ledger = Ledger(f"sqlite:///{tmp_path_factory.mktemp('neighbour') / 'ledger.db'}")
    ledger.upgrade()
    with open_shop(ledger) as shop:
        yield shop
    ledger.close()


@pytest.fixture
def patient(
    neighbour: Shop, ledger: Ledger, database_url: str, tmp_path: Path, redis_server: RedisServer
) -> Iterator[Patient]:
    """A store that was pinged, and whose only order has its invoice."""
    settings = load_settings(
        {
            "data_dir": tmp_path / "data",
            "database_url": "" if database_url.startswith("sqlite") else database_url,
            "broker_url": redis_server.new_url(),
            "secret_key": make_key(),
            "api_url": neighbour.context.api_url,
        }
    )
    clock = Clock(datetime.now(UTC))
    context = replace(
        neighbour.context,
        ledger=ledger,
        vault=settings.vault(),
        now=clock.now,
        _clients=Clients(),
    )
    patient = Patient(Shop(context, clock, 1, neighbour.sandbox), settings)
    patient.add_store("shop", patient.new_config())
    forward_issuance(context, patient.shop.paid(1))
    with ledger.write() as connection:
        stores.record_ping(connection, patient.shop.store_id, clock.now())
    yield patient
    context.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An embedded bridge's data folder, with a ledger that is empty, and a key."""
    settings = load_settings({"data_dir": tmp_path})
    settings.make_key_file()
    ledger = Ledger(settings.ledger_url)
    ledger.upgrade()
    ledger.close()
    return tmp_path
