"""`spacebridge deliveries`: what the shops sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from bridge.cli.ledger_access import open_ledger, require_store
from bridge.cli.options import AS_OPTION, ID, IDS_ARGUMENT, LIMIT_OPTION, STORE_OPTION
from bridge.cli.terminal import JSON_OPTION, fail, print_json, print_rows
from bridge.cli.verbs import for_each
from bridge.ledger import deliveries as ledger_deliveries
from bridge.ledger.deliveries import Delivery
from bridge.pipeline import operate


@click.group()
def deliveries() -> None:
    """What the shops sent."""


@deliveries.command("list")
@STORE_OPTION
@click.option("--state", type=click.Choice(["received", "processed", "ignored", "failed"]))
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
