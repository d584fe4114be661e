"""A server on loopback that behaves as a test tells it to, and keeps what it read."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# Bytes, and few, so that a client cannot be rid of a large body that nobody reads.
RECEIVE_BUFFER = 64 * 1024
PATIENCE = 10.0  # seconds for a client that fails its test and says nothing


@dataclass
class Request:
    """A request as far as it was read."""

    head: bytes
    body: bytearray = field(default_factory=bytearray)

    @property
    def length(self) -> int:
        """How long its body is said to be."""
        found = re.search(rb"\r\ncontent-length: (\d+)\r\n", self.head, re.IGNORECASE)
        return int(found[1]) if found else 0

    @property
    def is_whole(self) -> bool:
        """Whether all of its body was read."""
        return len(self.body) >= self.length


class Visit:
    """One connection, as the server has it. What it does to a client that has gone raises OSError."""

    def __init__(self, connection: socket.socket, is_over: threading.Event) -> None:
        self._connection = connection
        self._connection.settimeout(PATIENCE)
        # What is said goes out at once, so that a reset comes after it and not in its place.
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._is_over = is_over
        self.read = bytearray()
        self.requests: list[Request] = []
        self.has_ended = threading.Event()
        self.client_left_first = False

    def begin_tls(self, context: ssl.SSLContext) -> None:
        self._connection = context.wrap_socket(self._connection, server_side=True)

    def close(self) -> None:
        self._connection.close()

    def receive(self) -> bytes:
        """What has come, and at least a byte."""
        data = self._connection.recv(64 * 1024)
        if not data:
            raise ConnectionError("the client has gone")
        self.read += data
        return data

    def receive_head(self) -> Request:
        """Read up to the end of a request's head; the body's beginning may come with it."""
        data = self.receive()
        while b"\r\n\r\n" not in data:
            data += self.receive()
        head, _, body = data.partition(b"\r\n\r\n")
        self.requests.append(Request(head + b"\r\n", bytearray(body)))
        return self.requests[-1]

    def receive_body(self, up_to: int | None = None) -> None:
        """Read on, until this much of the last request's body was read, or all of it."""
        request = self.requests[-1]
        while len(request.body) < (request.length if up_to is None else up_to):
            request.body += self.receive()

    def receive_request(self) -> Request:
        """Read a whole request."""
        request = self.receive_head()
        self.receive_body()
        return request

    def receive_the_rest(self) -> None:
        """Read all of the last request that the client was rid of, whether it has gone or not."""
        with contextlib.suppress(OSError):
            self.receive_body()

    def say(self, data: bytes) -> None:
        self._connection.sendall(data)

    def reset(self) -> None:
        """Drop the connection at once, and whatever is still on its way."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()

    def wait(self) -> None:
        """Do nothing until the test is over."""
        self._is_over.wait()

    def waits(self, seconds: float) -> bool:
        """Do nothing for a while; false if the test is over."""
        return not self._is_over.wait(seconds)


Behaviour = Callable[[Visit], None]


class MisbehavingServer:
    """Gives each connection the next of its behaviours, in a thread of its own, and closes it after that.

    A connection for which no behaviour is left is a visit that reads nothing. What was read is settled
    when the server has stopped.
    """

    def __init__(self, *behaviours: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self._behaviours = list(behaviours)
        self._tls = tls
        self._is_over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._faults: list[Exception] = []
        self.visits: list[Visit] = []
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/v1"

    @property
    def requests(self) -> list[Request]:
        """Every request of which a head was read."""
        return [request for visit in self.visits for request in visit.requests]

    def __enter__(self) -> Self:
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        # A connection of its own is what wakes it on every system.
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._accepting.join()
        self._listener.close()
        for thread in self._threads:
            thread.join()
        if self._faults:
            raise self._faults[0]

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._is_over.is_set():
                connection.close()
                return
            visit = Visit(connection, self._is_over)
            self.visits.append(visit)
            behaviour = self._behaviours.pop(0) if self._behaviours else None
            thread = threading.Thread(target=self._serve, args=(visit, behaviour))
            self._threads.append(thread)
            thread.start()

    def _serve(self, visit: Visit, behaviour: Behaviour | None) -> None:
        try:
            if self._tls:
                visit.begin_tls(self._tls)
            if behaviour:
                behaviour(visit)
        except OSError:
            visit.client_left_first = True  # or it never spoke TLS
        except Exception as fault:
            self._faults.append(fault)
        finally:
            visit.close()
            visit.has_ended.set()


def make_certificate(folder: Path) -> Path:
    """A certificate of 127.0.0.1 and its key in one file, which a client may trust or not."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a server of the tests")])
    now = datetime.now(UTC)
    usage = dict.fromkeys(
        ["content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign"], False
    )
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        # Its own authority, by the rules of Python 3.13
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, key_cert_sign=True, encipher_only=False, decipher_only=False, **usage
            ),
            True,
        )
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


def tls_of(certificate: Path) -> ssl.SSLContext:
    """What a server with this certificate speaks."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context
