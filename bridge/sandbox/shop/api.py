"""The routes of the REST API, `wc/v3`: each takes a call and returns a result or raises RestError."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from bridge.sandbox.shop.answers import RestError, invalid_id, invalid_parameter
from bridge.sandbox.shop.calls import Call, Result, check_rights, is_forced, missing
from bridge.sandbox.shop.index import index, system_status
from bridge.sandbox.shop.listing import Page, moment_of, read_page, read_selection
from bridge.sandbox.shop.orders import note_body, refund_body
from bridge.sandbox.shop.state import Shop
from bridge.sandbox.shop.webhook_api import WebhookApi

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


class Api:
    """The routes of one shop."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        order = r"/wc/v3/orders/(\d+)"
        webhooks = WebhookApi(shop)
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
            ("GET", r"/wc/v3/webhooks", webhooks.all),
            ("POST", r"/wc/v3/webhooks", webhooks.create),
            ("GET", webhook, webhooks.one),
            ("PUT", webhook, webhooks.change),
            ("POST", webhook, webhooks.change),
            ("DELETE", webhook, webhooks.delete),
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
        check_rights(call, is_list=True)
        return Result(system_status(self._shop.settings))

    def orders(self, call: Call) -> Result:
        shop = self._shop
        selection = read_selection(call.arguments, shop.statuses, shop.addresses.zone)
        page = read_page(call.arguments)
        check_rights(call, is_list=True)
        bodies, total = shop.select(selection, page)
        return Result(bodies, total=total, page=page)

    def order(self, call: Call, order_id: int) -> Result:
        # An order that does not exist is told from one that may not be seen even without a key.
        body = self._shop.body(order_id)
        check_rights(call)
        return Result(body)

    def create_order(self, call: Call) -> Result:
        status = self._status(call) or "pending"
        check_rights(call)
        written = {name: call.body[name] for name in _WRITABLE if name in call.body}
        order_id = self._shop.create(
            status=status, **{"payment_method": "", **written, "created_via": "rest-api"}
        )
        return Result(self._shop.body(order_id), 201)

    def change_order(self, call: Call, order_id: int) -> Result:
        """Any write sends `order.updated`, even an empty one."""
        status = self._status(call)
        if order_id not in self._shop:
            raise invalid_id("shop_order", 400)
        check_rights(call, verb="edit")
        meta_data = call.body.get("meta_data", [])
        if not (isinstance(meta_data, list) and all(isinstance(entry, dict) for entry in meta_data)):
            raise invalid_parameter("meta_data", "meta_data is not of type array.", "rest_invalid_type")
        written = {name: call.body[name] for name in _WRITABLE if name in call.body}
        self._shop.edit(order_id, status=status, meta_data=meta_data, **written)
        return Result(self._shop.body(order_id))

    def delete_order(self, call: Call, order_id: int) -> Result:
        """To the trash, or for good with `force`."""
        body = self._shop.body(order_id)
        check_rights(call)
        if is_forced(call):
            self._shop.delete(order_id)
            return Result(body)
        self._shop.trash(order_id)
        return Result(self._shop.body(order_id))

    def notes(self, call: Call, order_id: int) -> Result:
        check_rights(call, is_list=True)
        order = self._shop.get(order_id)
        return Result([note_body(note, order_id, self._shop.addresses) for note in order.notes])

    def add_note(self, call: Call, order_id: int) -> Result:
        text = call.body.get("note")
        if not isinstance(text, str):
            raise missing("note")
        check_rights(call)
        note = self._shop.add_note(order_id, text, is_for_customer=call.body.get("customer_note") is True)
        return Result(note_body(note, order_id, self._shop.addresses), 201)

    def refunds_of_order(self, call: Call, order_id: int) -> Result:
        page = read_page(call.arguments)
        check_rights(call, is_list=True)
        return self._refund_page(list(self._shop.get(order_id).refunds), page)

    def refunds(self, call: Call) -> Result:
        """The refunds of all orders. None is ever modified, so both pairs of bounds are of its making."""
        zone = self._shop.addresses.zone
        names = ("after", "modified_after", "before", "modified_before")
        after, modified_after, before, modified_before = (
            moment_of(call.arguments, name, zone) for name in names
        )
        page = read_page(call.arguments)
        check_rights(call, is_list=True)
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

    def _refund_page(self, refunds: list[Any], page: Page) -> Result:
        rows = refunds[page.start : page.start + page.size]
        bodies = [refund_body(refund, self._shop.addresses) for refund in rows]
        return Result(bodies, total=len(refunds), page=page)

    def _status(self, call: Call) -> str | None:
        status: str | None = call.body.get("status")
        if status is not None and status not in self._shop.statuses:
            message = f"status is not one of auto-draft, {', '.join(self._shop.statuses)}."
            raise invalid_parameter("status", message, "rest_not_in_enum")
        return status
