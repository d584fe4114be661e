"""A gunicorn worker that gives a thread to requests that have arrived whole, and to no others.

Gunicorn's own worker with threads reads a request in a thread, for as long as its client takes. Here the main
thread collects requests, from any number of connections, until a deadline; a slow one costs a socket and a
little memory. From then on, gunicorn handles a request as it would without this module.
"""

from __future__ import annotations

import errno
import json
import selectors
import socket
import sys
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from gunicorn.workers.gthread import TConn, ThreadWorker

from bridge.telemetry import answers
from bridge.web.buffered_request import BufferedRequests

if TYPE_CHECKING:
    from gunicorn.config import Config
    from gunicorn.glogging import Logger
    from gunicorn.http.message import Request

# Seconds, each from the end of the one before. WooCommerce gives up on a delivery after 60.
HEAD_WITHIN = 10.0
BODY_WITHIN = 30.0
ANSWER_WITHIN = 5.0  # the client's time to take what the kernel does not buffer for it, which no answer needs
CLOSE_WITHIN = 10.0  # the client's time to read an answer that came before the end of its request
_LOOK_EVERY = 0.25  # seconds between two looks at the deadlines
_READ_SIZE = 64 * 2**10  # bytes
_SEND_BUFFER = 256 * 2**10  # bytes of answers that the kernel takes at once, so that no thread waits for it
_MOST_DISCARDED = 64 * 2**20  # bytes of a request that was answered before its end
_MOST_BUFFERED = 64 * 2**20  # bytes of requests in a process; beyond it, the largest incomplete are cut off
_NEVER_CUT_OFF = 64 * 2**10  # bytes: a request that is smaller waits out its deadline all the same

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_MESSAGE = "The request did not arrive whole in the time there is for it; nothing was recorded."
_TOO_LATE_BODY = json.dumps({"error": "request_timeout", "message": _MESSAGE}).encode()
_TOO_LATE = (
    b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_TOO_LATE_BODY), _TOO_LATE_BODY)
)

log = structlog.get_logger(__name__)


class _Connection(TConn):
    """A connection, and how much of its request has arrived. Used by one thread at a time."""

    def __init__(
        self, cfg: Config, sock: socket.socket, client: Any, server: Any, *, max_body_bytes: int
    ) -> None:
        super().__init__(cfg, sock, client, server)
        self.parser = self.requests = BufferedRequests(cfg, client, max_body_bytes=max_body_bytes)
        self.initialized = self.data_ready = True  # so that gunicorn makes no parser and waits for no data
        self.deadline = 0.0  # by time.monotonic
        self.is_registered = False  # with the poller, by this worker
        self.received = 0  # bytes of the present request
        self.is_answered = False  # and waits for the client to close it


