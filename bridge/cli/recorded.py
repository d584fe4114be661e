"""What a real shop sent over its life: the deliveries that the demo plays and a sample is made of."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bridge.cli.terminal import fail

_PACKAGED = Path(__file__).parent / "life-of-a-store.jsonl"
_IN_REPOSITORY = Path(__file__).parents[2] / "tests/data/woocommerce-deliveries/life-of-a-store.jsonl"


@dataclass(frozen=True, slots=True)
class RecordedDelivery:
    """One delivery, as it was sent."""

    scenario: str
    headers: Mapping[str, str]
    secret: str
    body: bytes


def recorded_deliveries() -> Sequence[RecordedDelivery]:
    """All of them, in the order in which they were sent."""
    path = _PACKAGED if _PACKAGED.exists() else _IN_REPOSITORY
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}. Install Spacebridge anew.")
    found = []
    for line in lines:
        entry = json.loads(line)
        headers = {name: value for name, value in entry["headers"] if name != "Connection"}
        body = base64.b64decode(entry["body_b64"])
        found.append(RecordedDelivery(entry["scenario"], headers, entry["secret"], body))
    return found


def sample_order(number: int, now: datetime) -> bytes:
    """An order as a shop would send it: paid by card at this moment, under an id of its own."""
    recorded = next(
        one for one in recorded_deliveries() if one.headers.get("X-WC-Webhook-Topic") == "order.created"
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
