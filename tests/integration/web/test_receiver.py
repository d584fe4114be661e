"""Every answer of the web process, asked for over HTTP."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from bridge.ledger import deliveries, stores
from tests.support.recorded import load
from tests.support.running import RunningBridge, answers, sign
from tests.support.servers import PostgresServer, RedisServer, wait_until

ORDER = load("life-of-a-store")[4]
MEBIBYTE = 2**20


@pytest.fixture
def store(bridge: RunningBridge, request: pytest.FixtureRequest) -> str:
    """A store of the test's own, with no config in reach of what it does."""
    name = f"s{abs(hash(request.node.nodeid))}"
    bridge.add_store(name)
    return name


def test_a_signed_delivery_is_accepted_and_its_body_kept_byte_for_byte(
    bridge: RunningBridge, store: str
) -> None:
    answer = bridge.deliver(store, ORDER.body, ORDER.headers)
    assert answer.status_code == 200
    assert answer.json()["status"] == "accepted"
    with bridge.ledger.read() as connection:
        kept = deliveries.get(connection, int(answer.json()["delivery"]))
    assert kept is not None
    assert kept.body == ORDER.body


def test_a_repeat_of_the_same_body_is_a_duplicate_of_the_same_delivery(
    bridge: RunningBridge, store: str
) -> None:
    first = bridge.deliver(store, ORDER.body, ORDER.headers).json()
    headers = {**ORDER.headers, "X-WC-Webhook-Delivery-ID": "another", "X-WC-Webhook-Topic": "order.updated"}
    assert bridge.deliver(store, ORDER.body, headers).json() == first | {"status": "duplicate"}


def test_the_same_body_is_another_delivery_at_another_store(bridge: RunningBridge, store: str) -> None:
    bridge.add_store(f"{store}b")
    first = bridge.deliver(store, ORDER.body, ORDER.headers).json()
    second = bridge.deliver(f"{store}b", ORDER.body, ORDER.headers).json()
    assert second["status"] == "accepted"
    assert second["delivery"] != first["delivery"]


def test_a_ping_is_answered_200_and_changes_nothing_but_the_last_ping(
    bridge: RunningBridge, store: str
) -> None:
    answer = requests.post(f"{bridge.url}/webhooks/{store}", data={"webhook_id": "7"}, timeout=5)
    assert answer.status_code == 200
    with bridge.ledger.read() as connection:
        found = stores.find(connection, store)
        assert found is not None
        assert found.last_ping_at is not None
        assert deliveries.listed(connection, store=store) == []


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (ORDER.body, {"X-WC-Webhook-Signature": sign(ORDER.body, "another secret")}),
        (ORDER.body + b" ", {"X-WC-Webhook-Signature": sign(ORDER.body)}),
        (ORDER.body, {"X-WC-Webhook-Signature": ""}),
        (ORDER.body, {}),
        (b"webhook_id=7&x=1", {}),  # no ping
        (b"webhook_id=7", {"X-WC-Webhook-Signature": "x"}),
        (b"", {}),
    ],
)
def test_what_is_not_signed_by_the_store_is_refused_and_not_recorded(
    bridge: RunningBridge, store: str, body: bytes, headers: dict[str, str]
) -> None:
    answer = requests.post(f"{bridge.url}/webhooks/{store}", data=body, headers=headers, timeout=5)
    assert answer.status_code == 401
    assert answer.json()["error"] == "wrong_signature"
    with bridge.ledger.read() as connection:
        assert deliveries.listed(connection, store=store) == []


def test_an_unknown_store_is_404_whatever_is_sent(bridge: RunningBridge) -> None:
    answer = bridge.deliver("nobody", ORDER.body * 200, ORDER.headers)
    assert answer.status_code == 404
    assert answer.json()["error"] == "unknown_store"


@pytest.mark.parametrize("name", ["a%00b", "..%2f", "%ff", "A", "x" * 64, "%F0%9F%98%80"])
def test_a_name_that_no_store_can_have_is_404(bridge: RunningBridge, name: str) -> None:
    assert requests.post(f"{bridge.url}/webhooks/{name}", data=b"x", timeout=5).status_code == 404


def test_a_slash_after_the_name_makes_no_other_address(bridge: RunningBridge, store: str) -> None:
    sent = [bridge.deliver(f"{store}{slash}", ORDER.body, ORDER.headers).json() for slash in ("/", "", "/")]
    assert [answer["status"] for answer in sent] == ["accepted", "duplicate", "duplicate"]
    ping = requests.post(f"{bridge.url}/webhooks/{store}/", data={"webhook_id": "7"}, timeout=5)
    assert (ping.status_code, ping.json()) == (200, {"status": "pong"})
    unknown = requests.post(f"{bridge.url}/webhooks/nobody/", data=b"x", timeout=5)
    assert (unknown.status_code, unknown.json()["error"]) == (404, "unknown_store")


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "PUT", "PATCH", "DELETE"])
def test_other_methods_are_told_what_this_address_is(
    bridge: RunningBridge, store: str, method: str, slash: str
) -> None:
    answer = requests.request(method, f"{bridge.url}/webhooks/{store}{slash}", timeout=5)
    assert answer.status_code == 405
    assert "WooCommerce" in answer.json()["message"]


