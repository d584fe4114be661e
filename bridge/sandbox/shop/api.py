"""The routes of the REST API, `wc/v3`: each takes a call and returns a result or raises RestError."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from bridge.sandbox.shop.answers import RestError, invalid_id, invalid_parameter
from bridge.sandbox.shop.index import index, system_status
from bridge.sandbox.shop.keys import Key
from bridge.sandbox.shop.listing import Page, moment_of, read_page, read_selection
from bridge.sandbox.shop.orders import note_body, refund_body
from bridge.sandbox.shop.state import Shop
from bridge.sandbox.shop.webhooks import STATUSES, is_topic, webhook_body

_URL = re.compile(r"https?://[^\s/]+.*")
_VERBS = {"GET": "view", "POST": "create", "PUT": "edit", "DELETE": "delete"}
# What a PUT of an order may write here. WooCommerce takes more.
_WRITABLE = (
    "billing",
    "shipping",
    "customer_note",
    "transaction_id",
    "payment_method",
    "payment_method_title",
    "currency",
)


@dataclass(frozen=True, slots=True)
class Call:
    """A request to the API. `arguments`: of the query, as WooCommerce knows them. `body`: of the JSON."""

    method: str
    arguments: Mapping[str, str]
    body: Mapping[str, Any]
    key: Key | None


@dataclass(frozen=True, slots=True)
class Result:
    """What is answered; `total` and `page` are those of a listing."""

    value: Any
    status: int = 200
    total: int | None = None
    page: Page | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def pages(self) -> int:
        """How many pages a listing has."""
        return ceil((self.total or 0) / self.page.size) if self.page else 0


class Api:
    """The routes of one shop."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        order = r"/wc/v3/orders/(\d+)"
        webhook = r"/wc/v3/webhooks/(\d+)"
        routes: list[tuple[str, str, Callable[..., Result]]] = [
            ("GET", r"/?", self.index),
            ("GET", r"/wc/v3/?", self.index),
            ("GET", r"/wc/v3/orders", self.orders),
            ("POST", r"/wc/v3/orders", self.create_order),
            ("GET", order, self.order),
            ("PUT", order, self.change_order),
            ("POST", order, self.change_order),
            ("DELETE", order, self.delete_order),
            ("GET", f"{order}/notes", self.notes),
            ("POST", f"{order}/notes", self.add_note),
            ("GET", f"{order}/refunds", self.refunds_of_order),
            ("GET", r"/wc/v3/refunds", self.refunds),
            ("GET", r"/wc/v3/system_status", self.system_status),
            ("GET", r"/wc/v3/webhooks", self.webhooks),
            ("POST", r"/wc/v3/webhooks", self.create_webhook),
            ("GET", webhook, self.webhook),
            ("PUT", webhook, self.change_webhook),
            ("POST", webhook, self.change_webhook),
            ("DELETE", webhook, self.delete_webhook),
        ]
        self._routes = [(method, re.compile(pattern), view) for method, pattern, view in routes]

    def call(self, route: str, call: Call) -> Result:
        """Answer a call to a route such as `/wc/v3/orders/12`."""
        for method, pattern, view in self._routes:
            found = pattern.fullmatch(route)
            if found and method == ("GET" if call.method == "HEAD" else call.method):
                return view(call, *(int(group) for group in found.groups()))
        message = "No route was found matching the URL and request method."
        raise RestError(404, "rest_no_route", message)

    def index(self, call: Call) -> Result:
        """The index needs no key."""
        return Result(index(self._shop.settings))

    def system_status(self, call: Call) -> Result:
        _check_rights(call, is_list=True)
        return Result(system_status(self._shop.settings))

    def orders(self, call: Call) -> Result:
        shop = self._shop
        selection = read_selection(call.arguments, shop.statuses, shop.addresses.zone)
        page = read_page(call.arguments)
        _check_rights(call, is_list=True)
        bodies, total = shop.select(selection, page)
        return Result(bodies, total=total, page=page)

    def order(self, call: Call, order_id: int) -> Result:
        # An order that does not exist is told from one that may not be seen even without a key.
        body = self._shop.body(order_id)
        _check_rights(call)
        return Result(body)

    def create_order(self, call: Call) -> Result:
        status = self._status(call) or "pending"
        _check_rights(call)
        written = {name: call.body[name] for name in _WRITABLE if name in call.body}
        order_id = self._shop.create(
            status=status, **{"payment_method": "", **written, "created_via": "rest-api"}
        )
        return Result(self._shop.body(order_id), 201)

    def change_order(self, call: Call, order_id: int) -> Result:
        """Any write sends `order.updated`, even an empty one."""
        status = self._status(call)
        self._shop.get(order_id)
        _check_rights(call, verb="edit")
        meta_data = call.body.get("meta_data", [])
        if not (isinstance(meta_data, list) and all(isinstance(entry, dict) for entry in meta_data)):
            raise invalid_parameter("meta_data", "meta_data is not of type array.", "rest_invalid_type")
        written = {name: call.body[name] for name in _WRITABLE if name in call.body}
        self._shop.edit(order_id, status=status, meta_data=meta_data, **written)
        return Result(self._shop.body(order_id))

    def delete_order(self, call: Call, order_id: int) -> Result:
        """To the trash, or for good with `force`."""
        body = self._shop.body(order_id)
        _check_rights(call)
        if _is_forced(call):
            self._shop.delete(order_id)
            return Result(body)
        self._shop.trash(order_id)
        return Result(self._shop.body(order_id))

    def notes(self, call: Call, order_id: int) -> Result:
        _check_rights(call, is_list=True)
        order = self._shop.get(order_id)
        return Result([note_body(note, order_id, self._shop.addresses) for note in order.notes])

    def add_note(self, call: Call, order_id: int) -> Result:
        text = call.body.get("note")
        if not isinstance(text, str):
            raise _missing("note")
        _check_rights(call)
        note = self._shop.add_note(order_id, text, is_for_customer=call.body.get("customer_note") is True)
        return Result(note_body(note, order_id, self._shop.addresses), 201)

    def refunds_of_order(self, call: Call, order_id: int) -> Result:
        page = read_page(call.arguments)
        _check_rights(call, is_list=True)
        return self._refund_page(list(self._shop.get(order_id).refunds), page)

    def refunds(self, call: Call) -> Result:
        """The refunds of all orders. None is ever modified, so both pairs of bounds are of its making."""
        zone = self._shop.addresses.zone
        names = ("after", "modified_after", "before", "modified_before")
        after, modified_after, before, modified_before = (
            moment_of(call.arguments, name, zone) for name in names
        )
        page = read_page(call.arguments)
        _check_rights(call, is_list=True)
        low = max((bound for bound in (after, modified_after) if bound is not None), default=-1)
        high = min((bound for bound in (before, modified_before) if bound is not None), default=None)
        refunds = [
            refund
            for refund in self._shop.refunds()
            if refund.created > low and (high is None or refund.created < high)
        ]
        if call.arguments.get("order", "desc") == "desc":
            refunds.reverse()
        return self._refund_page(refunds, page)

    def webhooks(self, call: Call) -> Result:
        """`offset` is ignored; without `status`, all come."""
        status = call.arguments.get("status", "all")
        if status not in {"all", *STATUSES}:
            message = f"status is not one of all, {', '.join(STATUSES)}."
            raise invalid_parameter("status", message, "rest_not_in_enum")
        page = read_page(call.arguments, has_offset=False)
        _check_rights(call, is_list=True)
        rows = [row for row in self._shop.webhooks.all() if status in {"all", row.status}]
        if call.arguments.get("order", "desc") == "desc":
            rows.reverse()
        addresses = self._shop.addresses
        bodies = [webhook_body(row, addresses) for row in rows[page.start : page.start + page.size]]
        return Result(bodies, total=len(rows), page=page)

    def webhook(self, call: Call, webhook_id: int) -> Result:
        _check_rights(call)
        row = self._shop.webhooks.get(webhook_id)
        if row is None:
            raise invalid_id("shop_webhook")
        return Result(webhook_body(row, self._shop.addresses))

    def create_webhook(self, call: Call) -> Result:
        """201 and `active`, whatever the ping did that was sent before this answers."""
        missing = [name for name in ("topic", "delivery_url") if name not in call.body]
        if missing:
            raise _missing(*missing)
        changes = _webhook_changes(call)
        _check_rights(call)
        name = changes.pop("name", "") or f"Webhook created on {int(self._shop.clock())}"
        row = self._shop.webhooks.create(name=name, **changes)
        return Result(webhook_body(row, self._shop.addresses), 201)

    def change_webhook(self, call: Call, webhook_id: int) -> Result:
        changes = _webhook_changes(call)
        _check_rights(call, verb="edit")
        row = self._shop.webhooks.change(webhook_id, **changes)
        if row is None:
            raise invalid_id("shop_webhook")
        return Result(webhook_body(row, self._shop.addresses))

    def delete_webhook(self, call: Call, webhook_id: int) -> Result:
        """Webhooks have no trash: 501 without `force`."""
        _check_rights(call)
        if not _is_forced(call):
            message = "Webhooks do not support trashing."
            raise RestError(501, "woocommerce_rest_trash_not_supported", message)
        row = self._shop.webhooks.get(webhook_id)
        if row is None:
            raise invalid_id("shop_webhook")
        self._shop.webhooks.delete(webhook_id)
        return Result(webhook_body(row, self._shop.addresses))

    def _refund_page(self, refunds: list[Any], page: Page) -> Result:
        rows = refunds[page.start : page.start + page.size]
        bodies = [refund_body(refund, self._shop.addresses) for refund in rows]
        return Result(bodies, total=len(refunds), page=page)

    def _status(self, call: Call) -> str | None:
        status = call.body.get("status")
        if status is not None and status not in self._shop.statuses:
            message = f"status is not one of auto-draft, {', '.join(self._shop.statuses)}."
            raise invalid_parameter("status", message, "rest_not_in_enum")
        return status


