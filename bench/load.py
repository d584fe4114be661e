"""The load: signed deliveries, each over a connection of its own, sent by a process of its own.

WooCommerce opens a connection for each delivery. So does this, with raw sockets and one thread, since what
it takes of the machine is missing to whatever is measured. `python -m bench.load` reads a job as JSON on
standard input, prepares every request, sends them, and writes what it saw.
"""

from __future__ import annotations

import base64
import hmac
import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Job:
    """What to send: `count` orders from `first` on, to one store after the other.

    In a closed loop, so many `connections` at a time; or, if a `rate` is given, so many a second, whatever
    is answered. `warm_up` orders more go first and are not counted. `place` stands in the template for the
    number.
    """

    port: int
    stores: Sequence[str]
    secret: str
    template: str
    place: str
    first: int
    count: int
    connections: int = 1
    rate: float | None = None
    warm_up: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was seen: times in seconds. Of an order that was sent at a rate, also when it was (since 1970)."""

    answers_a_second: float
    p50: float
    p99: float
    sent_at: Sequence[float] = field(default_factory=list)


class LoadError(Exception):
    """Something was answered with another status than 200, or not at all; the message says what."""


def send(job: Job) -> Outcome:
    """Carry a job out in a process of its own; raises LoadError."""
    return Sending(job).outcome()


class Sending:
    """A job under way."""

    def __init__(self, job: Job) -> None:
        """Begin."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._job = json.dumps(asdict(job))

    def outcome(self) -> Outcome:
        """Wait for the end; raises LoadError."""
        output, errors = self._process.communicate(self._job)
        if self._process.returncode:
            raise LoadError(errors.strip().rpartition("\n")[2])
        return Outcome(**json.loads(output))


def quantile(values: Sequence[float], share: float) -> float:
    """The value that so large a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(slots=True)
class _Request:
    """One request under way: where it is in the job, when it began by time.perf_counter, what has come."""

    socket: socket.socket
    position: int
    began: float
    answer: bytes = b""

    def is_answered(self) -> bool:
        head, end, body = self.answer.partition(b"\r\n\r\n")
        if not end:
            return False
        _, found, rest = head.lower().partition(b"content-length:")
        return bool(found) and len(body) >= int(rest.partition(b"\r")[0])


class _Sender:
    """Sends prepared requests and waits for their answers."""

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self._address = ("127.0.0.1", port)
        self._requests = requests
        self._poll = select.epoll()
        self._under_way: dict[int, _Request] = {}
        self._next = 0
        self.latencies = [0.0] * len(requests)
        self.seconds = 0.0

    def run(self, may_begin: Callable[[int, int], float]) -> None:
        """Send all. `may_begin` is given how many have begun and are under way.

        It returns in how many seconds the next may begin: 0 for now, less than 0 for not before an answer.
        """
        start = time.perf_counter()
        while self._next < len(self._requests) or self._under_way:
            wait = -1.0
            while self._next < len(self._requests):
                wait = may_begin(self._next, len(self._under_way))
                if wait != 0:
                    break
                self._begin()
                wait = -1.0
            for descriptor, _ in self._poll.poll(wait if wait > 0 else None):
                self._read(descriptor)
        self.seconds = time.perf_counter() - start

    def _begin(self) -> None:
        began = time.perf_counter()
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.connect(self._address)  # on this machine, that is done when the kernel has noted it
        connection.sendall(self._requests[self._next])
        self._under_way[connection.fileno()] = _Request(connection, self._next, began)
        self._poll.register(connection, select.EPOLLIN)
        self._next += 1

    def _read(self, descriptor: int) -> None:
        request = self._under_way[descriptor]
        piece = request.socket.recv(65536)
        request.answer += piece
        if piece and not request.is_answered():
            return
        self.latencies[request.position] = time.perf_counter() - request.began
        request.socket.close()  # which takes it out of the poll, too
        del self._under_way[descriptor]
        if not request.answer.startswith(b"HTTP/1.1 200"):
            raise LoadError(f"answered with {request.answer[:300]!r}")


def _requests(job: Job, first: int, count: int) -> Sequence[bytes]:
    made = []
    for number in range(first, first + count):
        body = job.template.replace(job.place, str(number)).encode()
        signature = base64.b64encode(hmac.digest(job.secret.encode(), body, "sha256")).decode()
        head = (
            f"POST /webhooks/{job.stores[number % len(job.stores)]} HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{job.port}\r\n"
            "User-Agent: WooCommerce/9.9.5 Hookshot (WordPress/6.9)\r\n"
            "Accept: */*\r\n"
            "Accept-Encoding: deflate, gzip, br, zstd\r\n"
            "Content-Type: application/json\r\n"
            "X-WC-Webhook-Source: https://shop.example/\r\n"
            "X-WC-Webhook-Topic: order.created\r\n"
            "X-WC-Webhook-Resource: order\r\n"
            "X-WC-Webhook-Event: created\r\n"
            f"X-WC-Webhook-Signature: {signature}\r\n"
            "X-WC-Webhook-ID: 1\r\n"
            f"X-WC-Webhook-Delivery-ID: {number:032x}\r\n"
            "Connection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


def _carry_out(job: Job) -> Outcome:
    warm_up = _Sender(job.port, _requests(job, job.first, job.warm_up))
    sender = _Sender(job.port, _requests(job, job.first + job.warm_up, job.count))

    def in_a_closed_loop(_: int, under_way: int) -> float:
        return 0 if under_way < job.connections else -1

    warm_up.run(in_a_closed_loop)
    if job.rate is None:
        sender.run(in_a_closed_loop)
        sent_at: Sequence[float] = []
    else:
        start, interval = time.perf_counter(), 1 / job.rate
        since_1970 = time.time()
        sender.run(lambda begun, _: max(0.0, start + begun * interval - time.perf_counter()))
        sent_at = [since_1970 + begun * interval for begun in range(job.count)]
    return Outcome(
        answers_a_second=job.count / sender.seconds,
        p50=quantile(sender.latencies, 0.5),
        p99=quantile(sender.latencies, 0.99),
        sent_at=sent_at,
    )


if __name__ == "__main__":
    json.dump(asdict(_carry_out(Job(**json.load(sys.stdin)))), sys.stdout)
