"""Reads the content of a signed delivery: an order, the deletion of one, or neither, with the reason."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bridge.issuance.details import read_details, summed_refunds
from bridge.issuance.order import Deletion, NotAnOrder, Order, Timekeeping, Unreadable, decimal, printable
from bridge.issuance.shop import address_of, shop_of

MAX_ID = 2**63 - 1  # what a BIGINT column holds; WordPress' own ids are 64 bits, too
MAX_TEXT = 200  # characters; WooCommerce's own limits for these fields are far lower
_BARE_ID = re.compile(rb'\s*\{\s*"id"\s*:\s*("?)\d+\1\s*\}\s*')
_ID = re.compile(r"[0-9]{1,19}")
_AMOUNT = re.compile(r"-?([0-9]+(\.[0-9]*)?|\.[0-9]+)")
_ORDER_TOPIC = "order."

About = Order | Deletion | NotAnOrder | Unreadable


def content_digest(topic: str, body: bytes, shop: str = "") -> bytes:
    """The identity of a delivery, by which a repeat is recognised: the SHA-256 of the body, 32 bytes.

    WooCommerce's delivery id is not unique within a second. A bare `{"id": n}` may be the deletion of an
    order or of a customer, in the shop or in a copy of it: its digest includes the topic, and the `shop` that
    the delivery names.
    """
    digest = hashlib.sha256(body)
    if _BARE_ID.fullmatch(body):
        digest.update(b"\n" + topic.encode("utf-8", "replace"))
        if shop:
            digest.update(b"\n" + shop.encode("utf-8", "replace"))
    return digest.digest()


def read_delivery(topic: str, body: bytes, site: str = "") -> About:
    """Read what a delivery is about from its body. Never raises.

    WooCommerce's headers are not signed, so the body decides. Only a bare `{"id": n}` needs the topic: the
    deletions of an order, a customer and a product look the same. `site` is the header X-WC-Webhook-Source,
    which counts only if the body does not name its site.
    """
    try:
        data = json.loads(body.decode("utf-8"))
    except RecursionError:
        return _undecodable(topic, body, "the JSON is nested too deeply")
    except ValueError:  # also: bytes that are not UTF-8, a number of more digits than Python reads
        return _undecodable(topic, body, "not JSON")
    if not isinstance(data, dict):
        return NotAnOrder("unreadable: not a JSON object")
    shop = shop_of(data)
    if "id" in data and len(data) == 1:
        return _bare_id(topic, _resource_id(data["id"]), address_of(site))
    about = _not_about_a_current_order(data) or _read_order(topic, data)
    return replace(about, shop=shop)


def _undecodable(topic: str, body: bytes, why: str) -> NotAnOrder | Unreadable:
    """A body that is no JSON counts as an order if it contains the name of an order's field."""
    if _is_order_topic(topic) and b'"line_items"' in body:
        return Unreadable(f"it looks like an order, and cannot be read: {why}")
    return NotAnOrder(f"unreadable: {why}")


def _bare_id(topic: str, resource_id: int | None, shop: str) -> About:
    if resource_id is None:
        kind = Unreadable if _is_order_topic(topic) else NotAnOrder
        return kind("an id that is none, and nothing else", shop=shop)
    if topic == "order.deleted":
        return Deletion(resource_id, shop)
    if _is_order_topic(topic):
        return Unreadable(f"a bare id under the topic {printable(topic)}", resource_id, shop)
    return NotAnOrder(f"a bare id under the topic {printable(topic)}", resource_id, shop)


def _not_about_a_current_order(data: Mapping[str, object]) -> NotAnOrder | None:
    if "billing_period" in data:
        return NotAnOrder("a subscription, not an order", _resource_id(data.get("id")))
    if "id" in data or "line_items" in data:
        return None  # an order, whatever members a plugin has added to it
    error = data.get("data")
    if "code" in data and isinstance(error, dict) and "status" in error:
        return NotAnOrder(_shop_error(error["status"]))
    if "action" in data and "arg" in data:
        return NotAnOrder("a custom topic: it names an action, not the order", _resource_id(data["arg"]))
    if isinstance(data.get("order"), dict) or isinstance(data.get("errors"), list):
        return NotAnOrder("the legacy API v3: set the webhook's API version to v3 (WP REST API)")
    return None


