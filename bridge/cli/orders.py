"""`spacebridge orders`: what is known of each order, what was decided on it, and how that came about."""

from __future__ import annotations

import click

from bridge.cli.issuances import COLUMNS as ISSUANCE_COLUMNS
from bridge.cli.issuances import issuance_row
from bridge.cli.ledger_access import open_ledger, require_store
from bridge.cli.options import ID, LIMIT_OPTION, STORE_OPTION
from bridge.cli.story import tell
from bridge.cli.terminal import JSON_OPTION, fail, print_json, print_rows
from bridge.ledger import actions as ledger_actions
from bridge.ledger import attempts as ledger_attempts
from bridge.ledger import deliveries as ledger_deliveries
from bridge.ledger import issuances as ledger_issuances
from bridge.ledger import orders as ledger_orders
from bridge.ledger.orders import KnownOrder

ORDER_ARGUMENT = click.argument("order", type=ID)


@click.group()
def orders() -> None:
    """What was decided on each order."""


@orders.command("list")
@STORE_OPTION
@click.option("--decision", type=click.Choice(["invoice", "estimate", "wait", "skip", "done", "attention"]))
@click.option("--rule", help="The rule that decided, in a word: pending, unknown_status, inactive...")
@LIMIT_OPTION
@JSON_OPTION
def list_(store: str | None, decision: str | None, rule: str | None, limit: int, as_json: bool) -> None:
    """Show the youngest orders."""
    ledger = open_ledger()
    if store:
        require_store(ledger, store)
    with ledger.read() as connection:
        found = ledger_orders.listed(connection, store=store, decision=decision, rule=rule, limit=limit)
    columns = ["id", "store", "number", "status", "payment_method", "total", "currency", "decision", "reason"]
    print_rows(columns, [order_row(one) for one in found], as_json=as_json)


@orders.command()
@click.argument("store")
@ORDER_ARGUMENT
@JSON_OPTION
def show(store: str, order: int, as_json: bool) -> None:
    """Show an order, by its id in WooCommerce, and its issuances.

    There is more than one of an id where a shop was installed anew.
    """
    ledger = open_ledger()
    of = require_store(ledger, store)
    with ledger.read() as connection:
        known = ledger_orders.of_resource(connection, of.id, order)
        documents = {one.id: ledger_issuances.of_order(connection, one.id) for one in known}
    if not known:
        fail(
            f"Nothing is known of an order {order} of store {store}: it goes by its id, which "
            f"`spacebridge orders list --store {store}` shows beside its number."
        )
    rows = [
        order_row(one) | {"issuances": [issuance_row(issuance) for issuance in documents[one.id]]}
        for one in known
    ]
    if as_json:
        print_json(rows)
        return
    for one in known:
        for key, value in order_row(one).items():
            click.echo(f"{key:14}  {'' if value is None else value}")
        print_rows(
            ISSUANCE_COLUMNS, [issuance_row(issuance) for issuance in documents[one.id]], as_json=False
        )


@orders.command()
@click.argument("store")
@ORDER_ARGUMENT
@JSON_OPTION
def explain(store: str, order: int, as_json: bool) -> None:
    """Tell the story of an order, by its id in WooCommerce, in time order, and where it stands.

    Every delivery with the decision on it, every attempt, and all that operators did.
    """
    ledger = open_ledger()
    of = require_store(ledger, store)
    with ledger.read() as connection:
        known = ledger_orders.of_resource(connection, of.id, order)
        received = ledger_deliveries.of_resource(connection, of.id, order)
        attempts = [one for row in known for one in ledger_attempts.of_order(connection, row.id)]
        actions = ledger_actions.of_resource(connection, of.id, order)
    if not received:
        fail(f"Store {store} never sent a delivery on an order {order}.")
    events = tell(received, attempts, actions)
    if as_json:
        rows = [{"at": one.at, "what": one.what, "result": one.result} for one in events]
        print_json({"events": rows, "orders": [order_row(one) for one in known]})
        return
    print_rows(
        ["at", "what", "result"],
        [
            # Much happens within a second, and what comes first matters.
            {"at": one.at.isoformat(" ", "milliseconds"), "what": one.what, "result": one.result}
            for one in events
        ],
        as_json=False,
    )
    for one in known:
        click.echo(f"\nNow: {one.decision}. {one.reason}")


def order_row(order: KnownOrder) -> dict[str, object]:
    """An order by the names that scripts rely on; `id` is WooCommerce's."""
    snapshot = order.snapshot
    return {
        "id": order.resource_id,
        "store": order.store,
        "number": snapshot.number if snapshot else None,
        "status": snapshot.status if snapshot else None,
        "payment_method": snapshot.payment_method if snapshot else None,
        "total": snapshot.total if snapshot else None,
        "currency": snapshot.currency if snapshot else None,
        "decision": order.decision,
        "reason": order.reason,
        "rule": order.rule,
        "rule_since": order.rule_since,
    }
