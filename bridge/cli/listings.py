"""`spacebridge deliveries`, `orders` and `issuances`: what came in, what was decided, what was issued."""

from __future__ import annotations

from datetime import datetime

import click

from bridge.cli.ledger_access import open_ledger, require_store
from bridge.cli.terminal import JSON_OPTION, fail, print_json, print_rows
from bridge.issuance.order import MAX_ID
from bridge.ledger import attempts as ledger_attempts
from bridge.ledger import deliveries as ledger_deliveries
from bridge.ledger import issuances as ledger_issuances
from bridge.ledger import orders as ledger_orders
from bridge.ledger.deliveries import Delivery
from bridge.ledger.issuances import Issuance
from bridge.ledger.orders import KnownOrder

STORE_OPTION = click.option("--store", metavar="NAME", help="Of this store only.")
LIMIT_OPTION = click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100_000))
ID = click.IntRange(1, MAX_ID)


@click.group()
def deliveries() -> None:
    """What the shops sent."""


@deliveries.command("list")
@STORE_OPTION
@click.option("--state", type=click.Choice(["received", "processed", "ignored", "failed"]))
@LIMIT_OPTION
@JSON_OPTION
def list_deliveries(store: str | None, state: str | None, limit: int, as_json: bool) -> None:
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


@deliveries.command("show")
@click.argument("delivery_id", metavar="ID", type=ID)
@JSON_OPTION
def show_delivery(delivery_id: int, as_json: bool) -> None:
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


@deliveries.command("replay")
@click.argument("delivery_id", metavar="ID", type=ID)
def replay_delivery(delivery_id: int) -> None:
    """Process a delivery once more, as after a failure. What was issued is not issued again."""
    with open_ledger().write() as connection:
        replayed = ledger_deliveries.replay(connection, delivery_id)
    if not replayed:
        fail(f"Delivery {delivery_id} cannot be replayed: there is none, or it is of no use (ignored).")
    click.echo(f"Delivery {delivery_id} is processed again at the next sweep.", err=True)


@click.group()
def orders() -> None:
    """What was decided on each order."""


@orders.command("list")
@STORE_OPTION
@click.option("--decision", type=click.Choice(["invoice", "estimate", "wait", "skip", "done", "attention"]))
@LIMIT_OPTION
@JSON_OPTION
def list_orders(store: str | None, decision: str | None, limit: int, as_json: bool) -> None:
    """Show the youngest orders."""
    ledger = open_ledger()
    if store:
        require_store(ledger, store)
    with ledger.read() as connection:
        found = ledger_orders.listed(connection, store=store, decision=decision, limit=limit)
    columns = ["id", "store", "number", "status", "payment_method", "total", "currency", "decision", "reason"]
    print_rows(columns, [order_row(one) for one in found], as_json=as_json)


@orders.command("explain")
@click.argument("store")
@click.argument("order", type=ID)
@JSON_OPTION
def explain(store: str, order: int, as_json: bool) -> None:
    """Tell an order's story: every delivery and attempt in time order, and where it stands."""
    ledger = open_ledger()
    of = require_store(ledger, store)
    with ledger.read() as connection:
        known = ledger_orders.of_resource(connection, of.id, order)
        received = ledger_deliveries.of_resource(connection, of.id, order)
        attempts = [one for row in known for one in ledger_attempts.of_order(connection, row.id)]
    if not received:
        fail(f"Store {store} never sent a delivery on an order {order}.")
    events: list[tuple[datetime, str, str]] = [
        (one.received_at, f"delivery {one.id}", f"{one.topic}: {one.reason or one.state}") for one in received
    ]
    events += [
        (one.started_at, f"attempt for the {one.kind}", f"{one.outcome or 'under way'} {one.excerpt or ''}")
        for one in attempts
    ]
    rows: list[dict[str, object]] = [
        {"at": at, "what": what, "result": result.strip()} for at, what, result in sorted(events)
    ]
    if as_json:
        print_json({"events": rows, "orders": [order_row(one) for one in known]})
        return
    print_rows(["at", "what", "result"], rows, as_json=False)
    for one in known:
        click.echo(f"\nNow: {one.decision}. {one.reason}")


@click.group()
def issuances() -> None:
    """The documents: due, issued, held."""


@issuances.command("list")
@click.option("--state", type=click.Choice(["due", "sending", "issued", "failed", "held", "withdrawn"]))
@STORE_OPTION
@LIMIT_OPTION
@JSON_OPTION
def list_issuances(state: str | None, store: str | None, limit: int, as_json: bool) -> None:
    """Show the youngest issuances."""
    ledger = open_ledger()
    if store:
        require_store(ledger, store)
    with ledger.read() as connection:
        found = ledger_issuances.listed(connection, store=store, state=state, limit=limit)
    columns = ["id", "store", "order", "kind", "state", "attempts", "next_attempt_at", "last_error"]
    print_rows(columns, [issuance_row(one) for one in found], as_json=as_json)


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
    }


def issuance_row(issuance: Issuance) -> dict[str, object]:
    """An issuance by the names that scripts rely on; `order` is the order's id in WooCommerce."""
    return {
        "id": str(issuance.id),
        "store": issuance.store,
        "order": issuance.order,
        "kind": issuance.kind,
        "state": issuance.state,
        "attempts": issuance.attempts,
        "next_attempt_at": issuance.next_attempt_at,
        "last_error": issuance.last_error,
    }
