"""`spacebridge orders`: each order, the decision on it, and what led to that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click

from bridge.cli.groups import LazyGroup
from bridge.cli.issuances import COLUMNS as ISSUANCE_COLUMNS
from bridge.cli.issuances import issuance_row
from bridge.cli.ledger_access import open_ledger, require_store
from bridge.cli.options import ID, LIMIT_OPTION, STORE_OPTION
from bridge.cli.terminal import JSON_OPTION, fail, print_fields, print_json, print_rows
from bridge.cli.timeline import timeline
from bridge.issuance import LABELS, Decision
from bridge.ledger import actions as ledger_actions
from bridge.ledger import attempts as ledger_attempts
from bridge.ledger import deliveries as ledger_deliveries
from bridge.ledger import finds as ledger_finds
from bridge.ledger import issuances as ledger_issuances
from bridge.ledger import kept_deliveries
from bridge.ledger import orders as ledger_orders
from bridge.ledger.deliveries import UNREADABLE, Delivery
from bridge.ledger.orders import KnownOrder

SNAPSHOT_COLUMNS = ["number", "status", "payment_method", "total", "currency"]
ORDER_ARGUMENT = click.argument("order", type=ID)


@click.group(cls=LazyGroup, modules={"issue": "bridge.cli.actions"})
def orders() -> None:
    """What was decided on each order."""


@orders.command("list")
@STORE_OPTION
@click.option("--decision", type=click.Choice(LABELS))
@click.option("--rule", help="The rule that decided, in a word: pending, unknown_status, inactive...")
@LIMIT_OPTION
@JSON_OPTION
def list_(store: str | None, decision: str | None, rule: str | None, limit: int, as_json: bool) -> None:
    """Show the newest orders."""
    with open_ledger().read() as connection:
        if store:
            require_store(connection, store)
        decided = ledger_orders.listed(connection, store=store, decision=decision, rule=rule, limit=limit)
        unreadable: Sequence[Delivery] = ()
        if decision in {None, Decision.ATTENTION} and rule in {None, UNREADABLE}:
            unreadable = kept_deliveries.unreadable(connection, store=store, limit=limit)
    columns = ["id", "store", *SNAPSHOT_COLUMNS, "decision", "reason"]
    # Unreadable deliveries come first: they wait for a person, and have no order.
    rows = [*map(unreadable_row, unreadable), *map(order_row, decided)]
    print_rows(columns, rows[:limit], as_json=as_json)


@orders.command()
@click.argument("store")
@ORDER_ARGUMENT
@JSON_OPTION
def show(store: str, order: int, as_json: bool) -> None:
    """Show an order, by its id in WooCommerce, and its issuances.

    Several orders have the same id where a shop was installed again.
    """
    with open_ledger().read() as connection:
        store_id = require_store(connection, store).id
        known_orders = ledger_orders.of_resource(connection, store_id, order)
        issuances = [
            list(map(issuance_row, ledger_issuances.of_order(connection, row.id))) for row in known_orders
        ]
        deliveries = ledger_deliveries.of_resource(connection, store_id, order)
    unreadable = [delivery for delivery in deliveries if delivery.state == UNREADABLE]
    if not known_orders and not unreadable:
        from bridge.admin.issue_anyway import unknown_order  # noqa: PLC0415 - imports what decides, too

        fail(unknown_order(store, order))
    order_rows, unreadable_rows = list(map(order_row, known_orders)), list(map(unreadable_row, unreadable))
    if as_json:
        documents = [row | {"issuances": rows} for row, rows in zip(order_rows, issuances, strict=True)]
        print_json(documents + [row | {"issuances": []} for row in unreadable_rows])
        return
    for row in unreadable_rows:
        print_fields(row)
    for row, rows in zip(order_rows, issuances, strict=True):
        print_fields(row)
        print_rows(ISSUANCE_COLUMNS, rows, as_json=False)


@orders.command()
@click.argument("store")
@ORDER_ARGUMENT
@JSON_OPTION
def explain(store: str, order: int, as_json: bool) -> None:
    """Show the timeline of an order, by its id in WooCommerce, and the decision that holds now.

    It has every delivery with the decision on it, every attempt, and every action of an operator.
    """
    with open_ledger().read() as connection:
        store_id = require_store(connection, store).id
        known_orders = ledger_orders.of_resource(connection, store_id, order)
        deliveries = ledger_deliveries.of_resource(connection, store_id, order)
        attempts = [
            attempt for row in known_orders for attempt in ledger_attempts.of_order(connection, row.id)
        ]
        actions = ledger_actions.of_resource(connection, store_id, order)
        found = ledger_finds.of_resource(connection, store_id, order)
    if not deliveries:
        fail(f"Store {store} never sent a delivery on an order {order}.")
    unreadable = [unreadable_row(delivery) for delivery in deliveries if delivery.state == UNREADABLE]
    events = [asdict(event) for event in timeline(deliveries, attempts, actions, found)]
    if as_json:
        print_json({"events": events, "orders": [*map(order_row, known_orders), *unreadable]})
        return
    # In milliseconds, since several events of one second are usual, and their order matters.
    rows = [event | {"at": event["at"].isoformat(" ", "milliseconds")} for event in events]
    print_rows(["at", "what", "result"], rows, as_json=False)
    for now in known_orders:
        click.echo(f"\nNow: {now.decision}. {now.reason}")
    for row in unreadable:
        click.echo(f"\nNow: attention. {row['reason']}")


def order_row(order: KnownOrder) -> dict[str, object]:
    """An order under the names that scripts rely on; `id` is WooCommerce's."""
    return {
        "id": order.resource_id,
        "store": order.store,
        **{name: getattr(order.snapshot, name, None) for name in SNAPSHOT_COLUMNS},
        "decision": order.decision,
        "reason": order.reason,
        "rule": order.rule,
        "rule_since": order.rule_since,
    }


def unreadable_row(delivery: Delivery) -> dict[str, object]:
    """An unreadable delivery under the same names: it looks like an order."""
    return {
        "id": delivery.resource_id,
        "store": delivery.store,
        **dict.fromkeys(SNAPSHOT_COLUMNS),
        "decision": Decision.ATTENTION.value,
        "reason": f"Delivery {delivery.id} is unreadable: {delivery.reason}.",
        "rule": UNREADABLE,
        "rule_since": delivery.last_received_at,
    }
