"""`spacebridge deliveries`: what the shops sent."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import BinaryIO

import click

from bridge.cli.ledger_access import open_ledger, require_store
from bridge.cli.options import AS_OPTION, ID, IDS_ARGUMENT, LIMIT_OPTION, STORE_OPTION, YES_OPTION
from bridge.cli.recorded import sample_order
from bridge.cli.shop import deliver, is_a_sandbox
from bridge.cli.terminal import JSON_OPTION, confirm_or_fail, fail, print_json, print_rows
from bridge.cli.verbs import for_each
from bridge.ledger import deliveries as ledger_deliveries
from bridge.ledger.deliveries import Delivery
from bridge.pipeline import operate
from bridge.settings import load_settings


@click.group()
def deliveries() -> None:
    """What the shops sent."""


@deliveries.command("list")
@STORE_OPTION
@click.option(
    "--state",
    type=click.Choice(["received", "processed", "ignored", "failed", "unreadable", "quarantined"]),
)
@LIMIT_OPTION
@JSON_OPTION
def list_(store: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """Show the newest deliveries."""
    ledger = open_ledger()
    if store:
        require_store(ledger, store)
    with ledger.read() as connection:
        found = ledger_deliveries.listed(connection, store=store, state=state, limit=limit)
    rows = [delivery_row(one) for one in found]
    print_rows(
        ["id", "store", "topic", "state", "reason", "received_at", "resource_id", "duplicates"],
        rows,
        as_json=as_json,
    )


@deliveries.command()
@click.argument("delivery_id", metavar="ID", type=ID)
@JSON_OPTION
def show(delivery_id: int, as_json: bool) -> None:
    """Show one delivery with its body, which holds a customer's data."""
    with open_ledger().read() as connection:
        found = ledger_deliveries.get(connection, delivery_id)
    if found is None:
        fail(f"There is no delivery {delivery_id}. `spacebridge deliveries list` shows the newest.")
    document = delivery_row(found) | {"body": found.body.decode("utf-8", "backslashreplace")}
    if as_json:
        print_json(document)
        return
    for key, value in document.items():
        click.echo(f"{key:12}  {'' if value is None else value}")


@deliveries.command()
@IDS_ARGUMENT
@AS_OPTION
@JSON_OPTION
def replay(ids: Sequence[int], who: str, as_json: bool) -> None:
    """Process deliveries once more, as after a failure. What was issued is not issued again."""
    ledger = open_ledger()
    for_each(
        ids,
        lambda one: operate.replay(ledger, one, who=who, now=datetime.now(UTC)),
        delivery_row,
        as_json=as_json,
    )


@deliveries.command()
@click.argument("store")
@click.argument("file", required=False, type=click.File("rb"))
@click.option("--sample", is_flag=True, help="Send a made-up order, paid by card.")
@click.option("--topic", default="order.updated", show_default=True, help="What the delivery says it is.")
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="Where the bridge listens.")
@YES_OPTION
@JSON_OPTION
def send(
    store: str, file: BinaryIO | None, sample: bool, topic: str, url: str, yes: bool, as_json: bool
) -> None:
    """Deliver an order to the running bridge as the shop would: one that got lost, or a sample.

    FILE holds the order as WooCommerce's REST API or the log of its webhooks shows it (JSON); - is standard
    input. It is signed with the store's secret. What is due for it is issued.
    """
    if (file is None) is not sample:
        raise click.UsageError("Give either a FILE with an order or --sample.")
    settings = load_settings()
    of = require_store(open_ledger(settings), store)
    number = secrets.randbelow(900_000) + 100_000
    body = file.read() if file else sample_order(number, datetime.now(UTC))
    if sample and not yes and not is_a_sandbox(settings.api_url):
        confirm_or_fail(
            f"Space Invoices, at {settings.api_url}, would issue a real document for a made-up order. Go on?"
        )
    answer = deliver(
        f"{url.rstrip('/')}/webhooks/{of.name}", body, topic, of.webhook_secret(settings.vault())
    )
    if as_json:
        print_json(answer)
        return
    told = f"Delivery {answer['delivery']}: {answer['status']}." if "delivery" in answer else "Not accepted."
    click.echo(f"{told} {answer.get('reason') or ''}".strip())
    if sample:
        click.echo(f"See what becomes of it: spacebridge orders explain {of.name} {number}", err=True)


def delivery_row(delivery: Delivery) -> dict[str, object]:
    """A delivery by the names that scripts rely on."""
    return {
        "id": str(delivery.id),
        "store": delivery.store,
        "topic": delivery.topic,
        "state": delivery.state,
        "reason": delivery.reason,
        "received_at": delivery.received_at,
        "resource_id": delivery.resource_id,
        "duplicates": delivery.duplicates,
    }