def test_an_address_that_is_not_there_is_404_in_json(bridge: RunningBridge) -> None:
    answer = requests.get(f"{bridge.url}/nowhere", timeout=5)
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")


def test_a_body_of_the_largest_size_is_accepted(bridge: RunningBridge, store: str) -> None:
    body = b" " * (8 * MEBIBYTE)
    assert bridge.deliver(store, body).json()["status"] == "ignored"


def test_a_body_over_the_limit_is_413_before_it_is_read(bridge: RunningBridge, store: str) -> None:
    body = b" " * (8 * MEBIBYTE + 1)
    answer = bridge.deliver(store, body)
    assert answer.status_code == 413
    assert answer.json()["error"] == "body_too_large"


def test_a_chunked_body_over_the_limit_is_413_too(bridge: RunningBridge, store: str) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(9):
            yield b" " * MEBIBYTE

    answer = requests.post(
        f"{bridge.url}/webhooks/{store}", data=chunks(), headers={"X-WC-Webhook-Signature": "x"}, timeout=30
    )
    assert answer.status_code == 413


def test_a_client_that_waits_for_100_continue_is_told_to_go_on(bridge: RunningBridge, store: str) -> None:
    head = (
        f"POST /webhooks/{store} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(ORDER.body)}\r\n"
        f"X-WC-Webhook-Signature: {sign(ORDER.body)}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", bridge.receiver_port), timeout=10) as client:
        client.sendall(head.encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 100")
        client.sendall(ORDER.body)
        assert http.client.HTTPResponse(client).fp.readline().startswith(b"HTTP/1.1 200")


def nested(opening: bytes, closing: bytes) -> bytes:
    return opening * 100_000 + closing * 100_000


def changed(**fields: object) -> bytes:
    return json.dumps({**ORDER.order(), **fields}).encode()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="broken JSON"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xfe\x00", id="not UTF-8"),
        pytest.param(nested(b"[", b"]"), id="100,000 nested lists"),
        pytest.param(nested(b'{"a":', b"}").replace(b":}", b":1}", 1), id="100,000 nested objects"),
        pytest.param(b"null", id="null"),
        pytest.param(b"1" * 6000, id="a number of 6,000 digits"),
        pytest.param(changed(id=int("9" * 400)), id="an id of 400 digits"),
        pytest.param(changed(id=2**63), id="an id that no column holds"),
        pytest.param(changed(id="328"), id="an id in quotes"),
        pytest.param(changed(status="on\0hold"), id="NUL in the status"),
        pytest.param(changed(order_key="wc_\ud800"), id="a lone surrogate in the key"),
        pytest.param(changed(number="\ud800\0"), id="both in the number"),
        pytest.param(changed(currency="\ud800", total="\0"), id="both in the amount"),
        pytest.param(changed(billing={"first_name": "\0\ud800"}), id="both in the name"),
        pytest.param(changed(status=["on-hold"], total={}, currency=1), id="wrong types"),
        pytest.param(changed(total=float("nan")), id="a total that is no number"),
        pytest.param(changed(date_modified_gmt="9999-99-99"), id="a date that is none"),
        pytest.param(changed(date_modified_gmt=None, date_modified="0001-01-01T00:00:00+14:00"), id="year 1"),
        pytest.param(b'{"id":1e400}', id="infinity"),
        pytest.param(b'{"data":{"status":{}},"code":[]}', id="an odd error"),
    ],
)
def test_a_signed_delivery_gets_200_whatever_is_in_it(bridge: RunningBridge, store: str, body: bytes) -> None:
    answer = bridge.deliver(store, body)
    assert answer.status_code == 200, answer.text
    assert bridge.deliver(store, body).json()["status"] == "duplicate"

    def is_done() -> bool:
        with bridge.ledger.read() as connection:
            (delivery,) = deliveries.listed(connection, store=store)
        assert delivery.state != "failed", delivery.reason
        return delivery.state in {"processed", "ignored", "unreadable"}

    wait_until(is_done, "the processing of the delivery")


@pytest.mark.parametrize("topic", ["", "order.updated\xff", "x" * 5000, "order.created', 1); --"])
def test_headers_of_any_kind_cost_no_order(bridge: RunningBridge, store: str, topic: str) -> None:
    headers = {"X-WC-Webhook-Topic": topic, "X-WC-Webhook-Delivery-ID": topic, "X-WC-Webhook-Source": topic}
    assert bridge.deliver(store, ORDER.body, headers).json()["status"] == "accepted"


