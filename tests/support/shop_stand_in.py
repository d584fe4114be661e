"""A WooCommerce shop over HTTP for tests: the sandbox' stand-in on a free port, in a thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qsl

from flask import request
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from bridge.sandbox.shop import Delivery, Key, Settings, Shop, Webhook, create_shop
from bridge.sandbox.shop.answers import encode
from tests.support.misbehaving import tls_of

DELIVERED_WITHIN = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to the shop. `at`: by time.monotonic. `query` and `headers` hold the login, too."""

    method: str
    path: str
    query: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    at: float


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    clock: Callable[[], float]

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The `Date` of an answer, by the shop's clock."""
        return super().date_time_string(int(type(self).clock()))

    def log(self, type: str, message: str, *args: Any) -> None:
        logging.getLogger("tests.shop").debug(message, *args)


class ShopStandIn:
    """A shop that a test makes orders in and looks at; a context manager that starts and stops it.

    `shop` is the stand-in itself, whose methods (bridge/sandbox/shop/state.py) all can be called, too.
    """

    def __init__(
        self,
        *,
        permissions: str = "read_write",
        tls: Path | None = None,
        https: Literal["off", "known", "unknown"] | None = None,
        folder: str = "",
        senders: int = 1,
        takes_http_callbacks: bool = True,
        **settings: Any,
    ) -> None:
        """`tls`: a certificate with its key (misbehaving.make_certificate), with which it speaks TLS.

        `https`: what WordPress knows of it: `known` by default with a certificate, and `off` without.
        `folder`: the path that WordPress lies in, such as `/shop`. `settings`: others of
        bridge.sandbox.shop.Settings, such as `has_permalinks=False`, `is_hpos=False` or `zone="UTC"`.
        """
        self.skew = 0.0  # seconds by which the shop's clock is ahead
        self.asked: list[Asked] = []
        self._before: list[Callable[[], object]] = []
        self._tls = tls
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None
        self._port = 0
        self._folder = folder
        self.shop = Shop(
            Settings(
                "",
                https=https or ("off" if tls is None else "known"),
                takes_http_callbacks=takes_http_callbacks,
                **settings,
            ),
            clock=lambda: time.time() + self.skew,
            senders=senders,
        )
        self.key: Key = self.shop.keys.add(permissions)
        self._app = create_shop(self.shop)
        self._app.before_request(self._note)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.shop.close()

    def start(self) -> None:
        """Serve, on the port that it had before if there is one."""
        context = None if self._tls is None else tls_of(self._tls)
        self._server = make_server(
            "127.0.0.1",
            self._port,
            self._app,
            threaded=True,
            request_handler=type("Handler", (_Handler,), {"clock": staticmethod(self.shop.clock)}),
            ssl_context=context,
        )
        self._port = self._server.port
        self.shop.set_up(home=self.url)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def stop(self) -> None:
        """Take it off the net; its orders stay, and webhooks are still delivered."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    @contextmanager
    def down(self) -> Iterator[None]:
        """Off the net for a while: connections are refused."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    @property
    def url(self) -> str:
        """The shop's address, without a slash at its end."""
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self._port}{self._folder}"

    @property
    def consumer_key(self) -> str:
        return self.key.consumer_key

    @property
    def consumer_secret(self) -> str:
        return self.key.consumer_secret

    def add_key(self, permissions: str = "read_write", *, is_manager: bool = True) -> Key:
        """Another key; `permissions`: `read`, `write` or `read_write`."""
        return self.shop.keys.add(permissions, is_manager=is_manager)

    def revoke(self, key: Key) -> None:
        """Delete a key."""
        self.shop.keys.delete(key.id)

    # Orders

    def make_order(self, **properties: Any) -> int:
        """A new order and its deliveries; the arguments are those of Shop.create. Returns its id."""
        return self.shop.create(**_with_seconds(properties))

    def make_orders(
        self, count: int, *, first: datetime | None = None, every: float = 60, **properties: Any
    ) -> Sequence[int]:
        """Orders of the past, of which no webhook tells, `every` so many seconds; returns their ids.

        `first`: when the first was made; by default so that the last one would be followed by one of now.
        """
        begin = time.time() + self.skew - count * every if first is None else first.timestamp()
        return [
            self.shop.create(created=begin + every * position, is_silent=True, **properties)
            for position in range(count)
        ]

    def change_status(self, order_id: int, status: str) -> None:
        self.shop.change_status(order_id, status)

    def bulk_status(self, order_ids: Sequence[int], status: str) -> None:
        self.shop.bulk_status(order_ids, status)

    def edit(self, order_id: int, **properties: Any) -> None:
        """Save properties of the body; without any, a save that changes nothing."""
        self.shop.edit(order_id, **properties)

    def refund(self, order_id: int, amount: str | None = None, reason: str = "") -> int:
        """Refund an amount, or the rest; returns the refund's id."""
        return self.shop.refund(order_id, amount, reason)

    def delete_refund(self, order_id: int, refund_id: int) -> None:
        self.shop.delete_refund(order_id, refund_id)

    def trash(self, order_id: int) -> None:
        self.shop.trash(order_id)

    def untrash(self, order_id: int) -> None:
        self.shop.untrash(order_id)

    def delete(self, order_id: int) -> None:
        """Delete the order for good."""
        self.shop.delete(order_id)

    def anonymise(self, order_id: int) -> None:
        self.shop.anonymise(order_id)

    def register_status(self, status: str) -> None:
        self.shop.register_status(status)

    def unregister_status(self, status: str) -> None:
        self.shop.unregister_status(status)

    def body(self, order_id: int) -> bytes:
        """The order's body, as GET and a webhook give it now."""
        return encode(self.shop.body(order_id))

    def order(self, order_id: int) -> dict[str, Any]:
        """The same as an object."""
        return self.shop.body(order_id)

    def notes(self, order_id: int) -> Sequence[str]:
        """The texts of an order's notes, newest first."""
        return [note.text for note in self.shop.get(order_id).notes]

    @contextmanager
    def silence(self) -> Iterator[None]:
        """What happens meanwhile is told to nobody, as if every webhook had lost its event."""
        self.shop.is_silent = True
        try:
            yield
        finally:
            self.shop.is_silent = False

    # Webhooks

    def make_webhook(
        self, topic: str, delivery_url: str, *, secret: str = "", name: str = "Webhook", **others: Any
    ) -> int:
        """A webhook as a person makes it in wp-admin, which pings; returns its id."""
        return self.shop.webhooks.create(
            name=name, topic=topic, delivery_url=delivery_url, secret=secret, **others
        ).id

    def change_webhook(self, webhook_id: int, **changes: Any) -> None:
        """Save a webhook in wp-admin, such as `status="paused"`."""
        self.shop.webhooks.change(webhook_id, **changes)

    def delete_webhook(self, webhook_id: int) -> None:
        self.shop.webhooks.delete(webhook_id)

    def webhooks(self) -> Sequence[Webhook]:
        """All webhooks, oldest first, with their secrets and `failure_count`."""
        return self.shop.webhooks.all()

    def webhook(self, webhook_id: int) -> Webhook:
        """A webhook; raises KeyError if there is none."""
        webhook = self.shop.webhooks.get(webhook_id)
        if webhook is None:
            raise KeyError(webhook_id)
        return webhook

    @property
    def deliveries(self) -> Sequence[Delivery]:
        """The attempts, oldest first."""
        return list(self.shop.webhooks.deliveries)

    @property
    def pings(self) -> Sequence[tuple[int, int]]:
        """The pings, as (webhook's id, status of the answer), oldest first."""
        return list(self.shop.webhooks.pings)

    def wait_delivered(self, within: float = DELIVERED_WITHIN) -> None:
        """Wait until each delivery that was queued is through; raises TimeoutError."""
        if not self.shop.webhooks.wait(within):
            raise TimeoutError(f"{self.shop.webhooks.queued()} deliveries are queued after {within:.0f} s")

    # Faults

    def fault(self, **changes: Any) -> None:
        """Change what goes wrong: fields of bridge.sandbox.shop.Faults, such as `answer="busy", times=2`."""
        self.shop.faults.change(changes)
        self.shop.webhooks.look_again()

    def mend(self) -> None:
        """Let nothing go wrong any more."""
        self.shop.faults.clear()
        self.shop.webhooks.look_again()

    def set_up(self, **changes: Any) -> None:
        """Change settings: the fields of bridge.sandbox.shop.Settings, such as `has_permalinks=False`."""
        self.shop.set_up(**changes)

    def before_answer(self, act: Callable[[], object]) -> None:
        """Have this called at each request, before it is answered; an exception in it is a 500."""
        self._before.append(act)

    def _note(self) -> None:
        self.asked.append(
            Asked(
                request.method,
                request.path,
                dict(parse_qsl(request.query_string.decode(), keep_blank_values=True)),
                dict(request.headers),
                time.monotonic(),
            )
        )
        for act in self._before:
            act()


def _with_seconds(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.timestamp() if isinstance(value, datetime) else value
        for name, value in properties.items()
    }
