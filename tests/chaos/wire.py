"""The wire between the bridge and Space Invoices: a proxy that misbehaves as it is told to."""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_FOR_EVER = 60.0  # seconds, well over the bridge's timeout


@dataclass(frozen=True, slots=True)
class Mode:
    """How requests are treated: whether Space Invoices sees them, and what the bridge gets to see."""

    name: str
    takes_effect: bool = True
    status: int | None = None  # answered in place of Space Invoices
    instead: bytes | None = None  # sent in place of the answer, and then the connection is cut
    delay: float = 0.0
    cuts_at: str | None = None  # "door": as it connects; "head": once the request's head was read

    @property
    def tells(self) -> bool:
        """Whether the bridge can know what became of an order."""
        return self.instead is None and self.status not in {200, 502, 504} and not self.cuts_at


PASS = Mode("as it should be")
MODES = (
    Mode("slow", delay=1.0),
    Mode("cut at the door", takes_effect=False, cuts_at="door"),
    Mode("cut before the order was read", takes_effect=False, cuts_at="head"),
    Mode("cut after the order was read", takes_effect=False, instead=b""),
    Mode("cut after the document was issued", instead=b""),
    Mode("half an answer", instead=b"HTTP/1.1 2"),
    Mode("garbage", instead=b"\x16\x03\x01 what is this?\r\n\r\n"),
    Mode("no answer", instead=b"", delay=_FOR_EVER),
    *(Mode(f"answers {status}", takes_effect=False, status=status) for status in (429, 401, 500, 503)),
    *(Mode(f"answers {status} instead", takes_effect=False, status=status) for status in (502, 504)),
    Mode("shows a page instead", takes_effect=False, status=200),
    *(Mode(f"answers {status} after the document was issued", status=status) for status in (502, 504)),
)


class Wire:
    """A proxy on a port of its own. `mode` may be set at any time; it counts for requests from then on."""

    def __init__(self) -> None:
        self.mode = PASS
        self.target_port = 0  # set before the first request
        self.closing = threading.Event()
        self.requests: Counter[str] = Counter()
        self.untold = 0  # orders of whose fate the bridge cannot know
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.wire = self
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Wire:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def note(self, mode: Mode, *, is_order: bool) -> None:
        """Count a request."""
        with self._lock:
            self.requests[mode.name] += 1
            self.untold += is_order and not mode.tells


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    wire: Wire

    def verify_request(self, request: Any, _address: Any) -> bool:
        mode = self.wire.mode
        if mode.cuts_at == "door":
            # The kernel has taken the connection, and maybe all of an order, before this one could refuse it.
            self.wire.note(mode, is_order=True)
            _reset_at_close(request)
            return False
        return True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The bridge goes away as it is killed; what that leads to is for the accounts to tell."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._treat(is_order=False)

    def do_POST(self) -> None:
        self._treat(is_order=True)

    def _treat(self, *, is_order: bool) -> None:
        wire = self.server.wire
        mode = wire.mode
        wire.note(mode, is_order=is_order)
        if mode.cuts_at:
            _reset_at_close(self.connection)
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self._ask_target(body) if mode.takes_effect else (mode.status or 500, b"{}", {})
        if mode.delay:
            wire.closing.wait(mode.delay)
        if mode.instead is not None:
            self.wfile.write(mode.instead)
            self.close_connection = True
            return
        status, content, headers = answer
        if mode.status is not None:
            content = b"<html>Back soon</html>" if mode.status == 200 else b'{"error": {}}'
            status, headers = mode.status, {"Retry-After": "1"}
        self._answer(status, content, headers)

    def _ask_target(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        """What Space Invoices makes of the request."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.server.wire.target_port, timeout=30)
        ) as target:
            passed_on = {name: value for name, value in self.headers.items() if name != "Connection"}
            target.request(self.command, self.path, body or None, passed_on)
            response = target.getresponse()
            headers = {name: value for name, value in response.getheaders() if name == "Retry-After"}
            return response.status, response.read(), headers

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _reset_at_close(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
