"""A shop with the few routes that are asked as keys are tried; a test can have it slow, or another's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask, Response, jsonify, request
from werkzeug.serving import make_server

KEY, CONSUMER_SECRET = "ck_" + "0123456789abcdef" * 2, "cs_" + "fedcba9876543210" * 2
KEYS = f"{KEY}\n{CONSUMER_SECRET}\n"  # as a file has them
Body = Response | tuple[Response | str, int]


class SmallShop:
    """Accepts signatures by KEY, which it does not compute again, and answers as WooCommerce does."""

    def __init__(self) -> None:
        self.url = ""
        self.home: str | None = None  # what it calls itself; its own address if None
        self.orders = [41]
        self.may_write = True
        self.keys = {KEY}
        self.instead: tuple[str, int] | None = None  # what it answers to everything
        self.is_slow = False
        self.is_asked = threading.Event()
        self.go_on = threading.Event()  # what a slow one waits for
        self.requests = 0
        self.app = Flask("small-shop")
        self.app.before_request(self._before)
        api = "/wp-json/wc/v3"
        self.app.add_url_rule("/wp-json/", view_func=self._index)
        self.app.add_url_rule(f"{api}/orders", view_func=self._list)
        self.app.add_url_rule(f"{api}/orders/<int:order_id>", view_func=self._order)
        self.app.add_url_rule(f"{api}/webhooks/<int:webhook_id>", view_func=self._webhook, methods=["PUT"])
        self.app.add_url_rule(f"{api}/system_status", view_func=self._status)

    def _before(self) -> Body | None:
        self.requests += 1
        self.is_asked.set()
        if self.is_slow:
            assert self.go_on.wait(60)
        if self.instead is not None:
            return self.instead
        if request.path != "/wp-json/" and request.args.get("oauth_consumer_key") not in self.keys:
            return _refusal("authentication_error", 401)
        return None

    def _index(self) -> Body:
        return jsonify(namespaces=["wp/v2", "wc/v3"], home=self.home or self.url)

    def _list(self) -> Body:
        return jsonify([{"id": order_id} for order_id in self.orders[-1:]])

    def _order(self, order_id: int) -> Body:
        address = f"{self.home or self.url}/wp-json/wc/v3/orders/{order_id}"
        return jsonify(id=order_id, _links={"self": [{"href": address}]})

    def _webhook(self, webhook_id: int) -> Body:
        if not self.may_write:
            return _refusal("authentication_error", 401)
        return _refusal("shop_webhook_invalid_id", 404)

    def _status(self) -> Body:
        return jsonify(environment={"home_url": self.home or self.url}, settings={})


def _refusal(code: str, status: int) -> tuple[Response, int]:
    return jsonify(code=f"woocommerce_rest_{code}", message="No.", data={"status": status}), status


@contextmanager
def open_small_shop() -> Iterator[SmallShop]:
    """A shop that is served on loopback, by plain http."""
    shop = SmallShop()
    server = make_server("127.0.0.1", 0, shop.app, threaded=True)
    shop.url = f"http://127.0.0.1:{server.port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield shop
    finally:
        shop.go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()
