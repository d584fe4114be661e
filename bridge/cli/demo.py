"""`spacebridge up --demo`: plays what a real shop sent through the running bridge, and tells what happens."""

from __future__ import annotations

import secrets
import socket
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from bridge.cli.recorded import RecordedDelivery, recorded_deliveries
from bridge.cli.terminal import fail, styled_console
from bridge.db import Ledger, LedgerUnavailableError
from bridge.embedded.supervisor import Part
from bridge.issuance import StoreOptions
from bridge.ledger import deliveries, issuances, orders
from bridge.ledger import stores as ledger_stores
from bridge.pipeline.context import Context
from bridge.pipeline.store_configs import refresh_config
from bridge.settings import Settings

STORE = "demo"
ORGANIZATION = "64b7e0c0a1b2c3d4e5f60718"
WOOCOMMERCE = "64b7e0c0a1b2c3d4e5f60719"
LOG = "demo.log"  # in the data folder: what the parts print
SETTLE_WITHIN = 20.0  # seconds
_TOKEN = secrets.token_urlsafe(24)


def settings_for_demo(settings: Settings, *, not_port: int) -> Settings:
    """The settings with a ledger and a broker of the demo's own, and a sandbox in Space Invoices' place.

    `not_port`: where the receiver will listen, and so the sandbox must not.
    """
    port = not_port
    while port == not_port:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    return settings.model_copy(
        update={
            "data_dir": settings.data_dir / "demo",
            "api_url": f"http://127.0.0.1:{port}/v1",
            "database_url": SecretStr(""),
            "broker_url": SecretStr(""),
            "secret_key": (),
        }
    )


def clear(folder: Path) -> None:
    """Remove the last demo's ledger, and no ledger of any other kind."""
    marker = folder / "this-is-a-demo"
    if (folder / "ledger.db").exists() and not marker.exists():
        fail(f"{folder} holds a ledger that is no demo's: move it away, or give another --data-dir.")
    marker.touch()
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm", "secret.key", LOG):
        (folder / name).unlink(missing_ok=True)


def sandbox_part(settings: Settings) -> Part:
    """The sandbox, at the address of the settings."""
    port = settings.api_url.rsplit(":", 1)[1].partition("/")[0]
    arguments = ["sandbox", "--port", port, "--organization", ORGANIZATION, "--woocommerce", WOOCOMMERCE]
    return Part(
        "sandbox",
        [sys.executable, "-m", "bridge", *arguments],
        {"SPACEBRIDGE_SANDBOX_TOKEN": _TOKEN},
        is_ready=lambda: _documents(settings, 0) is not None,
    )


def play(settings: Settings, ledger: Ledger, address: str) -> None:
    """Deliver a shop's life, one delivery at a time, and print what came in, was decided and was issued."""
    console = styled_console()
    steps = recorded_deliveries()
    _add_store(settings, ledger, steps[0].secret)
    console.print(f"\nA shop's life in {len(steps)} deliveries, as WooCommerce sent them:\n")
    seen = 0
    answers: Counter[str] = Counter()
    for step in steps:
        answer = _deliver(step, address)
        answers[answer["status"]] += 1
        decided = _settled(ledger, int(answer["delivery"])) if "delivery" in answer else None
        new = _documents(settings, seen) or []
        seen += len(new)
        _tell(console, step, answer, decided, new)
    _summarize(console, settings, ledger, answers)


def _add_store(settings: Settings, ledger: Ledger, secret: str) -> None:
    context = Context(ledger, settings.vault(), settings.api_url, settings.api_timeout, settings.config_ttl)
    with ledger.write() as connection:
        store_id = ledger_stores.add(
            connection,
            vault=settings.vault(),
            name=STORE,
            organization_id=ORGANIZATION,
            woocommerce_id=WOOCOMMERCE,
            api_token=_TOKEN,
            webhook_secret=secret,
            options=StoreOptions(),
            now=datetime.now(UTC),
        )
    refresh_config(context, store_id)


