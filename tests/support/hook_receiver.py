"""A receiver of webhooks over HTTP that keeps what it is sent and answers as the test has it answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from flask import Flask, Response, request
from werkzeug.serving import make_server


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came; the names of its headers are those of werkzeug, such as `X-Wc-Webhook-Topic`."""

    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def topic(self) -> str | None:
        """The topic; None for a ping."""
        return self.headers.get("X-Wc-Webhook-Topic")


class HookReceiver:
    """Answers POSTs with `status`, and with `location` if there is one; a context manager that serves it."""

    def __init__(self) -> None:
        self.status = 200
        self.location: Callable[[str], str | None] = lambda path: None
        self.before_answer: Callable[[Received], object] = lambda received: None
        self.received: list[Received] = []
        app = Flask("hook-receiver")
        app.add_url_rule("/<path:path>", view_func=self._take, methods=["POST"])
        self._server = make_server("127.0.0.1", 0, app, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def url(self, path: str = "hook") -> str:
        """The address of a path."""
        return f"http://127.0.0.1:{self._server.port}/{path}"

    @property
    def deliveries(self) -> list[Received]:
        """What came with a topic."""
        return [received for received in self.received if received.topic is not None]

    @property
    def pings(self) -> list[Received]:
        """What came without."""
        return [received for received in self.received if received.topic is None]

    def _take(self, path: str) -> Response:
        received = Received(request.path, dict(request.headers), request.get_data())
        self.received.append(received)
        self.before_answer(received)
        location = self.location(request.path)
        if location is not None:
            return Response(status=302, headers={"Location": location})
        return Response(status=self.status)
