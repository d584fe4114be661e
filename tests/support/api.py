"""A Space Invoices over HTTP that answers as the test has it answer, in the sandbox' place."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from flask import Flask, Response, request
from werkzeug.serving import make_server

from bridge.pipeline.context import Clients, Context
from tests.support.shop import WOOCOMMERCE, Shop


class Api:
    """A Space Invoices that answers each kind of request with the status that the test sets."""

    def __init__(self) -> None:
        self.find_status = 200
        self.listed: list[dict[str, object]] = [{"id": WOOCOMMERCE, "name": "Shop"}]
        self.order_status = 503
        self.order_answer = "{}"
        self.status_of: Callable[[int], int | None] = lambda order: None  # in place of that, for some
        self.retry_after: str | None = None
        self.before_answer: Callable[[], object] = lambda: None
        self.before_find: Callable[[], object] = lambda: None
        self.found = 0
        self.orders: list[int] = []
        self.bodies: list[bytes] = []  # of the requests for these orders
        self.keys: list[str | None] = []  # theirs, by which a repeat is known
        self.tokens: list[str | None] = []  # of the requests for these orders
        self.app = Flask("api")
        self.app.add_url_rule("/v1/Organizations/<organization>/woocommerce", view_func=self.find)
        self.app.add_url_rule("/v1/Woocommerce/<woocommerce>/order", view_func=self.order, methods=["POST"])

    def find(self, organization: str) -> Response:
        self.found += 1
        self.before_find()
        return self._answer(json.dumps(self.listed), self.find_status)

    def order(self, woocommerce: str) -> Response:
        self.tokens.append(request.headers.get("Authorization"))
        self.keys.append(request.headers.get("Idempotency-Key"))
        self.bodies.append(request.get_data())
        order = json.loads(request.get_data())["id"]
        self.orders.append(order)
        self.before_answer()
        return self._answer(self.order_answer, self.status_of(order) or self.order_status)

    def _answer(self, body: str, status: int) -> Response:
        headers = {"Retry-After": self.retry_after} if self.retry_after else {}
        return Response(body, status=status, mimetype="application/json", headers=headers)


@contextmanager
def failing_api(shop: Shop) -> Iterator[tuple[Api, Context]]:
    """An API that fails, and the shop's context with it in the sandbox' place."""
    api = Api()
    server = make_server("127.0.0.1", 0, api.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    url = f"http://127.0.0.1:{server.port}/v1"
    context = replace(shop.context, api_url=url, _clients=Clients())
    try:
        yield api, context
    finally:
        context.close()
        server.shutdown()
        thread.join()
        server.server_close()
