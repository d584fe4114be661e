"""A store, an order and its issuances as the ledger has them, for tests that need no ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from bridge.issuance import Kind, StoreOptions
from bridge.ledger.issuances import Issuance
from bridge.ledger.orders import KnownOrder
from bridge.ledger.store import Store
from tests.support.deciding import CARD, DOCUMENT

NOW = datetime(2026, 11, 23, 3, tzinfo=UTC)
STORE = Store(
    id=7,
    name="shop",
    organization_id="64b7e0c0a1b2c3d4e5f60718",
    woocommerce_id="64b7e0c0a1b2c3d4e5f60719",
    options=StoreOptions(),
    config={"name": "Shop"},
    config_fetched_at=NOW,
    config_tried_at=NOW,
    config_error=None,
    decision_version=2,
    deciding_anew_since=None,
    paused_at=None,
    pause_reason=None,
    next_probe_at=None,
    failures=0,
    resumed_at=None,
    last_ping_at=None,
    created_at=NOW,
    removed_at=None,
    webhook_secret_seen_at=None,
    encrypted_api_token="a",
    encrypted_webhook_secret="b",
    encrypted_previous_secrets=[],
)
ORDER = KnownOrder(
    id=11,
    store_id=STORE.id,
    store=STORE.name,
    resource_id=CARD.resource_id,
    order_key=CARD.order_key,
    snapshot=CARD,
    delivery_id=5,
    deleted_at=None,
    decision=None,
    reason=None,
    decided_version=1,
)


def issuance(kind: Kind, state: str, *, withdrawn_by: str | None = None) -> Issuance:
    """One of the order, that was or is to be sent for what the order is now."""
    return replace(
        Issuance.new(ORDER, kind),
        id=21,
        state=state,
        withdrawn_by=withdrawn_by,
        total=DOCUMENT.total,
        currency=DOCUMENT.currency,
    )