def _shop_error(status: object) -> str:
    match status:
        case 401 | 403:
            advice = "the webhook's user may no longer read orders"
        case 404:
            advice = "the order is gone, or the webhook's API version is too old for this shop"
        case _:
            advice = "the shop could not read the order"
    code = status if isinstance(status, int) and abs(status) < 1000 else "of no known status"
    return f"an error of the shop instead of an order ({code}): {advice}"


def _read_order(topic: str, data: Mapping[str, object]) -> Order | NotAnOrder | Unreadable:
    order_key = data.get("order_key") or ""  # an imported order has none
    modified, is_local = _first_moment(data, "date_modified", "date_created")
    required: dict[str, Any] = {
        "id": _resource_id(data.get("id")),
        "order_key": order_key if _text(order_key) == order_key else None,
        "status": _text(data.get("status")).removeprefix("wc-") or None,
        "currency": _text(data.get("currency")) or None,
        "total": _amount(data.get("total")) or None,
        "date_modified_gmt": modified,
        "refunds": summed_refunds(data.get("refunds"), _amount),
        "parent_id": _parent_id(data.get("parent_id")),
    }
    wrong = [name for name, value in required.items() if value is None]
    if wrong:
        return _what_is_wrong(topic, data, wrong, required["id"])
    created, created_is_local = _first_moment(data, "date_created")
    details = read_details(data)
    return Order(
        resource_id=required["id"],
        order_key=required["order_key"],
        number=_number(data.get("number")) or str(required["id"]),
        status=required["status"],
        payment_method=_text(data.get("payment_method")),
        total=required["total"],
        currency=required["currency"],
        modified=required["date_modified_gmt"],
        has_date_paid=bool(data.get("date_paid_gmt") or data.get("date_paid")),
        has_refunds=bool(data.get("refunds")),
        details=replace(
            details,
            timekeeping=Timekeeping.LOCAL if is_local else Timekeeping.UTC,
            created=created,
            created_is_local=created_is_local,
            payment_title=_text(data.get("payment_method_title")),
            parent_id=required["parent_id"],
            paid_back=required["refunds"],
        ),
    )


def _what_is_wrong(
    topic: str, data: Mapping[str, object], wrong: list[str], resource_id: int | None
) -> NotAnOrder | Unreadable:
    if not _is_order_topic(topic):
        return NotAnOrder(f"another topic: {printable(topic)} is not about orders", resource_id)
    if "id" not in data and "line_items" not in data:
        return NotAnOrder(f"not an order: {', '.join(wrong)} missing or of the wrong type")
    return Unreadable(
        f"it looks like an order, and cannot be read: {', '.join(_with_value(data, name) for name in wrong)}",
        resource_id,
    )


def _with_value(data: Mapping[str, object], name: str) -> str:
    """A field that is wrong, with its value if it has one that may be shown."""
    value = data.get(name)
    if name in {"total", "currency", "status", "id"} and isinstance(value, str) and value:
        return f"{name} {printable(value)!r}"
    return f"{name} missing or of the wrong type"


def _is_order_topic(topic: str) -> bool:
    return topic.startswith(_ORDER_TOPIC)


def _resource_id(value: object) -> int | None:
    if isinstance(value, str) and _ID.fullmatch(value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_ID:
        return value
    return None


def _parent_id(value: object) -> int | None:
    """0 for an order without a parent; None if the id cannot be read."""
    return 0 if value in (None, 0, "0", "", False) else _resource_id(value)


def _number(value: object) -> str:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value)


def _text(value: object) -> str:
    """The string, or an empty one if a column cannot hold it (PostgreSQL refuses NUL and lone surrogates)."""
    if isinstance(value, str) and len(value) <= MAX_TEXT and value.isprintable():
        return value
    return ""


def _amount(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    text = _text(value)
    return text if _AMOUNT.fullmatch(text) and decimal(text) is not None else ""


def _first_moment(data: Mapping[str, object], *names: str) -> tuple[datetime | None, bool]:
    """The first of these dates that there is, and whether it is in the shop's own time.

    API v1 has no `*_gmt`: its times may be hours off, but they still order the snapshots of one shop.
    """
    for name in names:
        if (moment := _moment(data.get(f"{name}_gmt"))) is not None:
            return moment, False
        text = data.get(name)
        if (moment := _moment(text)) is not None:
            return moment, datetime.fromisoformat(str(text)).tzinfo is None
    return None, False


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # no date, or year 1 or 9999 with an offset
        return None
