"""`spacebridge deliveries send`: an order that got lost, or a sample, delivered as the shop would have."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bridge.db.tables import deliveries
from bridge.ledger import stores
from tests.support.recorded import load
from tests.support.running import RunningBridge, run_command

ORDER = load("life-of-a-store")[4]

# Of the bridge, the command sees the receiver alone: its database plays no part.
pytestmark = pytest.mark.parametrize("bridge", ["sqlite"], indirect=True)


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
        *("deliveries", "send", "shop", "--sample", "--url", "https://127.0.0.1:1"),
        **bridge.environment,
    )
    assert tried.returncode == 1
    assert "No bridge answers at https://127.0.0.1:1/webhooks/shop" in tried.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"no json", "is not JSON in UTF-8"),
        ('{"ž": 1}'.encode("iso8859-2"), "is not JSON in UTF-8"),
        (b"[" + ORDER.body + b"]", "is a list"),
        (b'"x"', "is no order"),
    ],
)
def test_a_file_that_holds_no_order_is_not_sent(
    bridge: RunningBridge, woocommerce: str, tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "order.json"
    file.write_bytes(content)
    before = bridge.count(deliveries, "received", "processed", "ignored", "failed")
    sent = send(bridge, "shop", str(file))
    assert (sent.returncode, sent.stdout) == (1, "")
    assert f"{file} {said}, and nothing is sent" in sent.stderr
    assert bridge.count(deliveries, "received", "processed", "ignored", "failed") == before


def test_what_the_bridge_has_no_use_for_fails_however_often_it_is_sent(
    bridge: RunningBridge, woocommerce: str, tmp_path: Path
) -> None:
    file = tmp_path / "order.json"
    file.write_text('{"a": "nothing of an order"}')
    for _ in range(2):
        sent = send(bridge, "shop", str(file), "--json")
        assert sent.returncode == 1
        assert "delivery" in json.loads(sent.stdout)
        assert sent.stderr.startswith("The bridge has kept the delivery, and issues nothing for it (")
        assert sent.stderr.count("\n") == 1


def test_the_mark_before_a_text_does_not_make_another_order_of_it(
    bridge: RunningBridge, woocommerce: str, tmp_path: Path
) -> None:
    body = json.dumps(json.loads(ORDER.body) | {"id": 424242, "order_key": "wc_order_marked"}).encode()
    for content, status in ((body, "accepted"), (b"\xef\xbb\xbf" + body, "duplicate")):
        (tmp_path / "order.json").write_bytes(content)
        assert (
            json.loads(send(bridge, "shop", str(tmp_path / "order.json"), "--json").stdout)["status"]
            == status
        )


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--url", "nonsense"),
        ("--url", "ftp://127.0.0.1"),
        ("--url", "http://127.0.0.1:99999"),
        ("--url", "http://ž:1"),
        ("--topic", "a\nb"),
        ("--topic", "ž"),
    ],
)
def test_an_address_or_a_topic_that_is_none_is_wrong_usage(
    bridge: RunningBridge, option: str, value: str
) -> None:
    tried = run_command(bridge.folder, "deliveries", "send", "shop", "--sample", option, value)
    assert (tried.returncode, tried.stdout) == (2, "")
    assert option in tried.stderr


def test_what_answers_and_is_no_bridge_is_named(bridge: RunningBridge, woocommerce: str) -> None:
    tried = run_command(
        bridge.folder,
        *("deliveries", "send", "shop", "--sample", "--url", bridge.sandbox_url),
        **bridge.environment,
    )
    assert tried.returncode == 1
    assert f"at {bridge.sandbox_url}/webhooks/shop is no bridge (HTTP 404)" in tried.stderr


def test_a_bridge_over_another_ledger_is_told_apart(
    bridge: RunningBridge, woocommerce: str, tmp_path: Path
) -> None:
    there = {"SPACEBRIDGE_DATABASE_URL": "", "SPACEBRIDGE_SECRET_KEY": ""}
    assert run_command(tmp_path, "db", "upgrade", **there).returncode == 0
    ids = ["--organization", "0" * 24, "--woocommerce", "0" * 24]
    added = run_command(
        tmp_path, "stores", "add", "shop", *ids, "--offline", "--token-file", "-", given="t\n", **there
    )
    assert added.returncode == 0, added.stderr
    tried = run_command(
        tmp_path, "deliveries", "send", "shop", "--sample", "--yes", "--url", bridge.url, **there
    )
    assert tried.returncode == 1
    assert (
        f"another ledger than the one that was looked at (SQLite, {tmp_path / 'ledger.db'})" in tried.stderr
    )
