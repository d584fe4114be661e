"""`spacebridge deliveries send`: delivers an order to a running bridge, signed as WooCommerce signs it."""

from __future__ import annotations

import codecs
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import click
import requests

from bridge import __version__
from bridge.cli.ledger_access import open_ledger, require_store, settings_of_command
from bridge.cli.options import YES_OPTION
from bridge.cli.starting import await_server
from bridge.cli.terminal import JSON_OPTION, confirm_or_fail, fail, print_result
from bridge.data_folder import is_up
from bridge.db import Ledger
from bridge.embedded.recorded import sample_order
from bridge.ledger import deliveries as ledger_deliveries
from bridge.web.signature import sign


def _address(url: str) -> str:
    """The address of a bridge, without a slash at its end; raises BadParameter."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number, or the host no address
        is_address = False
    if not (is_address and url.isascii() and url.isprintable()):
        raise click.BadParameter(f"{url!r} is no address of a bridge, such as http://127.0.0.1:8080.")
    return url.rstrip("/")


def _topic(topic: str) -> str:
    """The topic, which becomes a header; raises BadParameter."""
    if not (topic.strip() == topic and topic.isascii() and topic.isprintable()):
        raise click.BadParameter(f"{topic!r} is no topic, such as order.updated.")
    return topic


@click.command()
@click.argument("store")
@click.argument("file", required=False, type=click.File("rb"))
@click.option("--sample", is_flag=True, help="Send a made-up order, paid by card.")
@click.option(
    "--topic",
    default="order.updated",
    show_default=True,
    type=_topic,
    metavar="TEXT",
    help="What the delivery says it is.",
)
@click.option(
    "--url",
    default="http://127.0.0.1:8080",
    show_default=True,
    type=_address,
    metavar="TEXT",
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
    with ledger.read() as connection:
        shop = require_store(connection, store)
    number = secrets.randbelow(900_000) + 100_000
    body = _read_order(file) if file else sample_order(number, datetime.now(UTC))
    if sample and not yes:
        await_server(settings.api_url)
        if not _is_sandbox(settings.api_url):
            confirm_or_fail(
                f"Space Invoices, at {settings.api_url}, would issue a real document for a made-up order. "
                "Go on?",
                yes=yes,
            )
    secret = shop.webhook_secret(settings.vault())
    await_server(url, is_starting=lambda: is_up(settings.data_dir))
    answer = _deliver(f"{url}/webhooks/{shop.name}", body, topic, secret, ledger=ledger.place)
    reason = f" {answer['reason']}" if answer.get("reason") else ""
    sentence = f"Delivery {answer.get('delivery', '(none)')}: {answer.get('status')}.{reason}"
    print_result(answer, sentence, as_json=as_json)
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


def _deliver(url: str, body: bytes, topic: str, secret: str, *, ledger: str) -> dict[str, Any]:
    """Send the delivery and return the bridge's answer; end the command unless it is an acknowledgement.

    `ledger`: the ledger that the secret is from, for the message.
    """
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"spacebridge/{__version__}",
        "X-WC-Webhook-Topic": topic,
        "X-WC-Webhook-Signature": sign(body, secret),
    }
    try:
        response = requests.post(url, data=body, headers=headers, timeout=60, allow_redirects=False)
    except requests.RequestException as error:
        fail(
            f"No bridge answers at {url} ({type(error).__name__}). "
            "Start it with `spacebridge up`, or name its address with --url."
        )
    try:
        answer = response.json()
    except ValueError:
        answer = None
    status = response.status_code
    if not isinstance(answer, dict) or not isinstance(answer.get("status", answer.get("error")), str):
        fail(f"The server at {url} is no bridge (HTTP {status}): name its address with --url.")
    if answer.get("error") in {"wrong_signature", "unknown_store"}:
        fail(
            f"The bridge at {url} knows no store with this name and this secret ({status}): it runs over "
            f"another ledger than the one that was looked at ({ledger}). Name its folder with --data-dir, or "
            "another bridge with --url."
        )
    if status != 200:
        fail(f"The bridge did not take the delivery ({status}): {answer.get('message')}")
    return answer


def _is_sandbox(api_url: str) -> bool:
    """Whether a sandbox answers at this address, whose documents are not real."""
    try:
        address = api_url.removesuffix("/v1") + "/sandbox/documents"
        return requests.get(address, timeout=5, allow_redirects=False).status_code == 200
    except requests.RequestException:
        return False
