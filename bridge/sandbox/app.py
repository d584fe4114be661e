"""The sandbox over HTTP: the endpoints of Space Invoices, and pages for people and tests under `/sandbox`."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from random import Random, SystemRandom

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from bridge.sandbox.errors import ApiError, refuse_invalid
from bridge.sandbox.faults import Failures, RateLimit
from bridge.sandbox.filters import read_count, read_filter
from bridge.sandbox.inspection import Inspection
from bridge.sandbox.state import Account
from bridge.sandbox.validation import problems_of_order, read_object, with_flags

# The API document's defaults, for the objects that the sandbox starts with. A request has to send them.
_DEFAULTS = {"active": True, "sendInvoiceAutomatically": True, "sendEstimateAutomatically": True}


def create_sandbox(
    *,
    organization_id: str,
    token: str,
    woocommerces: Sequence[Mapping[str, object]] = (),
    latency: float = 0,
    failures: Mapping[int, float] | None = None,
    rate_limit: float = 100,
    random: Random | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Flask:
    """A WSGI app with one organization and one token. Its state is in memory: serve it from one process.

    `woocommerces`: the objects to start with, each with `name`, and any documented property or `id`.
    `latency`: seconds between the effect of a request under `/v1/` and its answer.
    `failures`: for each status, the share (0 to 1) of `/order` requests that get it and have no effect.
    `rate_limit`: requests a second.
    `clock`: returns aware datetimes; their year is part of the documents' numbers.
    Raises ValueError for arguments that it cannot serve.
    """
    if not organization_id or not token:
        raise ValueError("the sandbox needs an organization id and a token")
    if not (token.isascii() and token.isprintable()):
        raise ValueError("the token has to be printable ASCII: clients differ in how they send other text")
    random = random or SystemRandom()
    account = Account(organization_id, clock, random)
    for properties in woocommerces:
        _add(account, properties)
    api = Api(account, token, Failures(failures or {}, random), RateLimit(rate_limit, monotonic))

    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # an API does not redirect
    collection = "/v1/Organizations/<organization_id>/woocommerce"
    app.add_url_rule(collection, view_func=api.find, methods=["GET"])
    app.add_url_rule(collection, view_func=api.create, methods=["POST"])
    app.add_url_rule(f"{collection}/count", view_func=api.count, methods=["GET"])
    item = "/v1/Woocommerce/<woocommerce_id>"
    app.add_url_rule(item, view_func=api.delete, methods=["DELETE"])
    app.add_url_rule(item, view_func=api.patch, methods=["PATCH"])
    app.add_url_rule(f"{item}/order", view_func=api.order, methods=["POST"])
    app.add_url_rule(f"{item}/import", view_func=api.start_import, methods=["POST"])
    inspection = Inspection(account)
    app.add_url_rule("/", view_func=inspection.about)
    app.add_url_rule("/sandbox", view_func=inspection.page)
    app.add_url_rule("/sandbox/documents", view_func=inspection.documents)
    app.add_url_rule("/sandbox/documents/<number>/body", view_func=inspection.body)
    app.add_url_rule("/sandbox/imports", view_func=inspection.imports)

    def delay(response: Response) -> Response:
        if latency > 0 and _is_api():
            sleep(latency)
        return response

    app.before_request(api.admit)
    app.register_error_handler(ApiError, api.refuse)
    app.register_error_handler(HTTPException, api.refuse_http)
    app.after_request(delay)
    return app


class Api:
    """The endpoints under `/v1/`."""

    def __init__(self, account: Account, token: str, failures: Failures, rate_limit: RateLimit) -> None:
        self._account = account
        self._token = token.encode()
        self._failures = failures
        self._rate_limit = rate_limit

    def admit(self) -> None:
        """Raise ApiError 401 unless the header (never the query) has the token, 429 over the rate limit."""
        if not _is_api():
            return
        self._account.count("requests")
        # As bytes, since hmac compares no text beyond ASCII. In WSGI, a character is a byte of the header.
        token = request.headers.get("Authorization", "").encode("latin-1", "replace")
        if not hmac.compare_digest(token, self._token):
            raise ApiError(401, "Authorization Required: send the bare token as the Authorization header.")
        if not self._rate_limit.admit():
            raise ApiError(429, "Too many requests a second.", counted_as="rate_limited")

    def find(self, organization_id: str) -> Response:
        """`GET /v1/Organizations/:id/woocommerce`; `X-Total-Count` counts the objects of all pages."""
        self._account.check_organization(organization_id)
        woocommerces, total = self._account.find(read_filter(request.args))
        response = jsonify(woocommerces)
        response.headers["X-Total-Count"] = str(total)
        return response

    def count(self, organization_id: str) -> Response:
        """`GET /v1/Organizations/:id/woocommerce/count`."""
        self._account.check_organization(organization_id)
        _, total = self._account.find(read_count(request.args))
        return jsonify({"count": total})

    def create(self, organization_id: str) -> Response:
        """`POST /v1/Organizations/:id/woocommerce`."""
        self._account.check_organization(organization_id)
        return jsonify(self._account.create(read_object(request.mimetype, request.get_data())))

    def delete(self, woocommerce_id: str) -> Response:
        """`DELETE /v1/Woocommerce/:id`."""
        self._account.delete(woocommerce_id)
        return jsonify({"count": 1})

    def patch(self, woocommerce_id: str) -> Response:
        """`PATCH /v1/Woocommerce/:id`."""
        changes = read_object(request.mimetype, request.get_data())
        return jsonify(self._account.change(woocommerce_id, changes))

    def order(self, woocommerce_id: str) -> Response:
        """`POST /v1/Woocommerce/:id/order`: 200 `{}`, whether a document was issued or not."""
        failure = self._failures.pick()
        if failure is not None:
            raise ApiError(failure, "The sandbox fails this on purpose.", counted_as="failed_on_purpose")
        config = self._account.get(woocommerce_id)
        raw = request.get_data()
        body = read_object(request.mimetype, raw)
        refuse_invalid(problems_of_order(body, config))
        self._account.issue(with_flags(config, body), body, raw, request.headers.get("Idempotency-Key"))
        return jsonify({})

    def start_import(self, woocommerce_id: str) -> Response:
        """`POST /v1/Woocommerce/:id/import`: 200 `{}`."""
        body = read_object(request.mimetype, request.get_data())
        self._account.start_import(woocommerce_id, body)
        return jsonify({})

    def refuse(self, error: ApiError) -> Response:
        """Count an ApiError, and return it as a response."""
        if _is_api():
            self._account.count(error.counted_as)
        response = jsonify(error.body())
        response.status_code = error.status
        if error.status in {429, 503}:
            response.headers["Retry-After"] = "1"
        return response

    def refuse_http(self, error: HTTPException) -> Response:
        """A refusal of Flask's as the API words it. LoopBack has no 405: a wrong method has no route."""
        status = 404 if error.code == 405 else error.code or 500
        return self.refuse(ApiError(status, f"{request.method} {request.path}: {error.name}."))


def _is_api() -> bool:
    return request.path.startswith("/v1/")


def _add(account: Account, properties: Mapping[str, object]) -> None:
    woocommerce_id = properties.get("id")
    if woocommerce_id is not None and not isinstance(woocommerce_id, str):
        raise ValueError("the id of a Woocommerce object has to be a string")
    others = {name: value for name, value in properties.items() if name != "id"}
    try:
        account.create({**_DEFAULTS, **others}, woocommerce_id)
    except ApiError as error:
        raise ValueError(error.message) from None
