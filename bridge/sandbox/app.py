"""The sandbox over HTTP: the Space Invoices endpoints, and under `/sandbox` what people and tests look at."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from random import Random, SystemRandom

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from bridge.sandbox.errors import ApiError, invalid
from bridge.sandbox.faults import Failures, RateLimit
from bridge.sandbox.filters import read_count, read_filter
from bridge.sandbox.inspection import Inspection
from bridge.sandbox.state import Account
from bridge.sandbox.validation import order_of, problems_of_order, read_object, with_flags

# The defaults that the API document states, for objects the sandbox starts with. A request has to send them.
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

    `woocommerces` are objects to start with: `name` and any documented property, `id` too.
    `latency` is in seconds, slept after a request under `/v1/` has taken effect and before its answer.
    `failures` maps a status to the share (0 to 1) of `/order` requests answered with it, without effect.
    `rate_limit` is in requests a second. `clock` returns aware datetimes (its year is the documents').
    Raises ValueError for arguments that cannot be served.
    """
    if not organization_id or not token:
        raise ValueError("the sandbox needs an organization id and a token")
    if not (token.isascii() and token.isprintable()):
        raise ValueError("the token has to be of printable ASCII: clients differ in how they send other text")
    random = random or SystemRandom()
    account = Account(organization_id, RateLimit(rate_limit, monotonic), clock, random)
    for properties in woocommerces:
        _add(account, properties)
    api = Api(account, token, Failures(failures or {}, random))

    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # an API does not redirect
    of_organization = "/v1/Organizations/<organization_id>/woocommerce"
    app.add_url_rule(of_organization, view_func=api.find, methods=["GET"])
    app.add_url_rule(of_organization, view_func=api.create, methods=["POST"])
    app.add_url_rule(f"{of_organization}/count", view_func=api.count, methods=["GET"])
    of_object = "/v1/Woocommerce/<woocommerce_id>"
    app.add_url_rule(of_object, view_func=api.delete, methods=["DELETE"])
    app.add_url_rule(of_object, view_func=api.change, methods=["PATCH"])
    app.add_url_rule(f"{of_object}/order", view_func=api.order, methods=["POST"])
    app.add_url_rule(f"{of_object}/import", view_func=api.start_import, methods=["POST"])
    inspection = Inspection(account)
    app.add_url_rule("/", view_func=inspection.about)
    app.add_url_rule("/sandbox", view_func=inspection.page)
    app.add_url_rule("/sandbox/documents", view_func=inspection.documents)
    app.add_url_rule("/sandbox/documents/<number>/body", view_func=inspection.body)
    app.add_url_rule("/sandbox/imports", view_func=inspection.imports)

    def answer(response: Response) -> Response:
        if latency > 0 and _is_api():
            sleep(latency)
        return response

    app.before_request(api.admit)
    app.register_error_handler(ApiError, api.refuse)
    app.register_error_handler(HTTPException, api.refuse_http)
    app.after_request(answer)
    return app


class Api:
    """What answers under `/v1/`."""

    def __init__(self, account: Account, token: str, failures: Failures) -> None:
        self._account = account
        self._token = token.encode()
        self._failures = failures

    def admit(self) -> None:
        """Let a request pass, or raise ApiError 401 (by the header alone, never the query) or 429."""
        if not _is_api():
            return
        self._account.count("requests")
        # As bytes, since hmac compares no text beyond ASCII. WSGI gives each byte of a header as a character.
        given = request.headers.get("Authorization", "").encode("latin-1", "replace")
        if not hmac.compare_digest(given, self._token):
            raise ApiError(401, "Authorization Required: send the bare token as the Authorization header.")
        if not self._account.admit():
            raise ApiError(429, "Too many requests a second.", counted_as="rate_limited")

    def find(self, organization_id: str) -> Response:
        """`GET /v1/Organizations/:id/woocommerce`; `X-Total-Count` is how many there are on all pages."""
        self._account.check_organization(organization_id)
        found, total = self._account.find(read_filter(_query()))
        response = jsonify(found)
        response.headers["X-Total-Count"] = str(total)
        return response

    def count(self, organization_id: str) -> Response:
        """`GET /v1/Organizations/:id/woocommerce/count`."""
        self._account.check_organization(organization_id)
        _, total = self._account.find(read_count(_query()))
        return jsonify({"count": total})

    def create(self, organization_id: str) -> Response:
        """`POST /v1/Organizations/:id/woocommerce`."""
        self._account.check_organization(organization_id)
        return jsonify(self._account.create(read_object(request.mimetype, request.get_data())))

    def delete(self, woocommerce_id: str) -> Response:
        """`DELETE /v1/Woocommerce/:id`."""
        self._account.delete(woocommerce_id)
        return jsonify({"count": 1})

    def change(self, woocommerce_id: str) -> Response:
        """`PATCH /v1/Woocommerce/:id`."""
        changes = read_object(request.mimetype, request.get_data())
        return jsonify(self._account.change(woocommerce_id, changes))

    def order(self, woocommerce_id: str) -> Response:
        """`POST /v1/Woocommerce/:id/order`: 200 `{}`, whatever document was issued, or none."""
        failure = self._failures.pick()
        if failure is not None:
            raise ApiError(failure, "The sandbox fails this on purpose.", counted_as="failed_on_purpose")
        config = self._account.get(woocommerce_id)
        raw = request.get_data()
        body = read_object(request.mimetype, raw)
        problems = problems_of_order(body, config)
        if problems:
            raise invalid(problems)
        self._account.issue(
            with_flags(config, body), order_of(body), raw, request.headers.get("Idempotency-Key")
        )
        return jsonify({})

    def start_import(self, woocommerce_id: str) -> Response:
        """`POST /v1/Woocommerce/:id/import`: 200 `{}`."""
        body = read_object(request.mimetype, request.get_data())
        self._account.start_import(woocommerce_id, body)
        return jsonify({})

    def refuse(self, error: ApiError) -> Response:
        """An ApiError as an answer, and counted."""
        if _is_api():
            self._account.count(error.counted_as)
        response = jsonify(error.body())
        response.status_code = error.status
        if error.status in {429, 503}:
            response.headers["Retry-After"] = "1"
        return response

    def refuse_http(self, error: HTTPException) -> Response:
        """Flask's own refusals in the API's shape. LoopBack knows no 405: a wrong method is no route."""
        status = 404 if error.code == 405 else error.code or 500
        return self.refuse(ApiError(status, f"{request.method} {request.path}: {error.name}."))


def _is_api() -> bool:
    return request.path.startswith("/v1/")


def _query() -> Sequence[tuple[str, str]]:
    return list(request.args.items(multi=True))


def _add(account: Account, properties: Mapping[str, object]) -> None:
    woocommerce_id = properties.get("id")
    if woocommerce_id is not None and not isinstance(woocommerce_id, str):
        raise ValueError("the id of a Woocommerce object has to be a string")
    given = {name: value for name, value in properties.items() if name != "id"}
    try:
        account.create({**_DEFAULTS, **given}, woocommerce_id)
    except ApiError as error:
        raise ValueError(error.message) from None
