"""Orders to send: what a real shop sent, made 4 kB long, each under an id and a key of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.recorded import load

SIZE = 4096  # bytes, of an order as the shop sends it
FIRST = 1_000_000_000  # all numbers have as many digits, so that all bodies are of one length
PLACE = "7777777777"  # stands in a template where the number belongs


def order_template(config: Mapping[str, object] | None = None) -> str:
    """An order that was paid by card, with PLACE for its number; with a config's members in it if given."""
    order = _with_line_items(_recorded_order())
    order |= {
        "id": int(PLACE),
        "number": PLACE,
        "order_key": f"wc_order_{PLACE}",
        # A store has no documents issued for orders of before it was added, which is yet to happen.
        **dict.fromkeys(("date_created", "date_created_gmt"), _tomorrow()),
        "status": "processing",
        "payment_method": "stripe",
        "payment_method_title": "Card",
    }
    order["customer_note"] = "." * (SIZE - len(_dumps(order | {"customer_note": ""})))
    return _dumps(order | dict(config or {}))


def body_of(template: str, number: int) -> str:
    """The order of this number."""
    return template.replace(PLACE, str(number))


def _tomorrow() -> str:
    return (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S")


def _recorded_order() -> dict[str, Any]:
    created = (one for one in load("life-of-a-store") if one.topic == "order.created")
    return {**next(created).order()}


def _with_line_items(order: dict[str, Any]) -> dict[str, Any]:
    """The order with as many more line items as fit."""
    (item, *_) = order["line_items"]
    while len(_dumps(order)) + len(_dumps(item)) < SIZE - 200:
        more = item | {"id": item["id"] + len(order["line_items"]), "sku": f"SKU-{len(order['line_items'])}"}
        order = order | {"line_items": [*order["line_items"], more]}
    return order


def _dumps(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
