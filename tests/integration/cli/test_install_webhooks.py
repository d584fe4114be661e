"""`spacebridge stores install-webhooks` and `rotate-secret`, with a running bridge and a shop."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bridge.ledger.shop_webhooks import TOPICS
from tests.support.connected import connect_to
from tests.support.running import RunningBridge, run_command
from tests.support.servers import RedisServer, wait_until
from tests.support.shop_stand_in import ShopStandIn

STORE = "shop"


@pytest.fixture
def there() -> Iterator[ShopStandIn]:
    with ShopStandIn(zone="UTC") as there:
        yield there


@pytest.fixture
def connected(tmp_path: Path, redis_server: RedisServer, there: ShopStandIn) -> Iterator[RunningBridge]:
    """A store that is connected, in whose shop no webhook is left."""
    with RunningBridge(tmp_path, broker_url=redis_server.new_url()) as bridge:
        bridge.add_store(STORE, is_config_known=True)
        connect_to(bridge.ledger, bridge.vault, bridge.store(STORE).id, there, datetime.now(UTC))
        yield bridge


def command(bridge: RunningBridge, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in bridge.environment.items() if name != "TMPDIR"}
    return run_command(bridge.folder / "data", *arguments, **environment)


def install(bridge: RunningBridge, *arguments: str) -> Any:
    done = command(
        bridge, "stores", "install-webhooks", STORE, "--public-url", bridge.url, "--json", *arguments
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_from_no_webhook_to_orders_that_are_told_in_one_command(
    connected: RunningBridge, there: ShopStandIn
) -> None:
    assert [one["step"] for one in install(connected, "--dry-run")["webhooks"]] == ["make"] * 4
    assert there.webhooks() == []
    there.make_order()
    made = install(connected)
    assert [(one["topic"], one["step"]) for one in made["webhooks"]] == [(topic, "make") for topic in TOPICS]
    assert made["delivered"] is True
    assert [(one.topic, one.status, one.name) for one in there.webhooks()] == [
        (topic, "active", f"Spacebridge {STORE}") for topic in TOPICS
    ]
    there.make_order()
    wait_until(lambda: connected.sandbox()["counts"]["invoices"] == 2, "the invoices")
    assert {one["step"] for one in install(connected)["webhooks"]} == {"adopt"}
    assert len(there.webhooks()) == 4
    shown = command(connected, "stores", "install-webhooks", STORE, "--public-url", connected.url)
    assert f"{connected.url}/webhooks/{STORE}" in shown.stdout
    _rotate(connected, there)


def _rotate(connected: RunningBridge, there: ShopStandIn) -> None:
    """Another secret, which nobody has to enter anywhere."""
    before = {one.secret for one in there.webhooks()}
    done = command(connected, "stores", "rotate-secret", STORE, "--json")
    assert done.returncode == 0, done.stderr
    assert "written to the shop's webhooks" in done.stderr
    (secret,) = {one.secret for one in there.webhooks()}
    assert secret not in before
    assert secret == json.loads(done.stdout)["webhook_secret"]
    there.make_order()
    wait_until(lambda: connected.sandbox()["counts"]["invoices"] == 3, "the invoice under the new secret")


def test_what_stands_in_the_way_is_said_and_nothing_is_left(
    connected: RunningBridge, there: ShopStandIn
) -> None:
    nowhere = command(connected, "stores", "install-webhooks", STORE, "--public-url", "http://127.0.0.1:1")
    assert nowhere.returncode == 1
    assert "ping" in nowhere.stderr
    assert "nothing answers at 127.0.0.1:1" in nowhere.stderr
    unknown = command(connected, "stores", "install-webhooks", STORE)
    assert unknown.returncode == 1
    assert "SPACEBRIDGE_PUBLIC_URL" in unknown.stderr
    connected.add_store("other")
    other = command(connected, "stores", "install-webhooks", "other", "--public-url", connected.url)
    assert other.returncode == 1
    assert "spacebridge stores connect other" in other.stderr
    with there.down():
        away = command(connected, "stores", "install-webhooks", STORE, "--public-url", connected.url)
    assert away.returncode == 1
    assert "Traceback" not in away.stderr
    assert there.webhooks() == []
