"""Reads what a signed delivery says: an order, the deletion of one, or neither, with the reason."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

MAX_ID = 2**63 - 1  # what a BIGINT column holds; WordPress' own ids are 64 bits, too
MAX_TEXT = 200  # characters; WooCommerce's own limits for these fields are far lower
_BARE_ID = re.compile(rb'\s*\{\s*"id"\s*:\s*\d+\s*\}\s*')


@dataclass(frozen=True, slots=True)
class Order:
    """What the decision needs of an order, as one delivery describes it.

    `total` stays the string that WooCommerce sent; `modified` has a resolution of one second.
    """

    resource_id: int
    order_key: str
    number: str
    status: str
    payment_method: str
    total: str
    currency: str
    modified: datetime
    has_date_paid: bool
    has_refunds: bool


@dataclass(frozen=True, slots=True)
class Deletion:
    """The order was moved to the trash. WooCommerce says no more than its id, and not when."""

    resource_id: int


@dataclass(frozen=True, slots=True)
class NotAnOrder:
    """A delivery the bridge has no use for; `reason` is a phrase that an operator can read."""

    reason: str
    resource_id: int | None = None


def content_digest(topic: str, body: bytes) -> bytes:
    """What two deliveries share if they are the same: the SHA-256 of the body, 32 bytes.

    WooCommerce's delivery id repeats within a second, so it cannot serve. A bare `{"id": n}` is the
    deletion of an order or of a customer alike: there, the topic counts, too.
    """
    digest = hashlib.sha256(body)
    if _BARE_ID.fullmatch(body):
        digest.update(b"\n" + topic.encode("utf-8", "replace"))
    return digest.digest()


def read_delivery(topic: str, body: bytes) -> Order | Deletion | NotAnOrder:
    """Tell from the body, whatever is in it, what a delivery is about. Never raises.

    WooCommerce's headers are not signed, so the body decides. Only a bare `{"id": n}` needs the
    topic: the deletions of an order, a customer and a product look the same.
    """
    try:
        data = json.loads(body.decode("utf-8"))
    except RecursionError:
        return NotAnOrder("unreadable: the JSON is nested too deeply")
    except ValueError:  # also: bytes that are not UTF-8, a number of more digits than Python reads
        return NotAnOrder("unreadable: not JSON")
    if not isinstance(data, dict):
        return NotAnOrder("unreadable: not a JSON object")
    return _not_about_a_current_order(topic, data) or _read_order(topic, data)


def _not_about_a_current_order(topic: str, data: Mapping[str, object]) -> Deletion | NotAnOrder | None:
    resource_id = _resource_id(data.get("id"))
    if set(data) == {"id"} and resource_id is not None:
        if topic == "order.deleted":
            return Deletion(resource_id)
        return NotAnOrder(f"a bare id under the topic {printable(topic)}", resource_id)
    error = data.get("data")
    if "code" in data and isinstance(error, dict) and "status" in error:
        return NotAnOrder(_shop_error(error["status"]))
    if "action" in data and "arg" in data:
        return NotAnOrder("a custom topic: it names an action, not the order", _resource_id(data["arg"]))
    if isinstance(data.get("order"), dict) or isinstance(data.get("errors"), list):
        return NotAnOrder("the legacy API v3: set the webhook's API version to v3 (WP REST API)")
    if "billing_period" in data:
        return NotAnOrder("a subscription, not an order", resource_id)
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


def _read_order(topic: str, data: Mapping[str, object]) -> Order | NotAnOrder:
    resource_id = _resource_id(data.get("id"))
    # API v1 has no *_gmt. Its local times may be hours off, yet order one shop's snapshots among themselves.
    modified = next(
        (
            moment
            for name in ("date_modified_gmt", "date_modified", "date_created_gmt", "date_created")
            if (moment := _moment(data.get(name)))
        ),
        None,
    )
    fields = {
        "order_key": _text(data.get("order_key")),
        "status": _text(data.get("status")).removeprefix("wc-"),
        "currency": _text(data.get("currency")),
        "total": _amount(data.get("total")),
    }
    missing = [name for name, value in fields.items() if not value]
    if resource_id is None:
        missing.insert(0, "id")
    if modified is None:
        missing.append("date_modified_gmt")
    if resource_id is None or modified is None or missing:
        return NotAnOrder(_what_is_missing(topic, missing), resource_id)
    return Order(
        resource_id=resource_id,
        order_key=fields["order_key"],
        number=_text(data.get("number")) or str(resource_id),
        status=fields["status"],
        payment_method=_text(data.get("payment_method")),
        total=fields["total"],
        currency=fields["currency"],
        modified=modified,
        has_date_paid=bool(data.get("date_paid_gmt") or data.get("date_paid")),
        has_refunds=bool(data.get("refunds")),
    )


def _what_is_missing(topic: str, missing: list[str]) -> str:
    if not topic.startswith("order."):
        return f"another topic: {printable(topic)} is not about orders"
    return f"not an order: {', '.join(missing)} missing or of the wrong type"


def printable(text: str) -> str:
    """`text` as it may stand in a log line or a column: short, and without control characters."""
    clean = "".join(character if character.isprintable() else "?" for character in text[:60])
    return clean or "(none)"


def _resource_id(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_ID:
        return value
    return None


def _text(value: object) -> str:
    """The string, or nothing for what no column could hold (PostgreSQL refuses NUL and lone surrogates)."""
    if isinstance(value, str) and len(value) <= MAX_TEXT and value.isprintable():
        return value
    return ""


def _amount(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    text = _text(value)
    return text if decimal(text) is not None else ""


def decimal(amount: str) -> Decimal | None:
    """The amount as a number, or None where it is none: `300` and `300.00` are the same amount."""
    try:
        number = Decimal(amount)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:  # year 1 or 9999 with an offset
        return None
