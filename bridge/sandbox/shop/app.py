"""The shop over HTTP: WordPress' front door, and under `/stand-in` what tests and people steer it by."""

from __future__ import annotations

import time
from urllib.parse import parse_qsl, urlencode, urlsplit

from flask import Flask, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from bridge.sandbox.shop.answers import RestError, encode, only_fields
from bridge.sandbox.shop.api import Api
from bridge.sandbox.shop.approval import ApprovalError, authorize_page, grant
from bridge.sandbox.shop.calls import Call, Result, read_body
from bridge.sandbox.shop.control import add_control
from bridge.sandbox.shop.keys import Claim, Key
from bridge.sandbox.shop.listing import read_page
from bridge.sandbox.shop.state import Shop

FLOOD = 12_000_000  # bytes
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def create_shop(shop: Shop) -> Flask:
    """A WSGI app for the shop. Its state is in memory: serve it from one process."""
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # WordPress has no redirect for the API
    front = Front(shop)
    app.add_url_rule("/", view_func=front.serve, methods=_METHODS, provide_automatic_options=False)
    app.add_url_rule("/<path:path>", view_func=front.serve, methods=_METHODS, provide_automatic_options=False)
    add_control(app, shop)
    return app


class Front:
    """Takes what is not for the stand-in itself: the API, the approval of keys, and all other pages."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._api = Api(shop)

    def serve(self, path: str = "") -> AnyResponse:
        """Answer as the shop, or as a fault has it."""
        shop = self._shop
        time.sleep(shop.faults.now.latency)
        uri = _raw_uri()
        fault = shop.faults.pick(uri)
        if fault is not None:
            return self._fault(fault)
        folder = urlsplit(shop.settings.home).path
        path = request.path.removeprefix(folder)
        query = dict(parse_qsl(urlsplit(uri).query, keep_blank_values=True))
        if path.startswith("/wc-auth/v1/") and shop.settings.has_permalinks:
            return self._approve(path.removeprefix("/wc-auth/v1/"), query)
        if path.startswith("/wp-json") and shop.settings.has_permalinks:
            return self._call(path.removeprefix("/wp-json") or "/", uri, query)
        if query.get("rest_route"):
            return self._call(query["rest_route"], uri, query)
        return _html("<!doctype html><title>Sandbox shop</title><h1>Sandbox shop</h1>")

    def _call(self, route: str, uri: str, query: dict[str, str]) -> AnyResponse:
        shop = self._shop
        arguments = {name: value for name, value in query.items() if name not in shop.faults.now.ignores}
        try:
            key = self._login(uri, query)
            body = read_body(request.headers.get("Content-Type", ""), request.get_data())
            self._be_slow(route, arguments)
            result = self._api.call(route, Call(request.method, arguments, body, key))
            value = _with_fields(result.value, arguments.get("_fields"))
        except RestError as error:
            return Response(
                encode(error.body()), error.status, content_type="application/json; charset=UTF-8"
            )
        response = Response(encode(value), result.status, content_type="application/json; charset=UTF-8")
        if result.total is not None:
            response.headers["X-WP-Total"] = str(result.total)
            response.headers["X-WP-TotalPages"] = str(result.pages)
            if link := _link(shop.settings.home, uri, query, result):
                response.headers["Link"] = link
        if route == "/wc/v3/orders" and request.method == "GET" and shop.faults.now.drift:
            shop.drift(shop.faults.now.drift)
        return response

    def _login(self, uri: str, query: dict[str, str]) -> Key | None:
        """Keys are read only where the address, as it was sent, holds `wp-json/wc/`."""
        shop = self._shop
        if "wp-json/wc/" not in uri:
            return None
        is_forwarded = request.headers.get("X-Forwarded-Proto") == "https"
        is_ssl = shop.settings.https == "known" or (shop.settings.https == "off" and is_forwarded)
        home = urlsplit(shop.settings.home)
        path = urlsplit(uri).path
        return shop.keys.authenticate(
            Claim(
                method=request.method,
                address=f"{'https' if is_ssl else 'http'}://{home.netloc}{path}",
                query=query,
                authorization=""
                if shop.faults.now.drops_authorization
                else request.headers.get("Authorization", ""),
                is_ssl=is_ssl,
                now=shop.clock(),
            )
        )

    def _be_slow(self, route: str, arguments: dict[str, str]) -> None:
        now = self._shop.faults.now
        is_listing = route == "/wc/v3/orders" and request.method == "GET"
        if is_listing and now.slow_above is not None and read_page(arguments).size > now.slow_above:
            time.sleep(now.slow_for)

    def _approve(self, step: str, query: dict[str, str]) -> AnyResponse:
        try:
            if step == "authorize":
                return _html(authorize_page(self._shop, query))
            if step == "access_granted":
                return redirect(grant(self._shop, query))
        except ApprovalError as error:
            return _html(f"<!doctype html><title>WooCommerce</title><p>Error: {error}.</p>", 401)
        return _html("<!doctype html><title>Page not found</title>", 404)

    def _fault(self, fault: str) -> AnyResponse:
        now = self._shop.faults.now
        headers = {} if now.retry_after is None else {"Retry-After": str(now.retry_after)}
        if fault == "busy":
            return _html("<html><h1>429 Too Many Requests</h1></html>", 429, headers)
        if fault == "maintenance":
            page = "<!doctype html><h1>Briefly unavailable for scheduled maintenance.</h1>"
            return _html(page, 503, headers)
        if fault == "redirect":
            return _html("<html><h1>302 Found</h1></html>", 302, {"Location": now.location})
        if fault == "flood":
            return _html("<html>" + "x" * FLOOD)
        if fault == "error":
            message = "There has been a critical error on this website."
            error = RestError(500, "internal_server_error", message)
            return Response(encode(error.body()), 500, content_type="application/json; charset=UTF-8")
        status = 403 if fault == "firewall-403" else 200
        return _html("<html><title>Just a moment...</title><h1>Checking your browser</h1></html>", status)


def _with_fields(value: object, fields: str | None) -> object:
    if isinstance(value, list):
        return [only_fields(row, fields) for row in value]
    return only_fields(value, fields) if isinstance(value, dict) else value


def _link(home: str, uri: str, query: dict[str, str], result: Result) -> str:
    """The pages before and after; it repeats the query, signature included."""
    number = result.page.number if result.page else 1
    base = f"{home}{urlsplit(uri).path.removeprefix(urlsplit(home).path)}"
    links = []
    for page, rel in ((number - 1, "prev"), (number + 1, "next")):
        if 1 <= page <= result.pages:
            links.append(f'<{base}?{urlencode({**query, "page": str(page)})}>; rel="{rel}"')
    return ", ".join(links)


def _raw_uri() -> str:
    """The path and the query as they were sent."""
    raw = request.environ.get("RAW_URI") or request.environ.get("REQUEST_URI")
    return str(raw) if raw else request.full_path


def _html(page: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(page, status, headers=headers, content_type="text/html; charset=UTF-8")
