"""What the tests of reading deliveries have in common: a recorded order, other bodies, and what they say."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC
from typing import Any

from bridge.issuance import About, NotAnOrder, Order, Unreadable, read_delivery
from bridge.ledger.order_details import written
from tests.support import recorded

FILES = ["life-of-a-store", "not-a-current-order", "odd-secrets", "same-second-burst"]
EVERYTHING = [one for name in FILES for one in recorded.load(name)]
ORDER: dict[str, Any] = next(one for one in EVERYTHING if one.scenario == "paid_at_once").order()

WRONG = "missing or of the wrong type"


def body(**changes: object) -> bytes:
    """A recorded order with other properties. `...` takes one away."""
    members = {**ORDER, **changes}
    return json.dumps({name: value for name, value in members.items() if value is not ...}).encode()


def read(raw: bytes, topic: str = "order.updated", source: str = "") -> About:
    """What a delivery says, of which every test wants that the ledger can keep it."""
    about = read_delivery(topic, raw, source)
    for field in dataclasses.fields(about):
        value = getattr(about, field.name)
        if isinstance(value, str):
            assert "\0" not in value
            value.encode("utf-8")
    assert about.resource_id is None or 0 < about.resource_id < 2**63
    if isinstance(about, Order):
        assert about.modified.tzinfo is UTC
        assert about.status
        assert about.currency
        assert about.total
        written(about.details).encode("utf-8")
    if isinstance(about, NotAnOrder | Unreadable):
        assert about.reason
        assert len(about.reason) < 400
        assert about.reason.isprintable()
    return about


def read_order(**changes: object) -> Order:
    about = read(body(**changes))
    assert isinstance(about, Order), about
    return about


def refusal(raw: bytes, topic: str = "order.updated") -> str:
    about = read(raw, topic)
    assert isinstance(about, NotAnOrder), about
    return about.reason


LIKE_AN_ORDER = "it looks like an order, and cannot be read: "


def unreadable(raw: bytes, topic: str = "order.updated") -> str:
    """What is wrong with what looks like an order; under another topic, nobody misses an order in it."""
    about = read(raw, topic)
    assert isinstance(about, Unreadable), about
    elsewhere = read(raw, "product.updated")
    assert elsewhere == NotAnOrder(
        "another topic: product.updated is not about orders", about.resource_id, about.shop
    ), elsewhere
    assert about.reason.startswith(LIKE_AN_ORDER)
    return about.reason.removeprefix(LIKE_AN_ORDER)
