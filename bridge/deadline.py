"""Connections with one deadline for a whole request and its answer.

The timeout of a socket is that of one read: it never expires while a byte arrives every few seconds.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from functools import partial
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

_PIECE = 16 * 1024  # bytes of a TLS record, for which the timeout of a TLS socket holds


class Deadline:
    """The moment by which the present step of a request has to end, by the monotonic clock."""

    def __init__(self) -> None:
        self._seconds = self._at = 0.0

    def start(self, seconds: float) -> None:
        """Begin a request. Each of its steps may take this many seconds."""
        self._seconds = seconds
        self.next_step()

    def next_step(self) -> None:
        """Begin the next step, with as many seconds."""
        self._at = time.monotonic() + self._seconds

    def left(self) -> float:
        """Seconds until the deadline; raises TimeoutError if there are none."""
        seconds = self._at - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("timed out")
        return seconds


class DeadlineAdapter(HTTPAdapter):
    """Makes connections that keep to a deadline, directly or through a proxy."""

    def __init__(self, deadline: Deadline) -> None:
        self._pools = _pools(deadline)
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the manager of connections to servers."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **options: Any) -> PoolManager:
        """The manager of connections through a proxy."""
        manager: PoolManager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _pools(deadline: Deadline) -> dict[str, Any]:
    """Pools of such connections by the scheme of the address."""
    kinds = {"http": (HTTPConnectionPool, HTTPConnection), "https": (HTTPSConnectionPool, HTTPSConnection)}
    pools = {}
    for scheme, (pool, connection) in kinds.items():
        kept = type("Kept", (_Kept, connection), {"kept_to": deadline})
        pools[scheme] = type("KeptPool", (pool,), {"ConnectionCls": kept})
    return pools


class _Kept:
    """What such connections do differently. There are three steps: to connect, to agree on TLS (through a
    proxy, if there is one), and the request with its answer.
    """

    kept_to: Deadline
    sock: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.response_class = partial(_Answer, self.kept_to)

    def _new_conn(self) -> socket.socket:
        connected: socket.socket = super()._new_conn()  # type: ignore[misc]
        self.kept_to.next_step()
        return connected

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.kept_to.next_step()

    def send(self, data: bytes) -> None:
        if self.sock is None:
            self.connect()
        for start in range(0, len(data), _PIECE):
            self.sock.settimeout(self.kept_to.left())
            self.sock.sendall(data[start : start + _PIECE])


class _Answer(http.client.HTTPResponse):
    """An answer whose reads end at the deadline."""

    def __init__(self, deadline: Deadline, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        without_deadline = self.fp
        self.fp = io.BufferedReader(_Reader(deadline, sock))
        without_deadline.close()


class _Reader(io.RawIOBase):
    """The bytes of a socket. Each read ends at the deadline."""

    def __init__(self, deadline: Deadline, sock: socket.socket) -> None:
        self._deadline = deadline
        self._socket = sock
        self._raw = sock.makefile("rb", buffering=0)  # keeps the socket open until this is closed

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(self._deadline.left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
