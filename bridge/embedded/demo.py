"""The demo of `spacebridge up`: a sandbox, a ledger of its own, and the deliveries of a real shop's life."""

from __future__ import annotations

import secrets
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from pydantic import SecretStr

from bridge.db import Ledger, LedgerUnavailableError
from bridge.embedded.folder_lock import DataFolderError
from bridge.embedded.recorded import RecordedDelivery
from bridge.embedded.supervisor import Part
from bridge.issuance import StoreOptions
from bridge.ledger import deliveries as ledger_deliveries
from bridge.ledger import issuances, orders
from bridge.ledger import stores as ledger_stores
from bridge.ledger.deliveries import Delivery
from bridge.pipeline.context import Context
from bridge.pipeline.store_configs import refresh_config
from bridge.settings import PREFIX, Settings

STORE = "demo"
ORGANIZATION = "64b7e0c0a1b2c3d4e5f60718"
WOOCOMMERCE = "64b7e0c0a1b2c3d4e5f60719"
LOG = "demo.log"  # in the data folder: what the parts print
SETTLE_WITHIN = 20.0  # seconds
TOKEN = secrets.token_urlsafe(24)


@dataclass(frozen=True, slots=True)
class Step:
    """One delivery of the demo, the receiver's answer, the reason of the decision, and the new documents."""

    delivery: RecordedDelivery
    answer: Mapping[str, str]
    reason: str | None
    documents: Sequence[Mapping[str, Any]]


def demo_settings(settings: Settings, *, receiver_port: int) -> Settings:
    """The settings with a ledger, a broker and a sandbox of the demo's own.

    The sandbox gets a free port other than `receiver_port`, on which the receiver will listen.
    """
    port = receiver_port
    while port == receiver_port:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
    values = {"database_url": SecretStr(""), "broker_url": SecretStr(""), "secret_key": ()}
    values |= {"data_dir": settings.data_dir / "demo", "api_url": f"http://127.0.0.1:{port}/v1"}
    return settings.model_copy(update=values)


def environment(settings: Settings) -> dict[str, str]:
    """What the parts' environment says in the demo: they must not reach a real ledger that it names."""
    return {
        f"{PREFIX}DATABASE_URL": "",
        f"{PREFIX}SECRET_KEY": "",
        f"{PREFIX}API_URL": settings.api_url,
        f"{PREFIX}LOG_FORMAT": settings.log_format or "text",
    }


def clear(folder: Path) -> None:
    """Remove the last demo's ledger; raises DataFolderError if the folder holds any other ledger."""
    marker = folder / "this-is-a-demo"
    if (folder / "ledger.db").exists() and not marker.exists():
        raise DataFolderError(
            f"{folder} holds a ledger that is no demo's: move it away, or give another --data-dir."
        )
    marker.touch()
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm", "secret.key", LOG):
        (folder / name).unlink(missing_ok=True)


def sandbox_part(settings: Settings) -> Part:
    """The sandbox, at the address that the settings name."""
    port = str(urlsplit(settings.api_url).port)
    arguments = ["sandbox", "--port", port, "--organization", ORGANIZATION, "--woocommerce", WOOCOMMERCE]
    command = [sys.executable, "-m", "bridge", *arguments]
    environment = {f"{PREFIX}SANDBOX_TOKEN": TOKEN}
    return Part("sandbox", command, environment, is_ready=lambda: _documents(settings, 0) is not None)


def play(
    settings: Settings, ledger: Ledger, address: str, deliveries: Sequence[RecordedDelivery]
) -> Iterator[Step]:
    """Add the store, and deliver to the receiver at `address` one delivery after another.

    Each step waits until the delivery is processed and nothing is due for its order any more, for
    SETTLE_WITHIN at most.
    """
    _add_store(settings, ledger, deliveries[0].secret)
    documents_seen = 0
    for delivery in deliveries:
        url = f"{address}/webhooks/{STORE}"
        response = requests.post(url, data=delivery.body, headers=dict(delivery.headers), timeout=30)
        answer: Mapping[str, str] = response.json()
        reason = _settle(ledger, int(answer["delivery"])) if "delivery" in answer else None
        documents = _documents(settings, documents_seen) or []
        documents_seen += len(documents)
        yield Step(delivery, answer, reason, documents)


def totals(settings: Settings, ledger: Ledger, answers: Counter[str]) -> Sequence[tuple[str, int]]:
    """The summary of the demo: labels and numbers. `answers` counts the answers by status."""
    counts: Mapping[str, int] = _ask_sandbox(settings)["counts"]
    with ledger.read() as connection:
        decisions = Counter(order.decision for order in orders.listed(connection, limit=1000))
    return [
        ("deliveries accepted", answers["accepted"]),
        ("deliveries seen before", answers["duplicate"]),
        ("deliveries of no use, recorded all the same", answers["ignored"]),
        ("orders", decisions.total()),
        ("estimates issued", counts["estimates"]),
        ("invoices issued", counts["invoices"]),
        ("documents issued twice", counts["duplicates"]),
        ("orders that need a person", decisions["attention"]),
        ("orders that wait", decisions["wait"]),
    ]


def _add_store(settings: Settings, ledger: Ledger, webhook_secret: str) -> None:
    vault = settings.vault()
    with ledger.write() as connection:
        store_id = ledger_stores.add(
            connection,
            vault=vault,
            name=STORE,
            organization_id=ORGANIZATION,
            woocommerce_id=WOOCOMMERCE,
            api_token=TOKEN,
            webhook_secret=webhook_secret,
            options=StoreOptions(),
            now=datetime.now(UTC),
        )
    refresh_config(
        Context(ledger, vault, settings.api_url, settings.api_timeout, settings.config_ttl), store_id
    )


def _settle(ledger: Ledger, delivery_id: int) -> str | None:
    """Wait until the delivery is processed and nothing is due for its order; the reason of the decision.

    Returns None where the ledger cannot be read, or after SETTLE_WITHIN.
    """
    deadline = time.monotonic() + SETTLE_WITHIN
    while time.monotonic() < deadline:
        try:
            delivery = _settled(ledger, delivery_id)
        except LedgerUnavailableError:
            return None
        if delivery is not None:
            return delivery.reason
        time.sleep(0.01)  # another process works on it, which cannot wake this one
    return None


def _settled(ledger: Ledger, delivery_id: int) -> Delivery | None:
    """The delivery; None until it is processed and no document of its order is due or being sent."""
    with ledger.read() as connection:
        delivery = ledger_deliveries.get(connection, delivery_id)
        if delivery is None or delivery.state == ledger_deliveries.RECEIVED:
            return None
        is_under_way = any(
            issuance.state in {issuances.DUE, issuances.SENDING}
            for order in orders.of_resource(connection, delivery.store_id, delivery.resource_id or 0)
            for issuance in issuances.of_order(connection, order.id)
        )
    return None if is_under_way else delivery


def _documents(settings: Settings, since: int) -> Sequence[Mapping[str, Any]] | None:
    """The sandbox's documents after the first `since`; None if it does not answer."""
    try:
        documents: Sequence[Mapping[str, Any]] = _ask_sandbox(settings, since)["documents"]
    except requests.RequestException:
        return None
    return documents


def _ask_sandbox(settings: Settings, since: int = 0) -> Any:
    url = settings.api_url.removesuffix("/v1") + "/sandbox/documents"
    return requests.get(url, params={"since": since}, timeout=5).json()
