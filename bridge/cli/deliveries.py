"""`spacebridge deliveries`: what the shops sent."""

from __future__ import annotations

import click

from bridge.cli.groups import LazyGroup
from bridge.cli.ledger_access import open_ledger, require_store
from bridge.cli.options import ID, LIMIT_OPTION, STORE_OPTION
from bridge.cli.terminal import JSON_OPTION, fail, print_fields, print_json, print_rows
from bridge.ledger import deliveries as ledger_deliveries
from bridge.ledger.deliveries import Delivery

COLUMNS = ["id", "store", "topic", "state", "reason", "received_at", "resource_id", "duplicates"]


@click.group(
    cls=LazyGroup,
    modules={"replay": "bridge.cli.actions", "ignore": "bridge.cli.actions", "send": "bridge.cli.send"},
)
def deliveries() -> None:
    """What the shops sent."""


@deliveries.command("list")
@STORE_OPTION
@click.option("--state", type=click.Choice(ledger_deliveries.STATES))
@LIMIT_OPTION
@JSON_OPTION
def list_(store: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """Show the newest deliveries."""
    with open_ledger().read() as connection:
        if store:
            require_store(connection, store)
        rows = ledger_deliveries.listed(connection, store=store, state=state, limit=limit)
    print_rows(COLUMNS, [delivery_row(delivery) for delivery in rows], as_json=as_json)


@deliveries.command()
@click.argument("delivery_id", metavar="ID", type=ID)
@JSON_OPTION
def show(delivery_id: int, as_json: bool) -> None:
    """Show one delivery with its body, which holds a customer's data."""
    with open_ledger().read() as connection:
        delivery = ledger_deliveries.get(connection, delivery_id)
    if delivery is None:
        fail(f"There is no delivery {delivery_id}. `spacebridge deliveries list` shows the newest.")
    document = delivery_row(delivery) | {"body": delivery.body.decode("utf-8", "backslashreplace")}
    if as_json:
        print_json(document)
    else:
        print_fields(document, width=12)


def delivery_row(delivery: Delivery) -> dict[str, object]:
    """A delivery under the names that scripts rely on."""
    return {name: getattr(delivery, name) for name in COLUMNS} | {"id": str(delivery.id)}
