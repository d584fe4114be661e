"""What the ledger is to record of a request, and what the shop is told then."""

from __future__ import annotations

from typing import Any

import structlog

from bridge.issuance import Deletion, NotAnOrder, content_digest, printable, read_delivery
from bridge.ledger.deliveries import NewDelivery, Recorded
from bridge.telemetry import access

log = structlog.get_logger(__name__)


def read(topic: str, body: bytes) -> NewDelivery:
    """A signed request's delivery, whatever is in it. Never raises."""
    about = read_delivery(topic, body)
    return {
        "topic": printable(topic),
        "digest": content_digest(topic, body),
        "body": body,
        "resource_id": about.resource_id,
        "is_deletion": isinstance(about, Deletion),
        "ignored_because": about.reason if isinstance(about, NotAnOrder) else None,
    }


def answer(delivery: NewDelivery, recorded: Recorded) -> dict[str, str]:
    """What the shop is told of a delivery that is recorded."""
    told = {"status": "accepted", "delivery": str(recorded.delivery_id)}
    if recorded.is_duplicate:
        told["status"] = "duplicate"
    elif delivery["ignored_because"] is not None:
        told["status"] = "ignored"
        told["reason"] = delivery["ignored_because"]
    return told


def log_recorded(
    environ: dict[str, Any], store: str, delivery: NewDelivery, recorded: Recorded, outcome: str
) -> None:
    """Tell of a delivery that is committed: in the request's one line."""
    access.leave_out(environ)
    log.info(
        "delivery recorded",
        store=store,
        delivery=recorded.delivery_id,
        order=delivery["resource_id"],
        topic=delivery["topic"],
        outcome=outcome,
    )