def read_body(content_type: str, raw: bytes) -> Mapping[str, Any]:
    """The JSON object of a request; empty for a body of another type, which the stand-in does not read.

    Raises RestError 400 for what is not JSON.
    """
    if "json" not in content_type or not raw.strip():
        return {}
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        raise RestError(400, "rest_invalid_json", "Invalid JSON body passed.") from None
    return value if isinstance(value, dict) else {}


def _check_rights(call: Call, *, is_list: bool = False, verb: str | None = None) -> None:
    """401 without a key, 403 with one whose user may not manage the shop."""
    if call.key is not None and call.key.is_manager:
        return
    verb = verb or _VERBS[call.method]
    message = {
        "view": "Sorry, you cannot list resources." if is_list else "Sorry, you cannot view this resource.",
        "create": "Sorry, you are not allowed to create resources.",
        "edit": "Sorry, you are not allowed to edit this resource.",
        "delete": "Sorry, you are not allowed to delete this resource.",
    }[verb]
    raise RestError(401 if call.key is None else 403, f"woocommerce_rest_cannot_{verb}", message)


def _webhook_changes(call: Call) -> dict[str, Any]:
    """The properties of a webhook that a write gives; raises RestError 400 for a bad one."""
    names = ("name", "status", "topic", "delivery_url", "secret")
    changes = {name: call.body[name] for name in names if name in call.body}
    for name, value in changes.items():
        if not isinstance(value, str):
            raise invalid_parameter(name, f"{name} is not of type string.", "rest_invalid_type")
    if changes.get("status", "active") not in STATUSES:
        message = f"status is not one of {', '.join(STATUSES)}."
        raise invalid_parameter("status", message, "rest_not_in_enum")
    if "topic" in changes:
        changes["topic"] = changes["topic"].lower()
        if not is_topic(changes["topic"]):
            raise RestError(
                400,
                "woocommerce_rest_shop_webhook_invalid_topic",
                "Webhook topic is required and must be valid.",
            )
    if not _URL.fullmatch(changes.get("delivery_url", "http://a")):
        raise RestError(
            400,
            "woocommerce_rest_shop_webhook_invalid_delivery_url",
            "Webhook delivery URL must be a valid URL starting with http:// or https://.",
        )
    return changes


def _missing(*names: str) -> RestError:
    listed = ", ".join(names)
    return RestError(
        400, "rest_missing_callback_param", f"Missing parameter(s): {listed}", {"params": list(names)}
    )


def _is_forced(call: Call) -> bool:
    return str({**call.arguments, **call.body}.get("force", "")).lower() in {"true", "1"}
