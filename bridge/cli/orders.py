"""`spacebridge orders`: what is known of each order, what was decided on it, and how that came about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click
from sqlalchemy import Connection

from bridge.admin.issue_anyway import issue_anyway
from bridge.cli.apply_to_each import for_each
from bridge.cli.issuances import COLUMNS as ISSUANCE_COLUMNS
from bridge.cli.issuances import issuance_row
from bridge.cli.ledger_access import open_ledger, require_store
from bridge.cli.options import AS_OPTION, ID, LIMIT_OPTION, STORE_OPTION
from bridge.cli.terminal import JSON_OPTION, fail, print_json, print_rows
from bridge.cli.timeline import tell
from bridge.issuance import LABELS, Decision
from bridge.ledger import actions as ledger_actions
from bridge.ledger import attempts as ledger_attempts
from bridge.ledger import deliveries as ledger_deliveries
from bridge.ledger import issuances as ledger_issuances
from bridge.ledger import kept_deliveries
from bridge.ledger import orders as ledger_orders
from bridge.ledger.deliveries import UNREADABLE, Delivery
from bridge.ledger.orders import KnownOrder

ORDER_ARGUMENT = click.argument("order", type=ID)


@click.group()
def orders() -> None:
    """What was decided on each order."""


@orders.command("list")
@STORE_OPTION
@click.option("--decision", type=click.Choice(LABELS))
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
        unreadable: Sequence[Delivery] = ()
        if decision in {None, Decision.ATTENTION} and rule in {None, UNREADABLE}:
            unreadable = kept_deliveries.unreadable(connection, store=store, limit=limit)
    columns = ["id", "store", "number", "status", "payment_method", "total", "currency", "decision", "reason"]
    # First what waits for a person, and has no place among the orders.
    rows = [*(unreadable_row(one) for one in unreadable), *(order_row(one) for one in found)]
    print_rows(columns, rows[:limit], as_json=as_json)


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
        unreadable = _unreadable(connection, of.id, order)
    if not known and not unreadable:
        fail(
            f"Nothing is known of an order {order} of store {store}: it goes by its id, which "
            f"`spacebridge orders list --store {store}` shows beside its number."
        )
    rows = [
        order_row(one) | {"issuances": [issuance_row(issuance) for issuance in documents[one.id]]}
        for one in known
    ]
    rows += [unreadable_row(one) | {"issuances": []} for one in unreadable]
    if as_json:
        print_json(rows)
        return
    for delivery in unreadable:
        for key, value in unreadable_row(delivery).items():
            click.echo(f"{key:14}  {'' if value is None else value}")
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
    """Show the timeline of an order, by its id in WooCommerce, and how it stands.

    Every delivery with the decision on it, every attempt, and all that operators did.
    """
    ledger = open_ledger()
    of = require_store(ledger, store)
    with ledger.read() as connection:
        known = ledger_orders.of_resource(connection, of.id, order)
        received = ledger_deliveries.of_resource(connection, of.id, order)
        attempts = [one for row in known for one in ledger_attempts.of_order(connection, row.id)]
        actions = ledger_actions.of_resource(connection, of.id, order)
        unreadable = _unreadable(connection, of.id, order)
    if not received:
        fail(f"Store {store} never sent a delivery on an order {order}.")
    events = tell(received, attempts, actions)
    if as_json:
        rows = [{"at": one.at, "what": one.what, "result": one.result} for one in events]
        stand = [*map(order_row, known), *map(unreadable_row, unreadable)]
        print_json({"events": rows, "orders": stand})
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
    for delivery in unreadable:
        click.echo(f"\nNow: attention. {unreadable_row(delivery)['reason']}")


@orders.command()
@click.argument("store")
@click.argument("ids", metavar="ORDER...", type=ID, nargs=-1, required=True)
@click.option("--reason", "why", metavar="TEXT", help="Why, for the record.")
@AS_OPTION
@JSON_OPTION
def issue(store: str, ids: Sequence[int], why: str | None, who: str, as_json: bool) -> None:
    """Issue orders anyway, by their ids in WooCommerce, that a rule keeps back.

    That is one on orders from before the bridge, test orders, parts of other orders, totals of 0 or below, or
    orders that were paid back. What else decides, such as whether an order is paid, goes on to decide.
    """
    ledger = open_ledger()
    of = require_store(ledger, store)
    for_each(
        list(dict.fromkeys(ids)),
        lambda one: issue_anyway(ledger, of.id, one, why=why, who=who, now=datetime.now(UTC)),
        order_row,
        as_json=as_json,
    )


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


def unreadable_row(delivery: Delivery) -> dict[str, object]:
    """What looks like an order and cannot be read, by the same names."""
    return {
        "id": delivery.resource_id,
        "store": delivery.store,
        "number": None,
        "status": None,
        "payment_method": None,
        "total": None,
        "currency": None,
        "decision": Decision.ATTENTION.value,
        "reason": f"Delivery {delivery.id} is unreadable: {delivery.reason}.",
        "rule": UNREADABLE,
        "rule_since": delivery.last_received_at,
    }


def _unreadable(connection: Connection, store_id: int, resource_id: int) -> Sequence[Delivery]:
    found = ledger_deliveries.of_resource(connection, store_id, resource_id)
    return [one for one in found if one.state == UNREADABLE]
