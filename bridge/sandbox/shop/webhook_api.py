"""The routes of webhooks."""

from __future__ import annotations

import re
from typing import Any

from bridge.sandbox.shop.answers import RestError, invalid_id, invalid_parameter
from bridge.sandbox.shop.calls import Call, Result, check_rights, is_forced, missing
from bridge.sandbox.shop.listing import read_page
from bridge.sandbox.shop.orders import Addresses, gmt
from bridge.sandbox.shop.state import Shop
from bridge.sandbox.shop.webhooks import STATUSES, Webhook

_TOPIC = re.compile(r"(order|product|customer|coupon)\.(created|updated|deleted|restored)|action\.\w+")
_URL = re.compile(r"https?://[^\s/]+.*")


class WebhookApi:
    """`/wc/v3/webhooks` of one shop."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    def all(self, call: Call) -> Result:
        """`offset` is ignored; without `status`, all come."""
        status = call.arguments.get("status", "all")
        if status not in {"all", *STATUSES}:
            message = f"status is not one of all, {', '.join(STATUSES)}."
            raise invalid_parameter("status", message, "rest_not_in_enum")
        page = read_page(call.arguments, has_offset=False)
        check_rights(call, is_list=True)
        rows = [row for row in self._shop.webhooks.all() if status in {"all", row.status}]
        if call.arguments.get("order", "desc") == "desc":
            rows.reverse()
        addresses = self._shop.addresses
        bodies = [webhook_body(row, addresses) for row in rows[page.start : page.start + page.size]]
        return Result(bodies, total=len(rows), page=page)

    def one(self, call: Call, webhook_id: int) -> Result:
        check_rights(call)
        row = self._shop.webhooks.get(webhook_id)
        if row is None:
            raise invalid_id("shop_webhook")
        return Result(webhook_body(row, self._shop.addresses))

    def create(self, call: Call) -> Result:
        """201 and `active`, whatever the ping did that was sent before this answers."""
        absent = [name for name in ("topic", "delivery_url") if name not in call.body]
        if absent:
            raise missing(*absent)
        changes = _changes(call)
        check_rights(call)
        name = changes.pop("name", "") or f"Webhook created on {int(self._shop.clock())}"
        row = self._shop.webhooks.create(name=name, **changes)
        return Result(webhook_body(row, self._shop.addresses), 201)

    def change(self, call: Call, webhook_id: int) -> Result:
        changes = _changes(call)
        check_rights(call, verb="edit")
        row = self._shop.webhooks.change(webhook_id, **changes)
        if row is None:
            raise invalid_id("shop_webhook", 400)
        return Result(webhook_body(row, self._shop.addresses))

    def delete(self, call: Call, webhook_id: int) -> Result:
        """Webhooks have no trash: 501 without `force`."""
        check_rights(call)
        if not is_forced(call):
            message = "Webhooks do not support trashing."
            raise RestError(501, "woocommerce_rest_trash_not_supported", message)
        row = self._shop.webhooks.get(webhook_id)
        if row is None:
            raise invalid_id("shop_webhook")
        self._shop.webhooks.delete(webhook_id)
        return Result(webhook_body(row, self._shop.addresses))


def _changes(call: Call) -> dict[str, Any]:
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
        if _TOPIC.fullmatch(changes["topic"]) is None:
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


def webhook_body(webhook: Webhook, addresses: Addresses) -> dict[str, Any]:
    """A webhook as API version v3 shows it: neither the secret nor the count of failures."""
    resource, _, event = webhook.topic.partition(".")
    return {
        "id": webhook.id,
        "name": webhook.name,
        "status": webhook.status,
        "topic": webhook.topic,
        "resource": resource,
        "event": event,
        "hooks": [f"woocommerce_{event}_{resource}"],
        "delivery_url": webhook.delivery_url,
        "date_created": addresses.local(webhook.created),
        "date_created_gmt": gmt(webhook.created),
        "date_modified": addresses.local(webhook.modified),
        "date_modified_gmt": gmt(webhook.modified),
        "_links": {
            "self": [{"href": addresses.api(f"webhooks/{webhook.id}")}],
            "collection": [{"href": addresses.api("webhooks")}],
        },
    }
