"""Connections whose every read and write ends at one moment, however slowly the far end trickles.

The timeout of a socket is that of one read: a byte every few seconds would never let it expire.
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

_PIECE = 16 * 1024  # bytes; a record of TLS. The timeout of a socket under TLS is that of one record.


class Deadline:
    """The moment at which the step that is under way has to have ended, by a clock that nobody sets."""

    def __init__(self) -> None:
        self._seconds = self._at = 0.0

    def start(self, seconds: float) -> None:
        """Begin a request, each step of which may take so many seconds."""
        self._seconds = seconds
        self.next_step()

    def next_step(self) -> None:
        """Begin another step, which may take as long as the one before."""
        self._at = time.monotonic() + self._seconds

    def left(self) -> float:
        """Seconds until then; raises TimeoutError if there are none."""
        seconds = self._at - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("timed out")
        return seconds


class DeadlineAdapter(HTTPAdapter):
    """Makes connections for requests that keep to a deadline, straight or by way of a proxy."""

    def __init__(self, deadline: Deadline) -> None:
        self._pools = _pools(deadline)
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make what opens connections to servers."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **options: Any) -> PoolManager:
        """What opens connections to a proxy."""
        manager: PoolManager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _pools(deadline: Deadline) -> dict[str, Any]:
    """Pools of such connections, by the scheme of their addresses."""

    class Plain(_Kept, HTTPConnection):  # type: ignore[misc]
        kept_to = deadline

    class Secure(_Kept, HTTPSConnection):  # type: ignore[misc]
        kept_to = deadline

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


class _Kept:
    """How such connections differ. A step is to connect, to agree on TLS by way of a proxy or without, or all
    that comes after that: the request and its answer.
    """

    kept_to: Deadline
    sock: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.response_class = partial(_Answer, self.kept_to)

    def _new_conn(self) -> socket.socket:
        made: socket.socket = super()._new_conn()  # type: ignore[misc]
        self.kept_to.next_step()
        return made

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
    """An answer, of which no byte is waited for any longer than until the deadline."""

    def __init__(self, deadline: Deadline, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        whole = self.fp
        self.fp = io.BufferedReader(_Reader(deadline, sock))
        whole.close()


class _Reader(io.RawIOBase):
    """The bytes of a socket, each read of which ends at a deadline."""

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
