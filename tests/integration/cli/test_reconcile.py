"""`spacebridge stores reconcile`, with a running bridge and a shop at the other end."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.db import tables
from bridge.ledger.shop_webhooks import TOPICS
from tests.support.connected import connect_to
from tests.support.running import SECRET, RunningBridge, run_command
from tests.support.servers import RedisServer, wait_until
from tests.support.shop_stand_in import ShopStandIn

STORE = "shop"


@pytest.fixture
def there() -> Iterator[ShopStandIn]:
    with ShopStandIn(zone="UTC") as there:
        yield there


@pytest.fixture
def connected(tmp_path: Path, redis_server: RedisServer, there: ShopStandIn) -> Iterator[RunningBridge]:
    with RunningBridge(tmp_path, broker_url=redis_server.new_url()) as bridge:
        bridge.add_store(STORE, is_config_known=True)
        an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
        with bridge.ledger.write() as connection:
            connection.execute(tables.stores.update().values(created_at=an_hour_ago, issue_from=None))
        for topic in TOPICS:
            there.make_webhook(topic, f"{bridge.url}/webhooks/{STORE}", secret=SECRET)
        connect_to(bridge.ledger, bridge.vault, bridge.store(STORE).id, there, datetime.now(UTC))
        wait_until(lambda: "compared with the shop" in bridge.log.read_text(), "the first round")
        yield bridge


def command(bridge: RunningBridge, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in bridge.environment.items() if name != "TMPDIR"}
    return run_command(bridge.folder / "data", *arguments, **environment)


def result(bridge: RunningBridge, *arguments: str) -> Any:
    done = command(bridge, "stores", "reconcile", STORE, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_no_webhook_told_is_shown_taken_over_and_issued(
    connected: RunningBridge, there: ShopStandIn
) -> None:
    ago = there.shop.clock() - 5 * 60  # long enough for its webhook to be late
    lost = there.make_order(is_silent=True, created=ago, modified=ago)
    rehearsed = result(connected, "--dry-run")
    assert [(one["order"], one["kind"], one["delivery"]) for one in rehearsed["found"]] == [
        (lost, "missing", None)
    ]
    done = command(connected, "stores", "reconcile", STORE)
    assert done.returncode == 0, done.stderr
    assert str(lost) in done.stdout
    assert "was not known" in done.stdout
    assert "not known" in done.stdout
    wait_until(lambda: connected.sandbox()["counts"]["invoices"] == 1, "the invoice")
    assert result(connected)["found"] == []
    explained = command(connected, "orders", "explain", STORE, str(lost))
    assert "came by reconcile, 5 minutes after the change (the webhook: not known)" in " ".join(
        explained.stdout.split()
    )


def test_a_shop_that_cannot_be_asked_is_said_and_nothing_is_passed_over(
    connected: RunningBridge, there: ShopStandIn
) -> None:
    with there.down():
        done = command(connected, "stores", "reconcile", STORE)
    assert done.returncode == 1
    assert "127.0.0.1" in done.stderr
    assert "nothing is passed over" in done.stderr
    assert "Traceback" not in done.stderr
    assert there.consumer_secret not in done.stderr + done.stdout
    assert result(connected, "--full")["found"] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--since", "yesterday-ish"], "is no date"),
        (["--since", "2100-01-01"], "lies ahead"),
        (["--nothing-missing", "--full"], "goes with no other option"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(
    connected: RunningBridge, arguments: list[str], says: str
) -> None:
    done = command(connected, "stores", "reconcile", STORE, *arguments)
    assert done.returncode == 2
    assert says in done.stderr


def test_a_store_whose_shop_is_not_connected_is_told_how_to_connect_it(connected: RunningBridge) -> None:
    connected.add_store("other")
    done = command(connected, "stores", "reconcile", "other")
    assert done.returncode == 1
    assert "spacebridge stores connect other" in done.stderr
    settled = command(connected, "stores", "reconcile", "other", "--nothing-missing")
    assert settled.returncode == 0
    assert "Nothing is changed" in settled.stdout
