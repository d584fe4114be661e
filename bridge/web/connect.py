"""`/connect/<state>`: where a shop sends its keys, and the page that the shop manager comes back to."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import structlog
from flask import Flask, Response, request
from markupsafe import escape

from bridge.admin import RefusedError
from bridge.admin.shop_approval import NotOpenError, TooLateError, take_keys
from bridge.admin.shop_connection import StoreRemovedError
from bridge.db import Ledger
from bridge.ledger import shop_approvals
from bridge.ledger.shop_approvals import Approval
from bridge.shop import KeyRefusedError, ShopError, ShopKeys
from bridge.telemetry import access
from bridge.vault import Vault
from bridge.web.answer import Answer, problem
from bridge.web.webhook import read_body

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

MAX_BODY_BYTES = 16 * 2**10
_STATE = re.compile(r"[0-9a-f]{32}")
_KEY, _SECRET = re.compile(r"ck_[0-9a-zA-Z]{1,200}"), re.compile(r"cs_[0-9a-zA-Z]{1,200}")

_UNKNOWN = problem(
    404, "unknown_state", "No connection was begun here: begin one with `spacebridge stores connect`."
)
_OVER = problem(
    410,
    "state_is_over",
    "This connection was made, denied, or is older than 15 minutes: begin another one with `spacebridge "
    "stores connect`.",
)
_BUSY = problem(
    409, "state_is_in_use", "Keys that came before are being tried: wait a minute, and open the link again."
)
_MALFORMED = problem(
    400,
    "malformed_keys",
    "This is not what WooCommerce sends when a connection is approved: a JSON object with key_id, user_id, "
    "consumer_key, consumer_secret and key_permissions.",
)
_TOO_LARGE = problem(413, "body_too_large", f"Keys take less than {MAX_BODY_BYTES} bytes.")
_PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'",
    "Referrer-Policy": "no-referrer",  # the address is a secret while the approval is open
}

log = structlog.get_logger(__name__)


def add_connect_pages(app: Flask, ledger: Ledger, vault: Vault, now: Callable[[], datetime]) -> None:
    """Have the app take shops' keys. A stranger without a state costs it one look into the ledger."""

    # With a slash at the end, too: a redirect would take the keys along.
    @app.post("/connect/<state>", strict_slashes=False)
    def take(state: str) -> ResponseReturnValue:
        approval = _find(ledger, state)
        if approval is None:
            return _UNKNOWN.of_flask()
        if approval.is_over(now()):
            return _OVER.of_flask()
        body = read_body(request.environ, MAX_BODY_BYTES)
        if body is None:
            return _TOO_LARGE.of_flask()
        keys = _keys_in(body, state)
        if keys is None:
            return _MALFORMED.of_flask()
        try:
            take_keys(ledger, vault, approval, keys, now)
        except NotOpenError:
            return _BUSY.of_flask()
        except (ShopError, RefusedError) as error:
            log.warning("a shop's keys were not kept", store=approval.store, reason=str(error))
            return _refusal(error).of_flask()
        log.info("shop connected", store=approval.store)
        return Answer(200, {"status": "connected"}).of_flask()

    @app.get("/connect/<state>", strict_slashes=False)
    def show(state: str) -> Response:
        approval = _find(ledger, state)
        if approval is not None and request.args.get("success") == "0":  # as WooCommerce says it was denied
            with ledger.write() as connection:
                shop_approvals.deny(connection, approval.id, now())
            approval = _find(ledger, state)
        if approval is None:
            return _page(404, "There is no such connection", _UNKNOWN.content["message"])
        return _page(200, *_told(approval, now()))


def _find(ledger: Ledger, state: str) -> Approval | None:
    if not _STATE.fullmatch(state):
        return None
    with ledger.read() as connection:
        approval = shop_approvals.find(connection, state)
    if approval is not None:
        access.add_fields(request.environ, store=approval.store)
    return approval


def _keys_in(body: bytes, state: str) -> ShopKeys | None:
    """The keys in a callback's body; None if WooCommerce does not send such a one for this state."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or data.get("user_id") != state:
        return None
    key, secret = data.get("consumer_key"), data.get("consumer_secret")
    if not isinstance(key, str) or not isinstance(secret, str):
        return None
    if not isinstance(data.get("key_permissions"), str) or not isinstance(data.get("key_id"), int | str):
        return None
    return ShopKeys(key, secret) if _KEY.fullmatch(key) and _SECRET.fullmatch(secret) else None


def _refusal(error: ShopError | RefusedError) -> Answer:
    """The answer to keys that were not kept: the shop deletes them."""
    if isinstance(error, KeyRefusedError):
        status, code = 403, "keys_refused"
    elif isinstance(error, StoreRemovedError):
        status, code = 410, "store_removed"
    elif isinstance(error, TooLateError):
        status, code = 408, "too_late"
    elif isinstance(error, RefusedError):
        status, code = 409, "other_shop"
    else:
        status, code = 424, "shop_not_reached"
    return problem(status, code, str(error))


def _told(approval: Approval, now: datetime) -> tuple[str, str]:
    """What became of an approval: a heading and a sentence."""
    if approval.is_connected:
        return (
            f"Store {approval.store} is connected",
            f"The keys of {approval.url} are kept, and you can close this page. The next step is to install "
            f"the webhooks: spacebridge stores install-webhooks {approval.store}",
        )
    if approval.is_denied:
        return (
            f"Store {approval.store} is not connected",
            "The connection was denied in the shop. If that was a mistake, begin it again.",
        )
    if approval.is_being_proved(now):
        return "The keys have come", "They are being tried at the shop. Load this page again in a minute."
    if approval.is_over(now):
        return (
            f"Store {approval.store} is not connected",
            "The link was good for 15 minutes, and they are over. Begin the connection again.",
        )
    until = f"The link is good until {approval.expires_at:%H:%M} UTC."
    if approval.last_failure:
        return f"Store {approval.store} is not connected", f"{approval.last_failure} {until}"
    return f"Store {approval.store} is not connected yet", f"The shop has sent no keys so far. {until}"


def _page(status: int, heading: str, text: str) -> Response:
    html = (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'><title>Spacebridge</title>"
        f"<h1>{escape(heading)}</h1><p>{escape(text)}</p></html>"
    )
    return Response(html, status, _PAGE_HEADERS, mimetype="text/html")
