"""What a real shop sent over its life: the deliveries that the demo plays and a sample is made of."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

_PACKAGED = Path(__file__).parent / "life-of-a-store.jsonl"
_IN_REPOSITORY = Path(__file__).parents[2] / "tests/data/woocommerce-deliveries/life-of-a-store.jsonl"


class RecordingUnreadableError(Exception):
    """The recorded deliveries cannot be read; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class RecordedDelivery:
    """One delivery, as it was sent."""

    scenario: str
    headers: Mapping[str, str]
    secret: str
    body: bytes


def recorded_deliveries() -> Sequence[RecordedDelivery]:
    """All deliveries, in the order in which they were sent; raises RecordingUnreadableError."""
    path = _PACKAGED if _PACKAGED.exists() else _IN_REPOSITORY
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise RecordingUnreadableError(
            f"{path} cannot be read: {error.strerror}. Install Spacebridge again."
        ) from None
    return [_delivery(json.loads(line)) for line in lines]


def sample_order(number: int, now: datetime) -> bytes:
    """An order as a shop would send it, paid by card at `now`, with the id `number`.

    Raises RecordingUnreadableError.
    """
    recorded = next(
        delivery
        for delivery in recorded_deliveries()
        if delivery.headers.get("X-WC-Webhook-Topic") == "order.created"
    )
    moment = now.strftime("%Y-%m-%dT%H:%M:%S")
    order = json.loads(recorded.body) | {
        "id": number,
        "number": str(number),
        "order_key": f"wc_order_sample{number}",
        "status": "processing",
        "payment_method": "stripe",
        "payment_method_title": "Card",
        "date_created_gmt": moment,
        "date_modified_gmt": moment,
        "date_paid_gmt": moment,
    }
    return json.dumps(order).encode()


def _delivery(entry: Mapping[str, Any]) -> RecordedDelivery:
    headers = {name: value for name, value in entry["headers"] if name != "Connection"}
    return RecordedDelivery(entry["scenario"], headers, entry["secret"], base64.b64decode(entry["body_b64"]))