def _deliver(step: RecordedDelivery, address: str) -> dict[str, str]:
    url = f"{address}/webhooks/{STORE}"
    answer = requests.post(url, data=step.body, headers=dict(step.headers), timeout=30)
    document: dict[str, str] = answer.json()
    return document


def _settled(ledger: Ledger, delivery_id: int) -> str | None:
    """What was decided on a delivery, once everything that was due for it is done."""
    deadline = time.monotonic() + SETTLE_WITHIN
    while time.monotonic() < deadline:
        try:
            with ledger.read() as connection:
                delivery = deliveries.get(connection, delivery_id)
                known = (
                    orders.of_resource(connection, delivery.store_id, delivery.resource_id)
                    if delivery and delivery.resource_id
                    else []
                )
                under_way = [
                    one
                    for order in known
                    for one in issuances.of_order(connection, order.id)
                    if one.state in {issuances.DUE, issuances.SENDING}
                ]
        except LedgerUnavailableError:
            return None
        if delivery and delivery.state != deliveries.RECEIVED and not under_way:
            return delivery.reason
        time.sleep(0.01)  # another process' work, which cannot wake us
    return None


def _documents(settings: Settings, since: int) -> Sequence[Mapping[str, Any]] | None:
    url = settings.api_url.removesuffix("/v1") + "/sandbox/documents"
    try:
        documents: Sequence[Mapping[str, Any]] = requests.get(url, params={"since": since}, timeout=5).json()[
            "documents"
        ]
    except requests.RequestException:
        return None
    return documents


def _counts(settings: Settings) -> Mapping[str, int]:
    url = settings.api_url.removesuffix("/v1") + "/sandbox/documents"
    counts: Mapping[str, int] = requests.get(url, timeout=5).json()["counts"]
    return counts


def _tell(
    console: Console,
    step: RecordedDelivery,
    answer: Mapping[str, str],
    decided: str | None,
    new: Sequence[Mapping[str, Any]],
) -> None:
    topic = step.headers.get("X-WC-Webhook-Topic", "ping")
    console.print(f"[bold]{topic}[/bold]  [dim]{step.scenario}[/dim]", highlight=False)
    if answer["status"] in {"duplicate", "pong"}:
        console.print(f"    {answer['status']}", style="dim")
    elif "reason" in answer:
        console.print(
            f"    {answer['status']}: {answer['reason']}", style="dim", markup=False, soft_wrap=True
        )
    elif decided is not None:
        console.print(f"    {decided}", markup=False, highlight=False, soft_wrap=True)
    for document in new:
        console.print(
            f"    [green]issued {document['kind']} {document['number']}[/green]: "
            f"{document['total']} {document['currency']}",
            highlight=False,
        )


def _summarize(console: Console, settings: Settings, ledger: Ledger, answers: Counter[str]) -> None:
    counts = _counts(settings)
    with ledger.read() as connection:
        known = orders.listed(connection, limit=1000)
    table = Table(title="Summary", title_justify="left", box=None, show_header=False, title_style="bold")
    for what, number in (
        ("deliveries accepted", answers["accepted"]),
        ("deliveries seen before", answers["duplicate"]),
        ("deliveries of no use, recorded all the same", answers["ignored"]),
        ("orders", len(known)),
        ("estimates issued", counts["estimates"]),
        ("invoices issued", counts["invoices"]),
        ("documents issued twice", counts["duplicates"]),
        ("orders that need a person", sum(one.decision == "attention" for one in known)),
        ("orders that wait", sum(one.decision == "wait" for one in known)),
    ):
        table.add_row(what, str(number))
    console.print()
    console.print(table)
    base = settings.api_url.removesuffix("/v1")
    prefix = f"SPACEBRIDGE_DATA_DIR={settings.data_dir} spacebridge"
    console.print(
        "\nIt goes on running. Try next, in another terminal (`. .venv/bin/activate` first):\n"
        f"  {prefix} orders list --decision attention\n"
        f"  {prefix} orders explain {STORE} 328\n"
        f"  {prefix} issuances list\n"
        f"  curl {base}/sandbox/documents\n",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
