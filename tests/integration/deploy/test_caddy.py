"""The Caddy that compose puts in front of the receiver: the repository's Caddyfile, and a real receiver."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sysconfig
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from bridge.ledger import deliveries
from tests import ROOT
from tests.support.recorded import load
from tests.support.running import RunningBridge, answers, sign
from tests.support.servers import RedisServer, free_port, wait_until

CADDY = Path(sysconfig.get_path("scripts")) / "caddy"
CADDYFILE = ROOT / "deploy" / "caddy" / "Caddyfile"
ORDER = load("life-of-a-store")[4]


@pytest.fixture(scope="module")
def bridge(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBridge]:
    folder = tmp_path_factory.mktemp("bridge")
    with RunningBridge(folder, broker_url=redis_server.new_url(), workers=0) as running:
        running.add_store("shop")
        yield running


@pytest.fixture(scope="module")
def caddy(bridge: RunningBridge, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_caddy(tmp_path_factory.mktemp("caddy"), bridge) as address:
        yield address


@contextmanager
def running_caddy(folder: Path, bridge: RunningBridge) -> Iterator[str]:
    """The address of a Caddy before the receivers: by http, on ports of its own, else as the file has it."""
    name = "dynamic a receiver 8080 {\n\t\t\t\trefresh 2s\n\t\t\t}"
    one = name.replace("receiver 8080", f"127.0.0.1 {bridge.receiver_port}")
    # Compose gives each receiver an address; here, each has a port.
    several = "to " + " ".join(url.removeprefix("http://") for url in bridge.urls)
    port, health_port = free_port(), free_port()
    config = folder / "Caddyfile"
    text = CADDYFILE.read_text()
    for found, wanted in [
        (name, several if len(bridge.urls) > 1 else one),
        ("http://127.0.0.1:2020", f"http://127.0.0.1:{health_port}"),
    ]:
        assert found in text
        text = text.replace(found, wanted)
    config.write_text(text)
    environment = {**os.environ, "DOMAIN": f"http://127.0.0.1:{port}", "HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [CADDY, "run", "--config", config, "--adapter", "caddyfile"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{health_port}/"), "a Caddy")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def deliver(address: str, body: bytes) -> requests.Response:
    headers = {"X-WC-Webhook-Topic": "order.updated", "X-WC-Webhook-Signature": sign(body)}
    return requests.post(f"{address}/webhooks/shop", data=body, headers=headers, timeout=60)


def new_order() -> bytes:
    return json.dumps({**ORDER.order(), "nonce": time.time_ns()}).encode()


def test_the_file_is_a_valid_configuration() -> None:
    command = [str(CADDY), "validate", "--config", str(CADDYFILE), "--adapter", "caddyfile"]
    environment = {**os.environ, "DOMAIN": "bridge.example.com"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_a_delivery_is_accepted_and_all_else_is_not_there(caddy: str) -> None:
    assert deliver(caddy, new_order()).json()["status"] == "accepted"
    for page in ("/metrics", "/readyz", "/"):
        assert requests.get(f"{caddy}{page}", timeout=10, allow_redirects=False).status_code == 404


def test_the_receivers_limit_is_the_one_that_counts(bridge: RunningBridge, caddy: str) -> None:
    largest = b" " * (8 * 2**20)
    assert deliver(caddy, largest).json()["status"] == "ignored"
    refused = deliver(caddy, largest + b" ")
    assert (refused.status_code, refused.json()["error"]) == (413, "body_too_large")


def test_a_client_that_waits_for_100_continue_is_told_to_go_on(caddy: str) -> None:
    body = new_order()
    host, port = caddy.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    connection.putrequest("POST", "/webhooks/shop")
    for name, value in [
        ("Content-Length", str(len(body))),
        ("X-WC-Webhook-Signature", sign(body)),
        ("Expect", "100-continue"),
    ]:
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.sock.recv(1000).startswith(b"HTTP/1.1 100 ")
    connection.send(body)
    assert json.loads(connection.getresponse().read())["status"] == "accepted"
    connection.close()


def test_a_delivery_waits_for_a_receiver_that_starts_anew_and_arrives_as_it_was_sent(
    bridge: RunningBridge, caddy: str
) -> None:
    body = new_order()
    found: list[requests.Response] = []
    bridge.parts["receiver"].stop()
    shop = threading.Thread(target=lambda: found.append(deliver(caddy, body)))
    shop.start()
    bridge.parts["receiver"].start()
    shop.join(60)
    assert [answer.status_code for answer in found] == [200]
    with bridge.ledger.read() as connection:
        kept = deliveries.get(connection, int(found[0].json()["delivery"]))
    assert kept is not None
    assert kept.body == body


def test_a_delivery_that_a_receiver_died_over_is_sent_to_the_next_as_it_was(
    bridge: RunningBridge, caddy: str
) -> None:
    body = new_order()
    found: list[requests.Response] = []
    bridge.parts["receiver"].stop()
    with socket.create_server(("127.0.0.1", bridge.receiver_port)) as dies:
        shop = threading.Thread(target=lambda: found.append(deliver(caddy, body)))
        shop.start()
        connection, _ = dies.accept()
        with connection, connection.makefile("rb") as request:
            while request.readline() != b"\r\n":
                pass
            assert request.read(len(body)) == body
    bridge.parts["receiver"].start()
    shop.join(60)
    assert [answer.status_code for answer in found] == [200], found[0].text
    with bridge.ledger.read() as ledger:
        kept = deliveries.get(ledger, int(found[0].json()["delivery"]))
    assert kept is not None
    assert kept.body == body
