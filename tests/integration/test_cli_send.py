"""`spacebridge deliveries send`: an order that got lost, or a sample, delivered as the shop would have."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bridge.ledger import stores
from tests.recorded import load
from tests.running import RunningBridge, run_command

ORDER = load("life-of-a-store")[4]


def send(bridge: RunningBridge, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_command(
        bridge.folder,
        *("deliveries", "send", *arguments, "--url", bridge.url),
        given=ORDER.body.decode(),
        **{**bridge.environment, **environment},
    )


@pytest.fixture
def woocommerce(bridge: RunningBridge) -> str:
    """The id in Space Invoices of a store named `shop`, the same for all of a bridge's tests."""
    with bridge.ledger.read() as connection:
        known = stores.find(connection, "shop")
    if known is not None:
        return known.woocommerce_id
    woocommerce_id = bridge.add_store("shop")
    bridge.wait_for_config("shop")
    return woocommerce_id


def test_a_sample_is_accepted_and_gets_its_invoice(bridge: RunningBridge, woocommerce: str) -> None:
    sent = send(bridge, "shop", "--sample")
    assert sent.returncode == 0, sent.stderr
    assert "accepted" in sent.stdout
    number = int(sent.stderr.split()[-1])
    bridge.wait_until_settled()
    assert bridge.issued(woocommerce)[number] == ["invoice"]


def test_an_order_in_a_file_is_delivered_once_however_often_it_is_sent(
    bridge: RunningBridge, woocommerce: str, tmp_path: Path
) -> None:
    (tmp_path / "order.json").write_bytes(ORDER.body)
    answers = [
        json.loads(send(bridge, "shop", source, "--json").stdout)
        for source in (str(tmp_path / "order.json"), "-")
    ]
    assert [answer["status"] for answer in answers] == ["accepted", "duplicate"]
    bridge.wait_until_settled()
    assert bridge.issued(woocommerce)[328] == ["estimate"]


def test_what_is_wrong_is_said_in_a_sentence(bridge: RunningBridge, woocommerce: str) -> None:
    away = {"SPACEBRIDGE_API_URL": "http://127.0.0.1:1/v1"}
    tried = {
        "FILE": (send(bridge, "shop"), 2),
        "/nowhere": (send(bridge, "shop", "/nowhere"), 2),
        "no store named nobody": (send(bridge, "nobody", "--sample"), 1),
        "would issue a real document": (send(bridge, "shop", "--sample", **away), 1),
    }
    for said, (command, status) in tried.items():
        assert (command.returncode, command.stdout) == (status, "")
        assert said in command.stderr
        assert "Traceback" not in command.stderr


def test_a_bridge_that_does_not_run_is_named(bridge: RunningBridge, woocommerce: str) -> None:
    tried = run_command(
        bridge.folder,
        *("deliveries", "send", "shop", "--sample", "--url", "http://127.0.0.1:1"),
        **bridge.environment,
    )
    assert tried.returncode == 1
    assert "No bridge answers at http://127.0.0.1:1/webhooks/shop" in tried.stderr
