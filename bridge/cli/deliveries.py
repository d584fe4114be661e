"""`spacebridge deliveries`: what the shops sent."""

from __future__ import annotations

import codecs
import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, BinaryIO

import click

from bridge.admin import operate
from bridge.cli.apply_to_each import apply_to_each
from bridge.cli.ledger_access import open_ledger, require_store, settings_of_command
from bridge.cli.options import AS_OPTION, ID, IDS_ARGUMENT, LIMIT_OPTION, STORE_OPTION, YES_OPTION
from bridge.cli.shop import deliver, is_sandbox, read_address, read_topic
from bridge.cli.starting import await_server
from bridge.cli.terminal import JSON_OPTION, confirm_or_fail, fail, print_json, print_rows
from bridge.data_folder import is_up
from bridge.db import Ledger
from bridge.embedded.recorded import sample_order
from bridge.ledger import deliveries as ledger_deliveries
from bridge.ledger.deliveries import Delivery


@click.group()
def deliveries() -> None:
    """What the shops sent."""


@deliveries.command("list")
@STORE_OPTION
@click.option("--state", type=click.Choice(ledger_deliveries.STATES))
@LIMIT_OPTION
@JSON_OPTION
def list_(store: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """Show the newest deliveries."""
    ledger = open_ledger()
    if store:
        require_store(ledger, store)
    with ledger.read() as connection:
        rows = ledger_deliveries.listed(connection, store=store, state=state, limit=limit)
    print_rows(
        ["id", "store", "topic", "state", "reason", "received_at", "resource_id", "duplicates"],
        [delivery_row(delivery) for delivery in rows],
        as_json=as_json,
    )


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
        return
    for key, value in document.items():
        click.echo(f"{key:12}  {'' if value is None else value}")


@deliveries.command()
@IDS_ARGUMENT
@AS_OPTION
@JSON_OPTION
def replay(ids: Sequence[int], who: str, as_json: bool) -> None:
    """Process deliveries once more, as after a failure. What was issued is not issued again."""
    apply_to_each(ids, partial(operate.replay, open_ledger(), who=who), delivery_row, as_json=as_json)


@deliveries.command()
@IDS_ARGUMENT
@AS_OPTION
@JSON_OPTION
def ignore(ids: Sequence[int], who: str, as_json: bool) -> None:
    """Set aside deliveries that are quarantined, unreadable, or could not be processed.

    They stay in the ledger, and change no order.
    """
    apply_to_each(ids, partial(operate.ignore, open_ledger(), who=who), delivery_row, as_json=as_json)


@deliveries.command()
@click.argument("store")
@click.argument("file", required=False, type=click.File("rb"))
@click.option("--sample", is_flag=True, help="Send a made-up order, paid by card.")
@click.option(
    "--topic",
    default="order.updated",
    show_default=True,
    callback=read_topic,
    help="What the delivery says it is.",
)
@click.option(
    "--url",
    default="http://127.0.0.1:8080",
    show_default=True,
    callback=read_address,
    help="Where the bridge listens.",
)
@YES_OPTION
@JSON_OPTION
def send(
    store: str, file: BinaryIO | None, sample: bool, topic: str, url: str, yes: bool, as_json: bool
) -> None:
    """Deliver an order to the running bridge as the shop would: one that got lost, or a sample.

    FILE holds the order as WooCommerce's REST API or the log of its webhooks shows it (JSON); - is standard
    input. It is signed with the store's secret. The bridge issues the documents that are due for it.

    Ends with status 1 if the bridge has no use for it.
    """
    if (file is None) is not sample:
        raise click.UsageError("Give either a FILE with an order or --sample.")
    settings = settings_of_command()
    ledger = open_ledger(settings)
    shop = require_store(ledger, store)
    number = secrets.randbelow(900_000) + 100_000
    body = _read_order(file) if file else sample_order(number, datetime.now(UTC))
    if sample and not yes:
        await_server(settings.api_url)
        if not is_sandbox(settings.api_url):
            confirm_or_fail(
                f"Space Invoices, at {settings.api_url}, would issue a real document for a made-up order. "
                "Go on?"
            )
    secret = shop.webhook_secret(settings.vault())
    await_server(url, is_starting=lambda: is_up(settings.data_dir))
    answer = deliver(f"{url}/webhooks/{shop.name}", body, topic, secret, ledger=ledger.place)
    if as_json:
        print_json(answer)
    else:
        reason = f" {answer['reason']}" if answer.get("reason") else ""
        click.echo(f"Delivery {answer.get('delivery', '(none)')}: {answer.get('status')}.{reason}")
    if (message := _no_effect(ledger, answer, shop.name)) is not None:
        fail(message)
    if sample and not as_json:
        click.echo(f"See what becomes of it: spacebridge orders explain {shop.name} {number}", err=True)


def _read_order(file: BinaryIO) -> bytes:
    """The bytes of a file with one JSON object, without a byte order mark; ends the command otherwise."""
    raw = file.read().removeprefix(codecs.BOM_UTF8)
    try:
        order = json.loads(raw.decode("utf-8"))
        problem = "is a list" if isinstance(order, list) else "is no order"
    except (ValueError, RecursionError):
        order, problem = None, "is not JSON in UTF-8" if raw.strip() else "is empty"
    if not isinstance(order, dict):
        fail(
            f"{file.name} {problem}, and nothing is sent: give one order, a JSON object, in a file of its "
            "own."
        )
    return raw


def _no_effect(ledger: Ledger, answer: Mapping[str, Any], store: str) -> str | None:
    """Why a recorded delivery leads to no document, and what to do; None if it may lead to one."""
    state, reason = answer.get("status"), answer.get("reason")
    if state == "duplicate":
        with ledger.read() as connection:
            original = ledger_deliveries.get(connection, int(answer["delivery"]))
        if original is not None:
            state, reason = original.state, original.reason
    if state in {"accepted", "duplicate", ledger_deliveries.RECEIVED, ledger_deliveries.PROCESSED}:
        return None
    problem = f"{state}: {reason}" if reason else str(state)
    return (
        f"The bridge has kept the delivery, and issues nothing for it ({problem}). "
        f"`spacebridge deliveries list --store {store}` shows it: mend what it names, and send it again."
    )


def delivery_row(delivery: Delivery) -> dict[str, object]:
    """A delivery under the names that scripts rely on."""
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
