"""An HTTP server that answers as a test tells it to, and what WooCommerce makes of a login."""

from __future__ import annotations

import hmac
import json
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, quote, urlsplit

from bridge.shop import Endpoint, Login, ShopKeys

KEYS = ShopKeys("ck_0123456789abcdef", "cs_fedcba9876543210")
API = "/wp-json/wc/v3/"
JSON = "application/json; charset=UTF-8"
HTML = "text/html; charset=UTF-8"


@dataclass(frozen=True)
class Asked:
    """A request. `url` is its address as it was sent, with the query."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))

    @property
    def has_keys(self) -> bool:
        return "Authorization" in self.headers or "oauth_" in self.url or "consumer_" in self.url


@dataclass(frozen=True)
class Told:
    """An answer."""

    status: int = 200
    body: bytes = b"[]"
    headers: Mapping[str, str] = field(default_factory=dict)


def data(value: Any, status: int = 200, **headers: str) -> Told:
    """An answer of JSON."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Told(status, json.dumps(value).encode(), {"Content-Type": JSON, **named})


def refusal(status: int, code: str, message: str = "No.") -> Told:
    """An error of WordPress's API."""
    return data({"code": code, "message": message, "data": {"status": status}}, status)


def page(status: int, text: str = "<!DOCTYPE html><html><body>Hello</body></html>", **headers: str) -> Told:
    """A web page."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Told(status, text.encode(), {"Content-Type": HTML, **named})


Behaviour = Callable[[Asked], Told]


class OddShop:
    """Answers each request by its behaviour, and keeps what it was asked."""

    def __init__(self, behaviour: Behaviour, *, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        shop = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length", "0"))
                asked = Asked(self.command, self.path, dict(self.headers), self.rfile.read(length))
                shop.asked.append(asked)
                told = behaviour(asked)
                begin = self.send_response_only if "Date" in told.headers else self.send_response
                begin(told.status)
                for name, value in told.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(told.body)))
                self.end_headers()
                self.wfile.write(told.body)

            do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that goes away is what some tests want."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01])

    @property
    def endpoint(self) -> Endpoint:
        """Where its API is, for a client that need not find it."""
        return Endpoint(self.url, self.url + API, Login.OAUTH)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def login_of(asked: Asked, url: str, keys: ShopKeys = KEYS) -> Login | None:
    """The login by which a request proves that it has the keys; None if it does not.

    `url`: the shop's address. WooCommerce's own steps, by `WC_REST_Authentication`.
    """
    pair = b64encode(f"{keys.consumer_key}:{keys.consumer_secret}".encode()).decode()
    if asked.headers.get("Authorization") == f"Basic {pair}":
        return Login.BASIC
    query = asked.query
    if (query.get("consumer_key"), query.get("consumer_secret")) == (
        keys.consumer_key,
        keys.consumer_secret,
    ):
        return Login.QUERY
    given = query.pop("oauth_signature", None)
    if query.get("oauth_consumer_key") != keys.consumer_key or given is None:
        return None
    for login, address in ((Login.OAUTH, url), (Login.OAUTH_HTTP, url.replace("https://", "http://"))):
        pairs = [
            quote(f"{quote(name, safe='')}={quote(query[name], safe='')}", safe="") for name in sorted(query)
        ]
        text = f"{asked.method}&{quote(address + asked.path, safe='')}&{'%26'.join(pairs)}"
        digest = hmac.new(f"{keys.consumer_secret}&".encode(), text.encode(), sha256).digest()
        if given == b64encode(digest).decode():
            return login
    return None
