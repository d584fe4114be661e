"""Clients that are slow, silent or greedy, and what a good delivery meets beside a hundred of them."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import requests

from bridge.ledger import deliveries
from bridge.web import gunicorn_worker
from tests.support.recorded import load
from tests.support.running import Process, RunningBridge, answers, sign
from tests.support.servers import START_WITHIN, RedisServer, free_port, wait_until

ORDER = load("life-of-a-store")[4]
AT_ONCE = 100
DELAY_AT_MOST = 2.0  # seconds

HEAD = b"POST /webhooks/slow HTTP/1.1\r\nHost: bridge\r\nContent-Length: 5000\r\n"
LARGE = b"POST /webhooks/slow HTTP/1.1\r\nHost: bridge\r\nContent-Length: %d\r\n\r\n" % 2**20
CHUNKED = b"POST /webhooks/slow HTTP/1.1\r\nHost: bridge\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def bridge(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBridge]:
    """One with the embedded database: which it is makes no difference to who waits for whom at the door."""
    folder = tmp_path_factory.mktemp("bridge")
    with RunningBridge(folder, broker_url=redis_server.new_url(), workers=0) as running:
        running.add_store("slow")
        yield running


class Crowd:
    """Many connections that send the same, and then go on with a byte now and then if they drip."""

    def __init__(self, port: int, opening: bytes, drip: bytes = b"", *, window: int | None = None) -> None:
        self._stack = ExitStack()
        self.clients: list[socket.socket] = []
        for _ in range(AT_ONCE):
            client = self._stack.enter_context(socket.socket())
            if window is not None:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            client.settimeout(10)
            client.connect(("127.0.0.1", port))
            client.sendall(opening)
            self.clients.append(client)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._drip, args=(drip,))
        self._thread.start()

    def _drip(self, drip: bytes) -> None:
        while drip and not self._is_over.wait(0.1):
            for client in self.clients:
                with suppress(OSError):
                    client.send(drip)

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._stack.close()


def slowest_delivery(url: str) -> float:
    """Seconds of the slowest of a few good deliveries, each over a connection of its own, as shops do."""
    times = []
    for _ in range(5):
        body = json.dumps({**ORDER.order(), "nonce": time.time_ns()}).encode()
        begun_at = time.monotonic()
        answer = requests.post(
            f"{url}/webhooks/slow", data=body, headers={"X-WC-Webhook-Signature": sign(body)}, timeout=30
        )
        times.append(time.monotonic() - begun_at)
        assert answer.json()["status"] == "accepted"
    return max(times)


def assert_hardly_delayed(url: str, crowd: Callable[[], Crowd]) -> None:
    alone = slowest_delivery(url)
    with crowd():
        assert slowest_delivery(url) - alone < DELAY_AT_MOST


@pytest.mark.parametrize(
    ("opening", "drip"),
    [
        pytest.param(HEAD + b"\r\n{", b"", id="a byte of the body"),
        pytest.param(HEAD + b"\r\n{", b" ", id="a body that drips"),
        pytest.param(HEAD, b"", id="half a head"),
        pytest.param(HEAD, b"X-A: b\r\n", id="a head that never ends"),
        pytest.param(CHUNKED + b"10\r\n", b" ", id="a chunk that drips"),
        pytest.param(CHUNKED, b"1\r\n \r\n", id="chunks without end"),
        pytest.param(HEAD + b"Expect: 100-continue\r\n\r\n", b"", id="a wait for 100 and no body"),
        pytest.param(
            b"POST /webhooks/slow HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", b" ", id="too much"
        ),
        pytest.param(b"", b"", id="nothing"),
        pytest.param(b"GET /healthz HTTP/1.0\r\n\r\n", b"", id="answered, and not closed"),
        pytest.param(
            b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"G", id="answered, and the next one drips"
        ),
        pytest.param(b"nonsense\r\n\r\n", b" ", id="refused, and not closed"),
    ],
)
def test_a_good_delivery_is_hardly_delayed_by_a_hundred_connections_that_send(
    bridge: RunningBridge, opening: bytes, drip: bytes
) -> None:
    assert_hardly_delayed(bridge.url, lambda: Crowd(bridge.receiver_port, opening, drip))


def test_a_good_delivery_is_hardly_delayed_by_a_hundred_connections_that_read_no_answer(
    bridge: RunningBridge,
) -> None:
    asks = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    assert_hardly_delayed(bridge.url, lambda: Crowd(bridge.receiver_port, asks, window=1024))


# With deadlines of seconds, and few places.


@pytest.fixture(scope="module")
def impatient(
    bridge: RunningBridge, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Process, int]]:
    """Another receiver over the same ledger, and its port."""
    with impatient_receiver(bridge, tmp_path_factory.mktemp("impatient")) as running:
        yield running


@contextmanager
def impatient_receiver(bridge: RunningBridge, folder: Path, *options: str) -> Iterator[tuple[Process, int]]:
    port = free_port()
    arguments = [
        "gunicorn",
        "--config",
        "python:tests.support.impatient_receiver",
        "--bind",
        f"127.0.0.1:{port}",
        *options,
    ]
    environment = {**bridge.environment, "SPACEBRIDGE_MAX_BODY_BYTES": str(2**20)}
    receiver = Process(arguments, environment, folder / "log")
    receiver.start()
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), "a receiver")
        yield receiver, port
    finally:
        receiver.stop()


@contextmanager
def dripping(client: socket.socket, drip: bytes) -> Iterator[None]:
    is_over = threading.Event()

    def run() -> None:
        while not is_over.wait(0.05):
            with suppress(OSError):
                client.send(drip)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@pytest.mark.parametrize(
    ("opening", "drip"),
    [
        pytest.param(b"POST /webhooks/slow HTTP/1.1\r\nX-Slow: ", b"a", id="head"),
        pytest.param(HEAD + b"\r\n{", b" ", id="body"),
        pytest.param(CHUNKED, b"1\r\n \r\n", id="chunks"),
        pytest.param(HEAD + b"\r\n{", b"", id="body that stops"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /he", b"a", id="next request's head"),
    ],
)
def test_a_request_that_does_not_arrive_whole_in_time_is_cut_off_with_408(
    impatient: tuple[Process, int], opening: bytes, drip: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", impatient[1]), timeout=20) as client:
        client.sendall(opening)
        with dripping(client, drip):
            if b"/healthz" in opening:
                first = http.client.HTTPResponse(client)
                first.begin()
                assert first.read() == b'{"status":"alive"}\n'
            answer = http.client.HTTPResponse(client)
            answer.begin()
            assert answer.status == 408
            assert answer.headers["Content-Type"] == "application/json"
            problem = json.loads(answer.read())
    assert problem.keys() == {"error", "message"}
    assert problem["error"] == "request_timeout"
    metrics = requests.get(f"http://127.0.0.1:{impatient[1]}/metrics", timeout=10).text
    assert re.search(r'deliveries_total\{outcome="cut_off",store=""\} [1-9]', metrics)


def test_a_connection_that_sends_nothing_is_closed_without_a_word(impatient: tuple[Process, int]) -> None:
    with socket.create_connection(("127.0.0.1", impatient[1]), timeout=20) as client:
        assert client.recv(1000) == b""


def test_a_request_that_is_slow_and_in_time_is_answered(
    bridge: RunningBridge, impatient: tuple[Process, int]
) -> None:
    body = json.dumps({**ORDER.order(), "nonce": time.time_ns()}).encode()
    head = b"POST /webhooks/slow HTTP/1.1\r\nContent-Length: %d\r\nX-WC-Webhook-Signature: %s\r\n\r\n" % (
        len(body),
        sign(body).encode(),
    )
    with socket.create_connection(("127.0.0.1", impatient[1]), timeout=20) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = head + body
        for at in range(0, len(request), 97):
            client.sendall(request[at : at + 97])
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert answer.status == 200
        delivery = int(json.loads(answer.read())["delivery"])
    with bridge.ledger.read() as connection:
        kept = deliveries.get(connection, delivery)
    assert kept is not None
    assert kept.body == body


@pytest.mark.parametrize(
    "opening",
    [
        HEAD + b"\r\n{",
        HEAD,
        b"",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.0\r\n\r\n",
    ],
    ids=["half a body", "half a head", "nothing", "idle after an answer", "not closed after an answer"],
)
def test_more_connections_than_there_are_places_make_room_for_a_good_delivery(
    impatient: tuple[Process, int], opening: bytes
) -> None:
    port = impatient[1]
    assert_hardly_delayed(f"http://127.0.0.1:{port}", lambda: Crowd(port, opening))


def test_bodies_that_would_fill_the_memory_are_cut_off_and_a_good_delivery_is_not(
    impatient: tuple[Process, int],
) -> None:
    with ExitStack() as stack:
        clients = []
        for _ in range(20):  # of a mebibyte less one byte each, for two processes that take four each
            client = stack.enter_context(socket.create_connection(("127.0.0.1", impatient[1]), timeout=20))
            with suppress(OSError):
                client.sendall(LARGE + b" " * (2**20 - 1))
            clients.append(client)
        slowest_delivery(f"http://127.0.0.1:{impatient[1]}")
        for client in clients:
            with suppress(ConnectionResetError):
                assert client.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_a_receiver_that_is_told_to_stop_waits_for_no_silent_client(
    bridge: RunningBridge, tmp_path: Path
) -> None:
    # It would wait longer for requests under way, of which there are none.
    patient = ("--graceful-timeout", f"{2 * START_WITHIN:.0f}")
    with impatient_receiver(bridge, tmp_path, *patient) as (receiver, port), Crowd(port, b""):
        assert receiver.process is not None
        os.kill(receiver.process.pid, signal.SIGTERM)
        assert receiver.process.wait(START_WITHIN) == 0


def test_woocommerce_is_answered_before_it_gives_up() -> None:
    give_up_after = 60  # seconds: wp_safe_remote_request in WC_Webhook::deliver
    assert give_up_after > gunicorn_worker.HEAD_WITHIN + gunicorn_worker.BODY_WITHIN + 10


# Requests over one connection.


def test_deliveries_follow_each_other_on_one_connection(bridge: RunningBridge) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", bridge.receiver_port, timeout=20)
    for number in range(3):
        body = json.dumps({**ORDER.order(), "id": 2000 + number}).encode()
        headers = {"X-WC-Webhook-Signature": sign(body)}
        connection.request("POST", "/webhooks/slow", body, headers)
        answer = connection.getresponse()
        assert json.loads(answer.read())["status"] == "accepted"
        used = connection.sock
        connection.request("POST", "/webhooks/slow", iter([body[:50], body[50:]]), headers)
        answer = connection.getresponse()
        assert json.loads(answer.read())["status"] == "duplicate"
        assert connection.sock is used
    connection.close()


def test_requests_that_are_sent_without_waiting_are_answered_in_their_order(bridge: RunningBridge) -> None:
    pages = ["/healthz", "/nowhere", "/webhooks/slow", "/healthz"]
    with socket.create_connection(("127.0.0.1", bridge.receiver_port), timeout=20) as client:
        client.sendall(b"".join(f"GET {page} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for page in pages))
        statuses = []
        stream = client.makefile("rb")
        for _ in pages:
            statuses.append(int(stream.readline().split()[1]))
            headers = http.client.parse_headers(stream)
            stream.read(int(headers["Content-Length"]))
    assert statuses == [200, 404, 405, 200]


def test_a_body_that_is_too_large_is_refused_before_it_is_asked_for(bridge: RunningBridge) -> None:
    head = "POST /webhooks/slow HTTP/1.1\r\nContent-Length: 9000000\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", bridge.receiver_port), timeout=20) as client:
        client.sendall(head.encode())
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert (answer.status, answer.headers["Connection"]) == (413, "close")