def test_health_readiness_metrics_and_the_front_page_answer(bridge: RunningBridge) -> None:
    assert requests.get(f"{bridge.url}/healthz", timeout=5).json() == {"status": "alive"}
    ready = requests.get(f"{bridge.url}/readyz", timeout=5).json()
    assert (ready["status"], ready["ledger"]) == ("ready", "ready")
    bridge.wait_until_settled()
    assert "spacebridge_deliveries_unprocessed 0.0" in requests.get(f"{bridge.url}/metrics", timeout=5).text
    front = requests.get(f"{bridge.url}/", timeout=5)
    assert front.status_code == 200
    assert "It is ready." in front.text


def test_no_secret_is_in_a_log_or_in_clear_in_the_data_folder(bridge: RunningBridge, store: str) -> None:
    bridge.deliver(store, ORDER.body, ORDER.headers)
    bridge.deliver(store, ORDER.body, {"X-WC-Webhook-Signature": "wrong"})
    bridge.wait_until_settled()
    with bridge.ledger.read() as connection:
        found = stores.find(connection, store)
    assert found is not None
    secrets = [bridge.token, found.webhook_secret(bridge.vault), bridge.environment["SPACEBRIDGE_SECRET_KEY"]]
    personal = ["ana.kovac@example.test", "+386 40 123 456"]
    files = [path for path in bridge.folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        for secret in [*secrets, *(personal if path == bridge.log else [])]:
            if path == bridge.log and secret == bridge.token:
                # The sandbox prints its token at start, for whoever wants to use it.
                content = b"\n".join(line for line in content.splitlines() if not line.startswith(b"token "))
            assert secret.encode() not in content, path


@dataclass
class Alone:
    """A bridge whose servers are nobody else's, and may be killed."""

    bridge: RunningBridge
    redis: RedisServer
    postgres: PostgresServer


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    folder = tmp_path_factory.mktemp("alone")
    with (
        RedisServer() as redis,
        PostgresServer() as postgres,
        RunningBridge(folder, database_url=postgres.url, broker_url=redis.new_url()) as bridge,
    ):
        yield Alone(bridge, redis, postgres)


def test_a_broker_that_is_down_costs_no_200_and_no_document(alone: Alone) -> None:
    bridge = alone.bridge
    woocommerce = bridge.add_store("no-broker")
    bridge.wait_for_config("no-broker")
    alone.redis.kill()
    for number in range(50):
        answer = bridge.deliver("no-broker", changed(id=1000 + number))
        assert answer.json()["status"] == "accepted"
    assert requests.get(f"{bridge.url}/readyz", timeout=5).status_code == 200
    alone.redis.start()
    bridge.wait_until_settled()
    assert bridge.issued(woocommerce) == {1000 + number: ["estimate"] for number in range(50)}


def assert_nothing_is_acknowledged(bridge: RunningBridge, store: str) -> None:
    answer = bridge.deliver(store, ORDER.body, ORDER.headers)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["error"] == "ledger_unavailable"
    assert requests.get(f"{bridge.url}/readyz", timeout=30).status_code == 503
    assert requests.get(f"{bridge.url}/healthz", timeout=30).status_code == 200


def test_nothing_is_acknowledged_while_the_ledgers_file_cannot_be_opened(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    with RunningBridge(tmp_path, broker_url=redis_server.new_url(), workers=0) as bridge:
        bridge.add_store("shop")
        bridge.parts["receiver"].stop()
        (tmp_path / "data").rename(tmp_path / "away")
        bridge.parts["receiver"].start()
        wait_until(lambda: answers(f"{bridge.url}/healthz"), "a receiver")
        assert_nothing_is_acknowledged(bridge, "shop")


def test_nothing_is_acknowledged_while_postgresql_is_away_and_all_is_when_it_is_back(alone: Alone) -> None:
    bridge = alone.bridge
    woocommerce = bridge.add_store("no-ledger")
    bridge.wait_for_config("no-ledger")
    assert bridge.deliver("no-ledger", ORDER.body, ORDER.headers).json()["status"] == "accepted"
    bridge.wait_until_settled()
    alone.postgres.kill()
    assert_nothing_is_acknowledged(bridge, "no-ledger")
    alone.postgres.start()
    wait_until(lambda: answers(f"{bridge.url}/readyz"), "a ready receiver")
    assert bridge.deliver("no-ledger", changed(id=329)).json()["status"] == "accepted"
    bridge.wait_until_settled()
    assert bridge.issued(woocommerce) == {328: ["estimate"], 329: ["estimate"]}
