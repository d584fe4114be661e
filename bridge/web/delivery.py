"""What the ledger is to record of a request, and what the shop is told then."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import structlog

from bridge.issuance import About, Deletion, content_digest, printable
from bridge.ledger.deliveries import NewDelivery, Recorded
from bridge.pipeline.quarantine import judged
from bridge.telemetry import access

log = structlog.get_logger(__name__)


def describe(topic: str, body: bytes, about: About, shop_urls: Collection[str]) -> NewDelivery:
    """What is recorded of a signed request. `shop_urls` are the addresses of the store's shop, if known."""
    state, reason = judged(about, shop_urls)
    is_deletion = isinstance(about, Deletion)
    return {
        "topic": printable(topic),
        "digest": content_digest(topic, body, about.shop if is_deletion else ""),
        "body": body,
        "resource_id": about.resource_id,
        "is_deletion": is_deletion,
        "shop_url": about.shop or None,
        "state": state,
        "reason": reason,
    }


def answer(delivery: NewDelivery, recorded: Recorded) -> dict[str, str]:
    """What the shop is told of a delivery that is recorded."""
    told = {"status": "accepted", "delivery": str(recorded.delivery_id)}
    if recorded.is_duplicate:
        told["status"] = "duplicate"
    elif delivery["reason"] is not None:
        told["status"] = delivery["state"]
        told["reason"] = delivery["reason"]
    return told


def log_recorded(
    environ: dict[str, Any], store: str, delivery: NewDelivery, recorded: Recorded, outcome: str
) -> None:
    """Tell of a delivery that is committed: in the request's one line."""
    access.skip(environ)
    log.info(
        "delivery recorded",
        store=store,
        delivery=recorded.delivery_id,
        order=delivery["resource_id"],
        topic=delivery["topic"],
        outcome=outcome,
    )