class BufferingWorker(ThreadWorker):
    """Collects whole requests before it gives them to its threads."""

    max_body_bytes = 8 * 2**20  # the config sets it

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Connections that wait for their clients, the longest waiting first. Those between two requests are
        # in gunicorn's `keepalived_conns`, those being answered in neither.
        self._waiting: dict[_Connection, None] = {}
        self._buffered = 0  # bytes of requests, from the first one to the end of the answer
        self._next_look = 0.0

    @classmethod
    def check_config(cls, cfg: Config, log: Logger) -> None:
        super().check_config(cfg, log)
        if cfg.is_ssl:
            sys.exit("The receiver speaks no TLS: have a proxy in front of it do that.")

    def init_process(self) -> None:
        for listener in self.sockets:  # what it accepts inherits this
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        super().init_process()

    # From the poller, in the main thread.

    def accept(self, listener: socket.socket) -> None:
        try:
            sock, client = listener.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                self._make_room()
            elif error.errno not in {errno.EAGAIN, errno.ECONNABORTED}:
                raise
            return
        self.nr_conns += 1
        connection = _Connection(
            self.cfg, sock, client, listener.getsockname(), max_body_bytes=self.max_body_bytes
        )
        self._await(connection, HEAD_WITHIN)
        if self.nr_conns >= self.worker_connections:
            self._make_room()

    def on_client_socket_readable(self, conn: TConn, client: socket.socket) -> None:
        """The next request on a connection that was kept."""
        assert isinstance(conn, _Connection)  # noqa: S101 - all are
        try:
            self.keepalived_conns.remove(conn)
        except ValueError:  # it had to make room, since the poller saw this
            return
        self.poller.unregister(client)
        self._await(conn, HEAD_WITHIN)

    def _on_readable(self, connection: _Connection, _: object = None) -> None:
        if connection not in self._waiting:  # its request is whole, or it had to make room meanwhile
            return
        try:
            data = connection.sock.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
        elif connection.is_answered:
            connection.received += len(data)
            if connection.received > _MOST_DISCARDED:
                self._drop(connection)
        else:
            self._feed(connection, data)

    def _feed(self, connection: _Connection, data: bytes) -> None:
        had_head = connection.requests.has_head
        connection.received += len(data)
        self._buffered += len(data)
        if connection.requests.feed(data):
            self._stop_waiting(connection)
            self.enqueue_req(connection)
            return
        if connection.requests.has_head and not had_head:
            connection.deadline = time.monotonic() + BODY_WITHIN
            if connection.requests.owes_continue():
                with suppress(OSError):
                    connection.sock.send(_CONTINUE)
        self._cut_off_the_largest()

    def finish_request(self, conn: TConn, fs: Future[bool]) -> None:
        """The request was answered, or will not be."""
        assert isinstance(conn, _Connection)  # noqa: S101 - all are
        keeps = not fs.cancelled() and fs.exception() is None and fs.result()
        asked_to_close = conn.requests.asked_to_close
        left = conn.requests.unreader.take_buffered()
        self._forget_request(conn)
        if keeps and left:  # the client did not wait for the answer before it went on
            conn.sock.setblocking(False)
            self._await(conn, HEAD_WITHIN, left)
        elif keeps:
            super().finish_request(conn, fs)
        elif asked_to_close and not left:
            self._drop(conn)
        else:
            self._close_gracefully(conn)

    def murder_pending(self) -> None:
        """Look at the deadlines: gunicorn calls this after each turn of its loop, once a second or more."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_EVERY
        for connection in [waiting for waiting in self._waiting if waiting.deadline <= now]:
            self._cut_off(connection)

    def _cap_keepalive(self, deadline: float) -> None:
        """The worker stops: do not wait for clients that have sent nothing, or have their answer."""
        super()._cap_keepalive(deadline)  # type: ignore[misc]  # not among the published types
        for connection in self._waiting:
            if connection.is_answered or not connection.received:
                connection.deadline = min(connection.deadline, deadline)

    # In a request's thread.

    def handle_request(self, req: Request, conn: TConn) -> bool:
        """Gunicorn's, with an end to the time a client may take over an answer."""
        conn.sock.settimeout(ANSWER_WITHIN)
        try:
            return super().handle_request(req, conn)
        except TimeoutError as error:
            log.info("answer not taken in time")
            raise StopIteration from error  # which gunicorn takes for the end of the connection

    # The states of a connection.

    def _await(self, connection: _Connection, seconds: float, received: bytes = b"") -> None:
        """Wait for the client's next request; `received` are the bytes of it that have arrived already."""
        connection.deadline = time.monotonic() + seconds
        self._waiting[connection] = None
        if received:
            self._feed(connection, received)
        self._on_readable(connection)  # as it often is
        if connection in self._waiting and not connection.is_registered:
            callback = partial(self._on_readable, connection)
            self.poller.register(connection.sock, selectors.EVENT_READ, callback)
            connection.is_registered = True

    def _stop_waiting(self, connection: _Connection) -> None:
        self._waiting.pop(connection, None)
        if connection.is_registered:
            connection.is_registered = False
            self.poller.unregister(connection.sock)

    def _forget_request(self, connection: _Connection) -> None:
        self._buffered -= connection.received
        connection.received = 0
        connection.requests.begin()

    def _cut_off(self, connection: _Connection) -> None:
        """Its deadline has passed: answer 408, if there is a request to answer."""
        if connection.is_answered or not connection.received:
            self._drop(connection)
            return
        log.info("request cut off", status=408)
        answers.cut_off()
        with suppress(OSError):
            connection.sock.send(_TOO_LATE)
        self._forget_request(connection)
        self._stop_waiting(connection)
        self._close_gracefully(connection)

    def _cut_off_the_largest(self) -> None:
        """Make room if too much is buffered: the largest go first, so that common deliveries never do."""
        while self._buffered > max(_MOST_BUFFERED, 4 * self.max_body_bytes):
            incomplete = [connection for connection in self._waiting if not connection.is_answered]
            largest = max(incomplete, key=lambda connection: connection.received, default=None)
            if largest is None or largest.received <= _NEVER_CUT_OFF:
                return
            self._cut_off(largest)

    def _make_room(self) -> None:
        """Close the connection that has been idle for the longest time, or slow: all places are taken."""
        if self.keepalived_conns:
            self.keepalived_conns[0].timeout = 0.0
            self.murder_keepalived()
        elif len(self._waiting) > 1:
            slowest = next(iter(self._waiting))
            self._cut_off(slowest)
            if slowest in self._waiting:
                self._drop(slowest)

    def _close_gracefully(self, connection: _Connection) -> None:
        """Close it after the client has: what it still sends would cost it the answer (RFC 9112, 9.6)."""
        connection.is_answered = True
        try:
            connection.sock.setblocking(False)
            connection.sock.shutdown(socket.SHUT_WR)
            self._await(connection, CLOSE_WITHIN)
        except (OSError, ValueError):  # it is closed already
            self._drop(connection)

    def _drop(self, connection: _Connection) -> None:
        if not connection.is_answered:
            self._forget_request(connection)
        with suppress(OSError, ValueError, KeyError):
            self._stop_waiting(connection)
        self.nr_conns -= 1
        connection.close()
