"""`spacebridge stores`: which shops there are."""

from __future__ import annotations

import re
import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from bridge.cli.ledger_access import open_ledger, require_store
from bridge.cli.terminal import JSON_OPTION, fail, print_json, print_rows
from bridge.issuance import Policy
from bridge.ledger import stores as ledger_stores
from bridge.ledger.stores import Store, StoreExistsError
from bridge.receiver.signature import unescape
from bridge.settings import load_settings, read_value_file

SPACE_INVOICES_ID = re.compile(r"[0-9a-fA-F]{24}")


@click.group()
def stores() -> None:
    """The shops, and where their orders go."""


@stores.command("add")
@click.argument("name")
@click.option("--organization", required=True, metavar="ID", help="The organization's id in Space Invoices.")
@click.option("--woocommerce", required=True, metavar="ID", help="The Woocommerce object's id there.")
@click.option("--token-file", metavar="FILE", help="A file with the access token, or - for standard input.")
@click.option("--webhook-secret-file", metavar="FILE", help="A file with the webhook's secret, or -.")
@JSON_OPTION
def add(
    name: str,
    organization: str,
    woocommerce: str,
    token_file: str | None,
    webhook_secret_file: str | None,
    as_json: bool,
) -> None:
    """Add a store. Without a secret, one is made and shown once."""
    if not ledger_stores.NAME.fullmatch(name):
        fail(
            f"{name!r} cannot be a store's name: use up to 63 of a-z, 0-9, - and _; it is part of an address."
        )
    for what, value in (("organization", organization), ("woocommerce", woocommerce)):
        if not SPACE_INVOICES_ID.fullmatch(value):
            fail(f"--{what} {value!r} is not an id of Space Invoices: those are 24 hexadecimal digits.")
    if {token_file, webhook_secret_file} == {"-"}:
        fail("Standard input can give the token or the secret, not both: put one of them into a file.")
    token = _read_secret("--token-file", token_file).strip() if token_file else _ask_for_token()
    if not (token.isascii() and token.isprintable() and " " not in token):
        fail("The access token is not one: it has characters that no header can carry. Copy it once more.")
    made = None if webhook_secret_file else secrets.token_hex(24)
    secret = made or _read_secret("--webhook-secret-file", webhook_secret_file or "")
    if not unescape(secret):
        fail("The webhook secret is empty, and anyone could sign with it: set one in WooCommerce.")
    settings = load_settings()
    ledger = open_ledger(settings)
    try:
        with ledger.write() as connection:
            ledger_stores.add(
                connection,
                vault=settings.vault(),
                name=name,
                organization_id=organization,
                woocommerce_id=woocommerce,
                api_token=token,
                webhook_secret=secret,
                policy=Policy(),
                now=datetime.now(UTC),
            )
    except StoreExistsError:
        fail(f"There is a store named {name} already. `spacebridge stores show {name}` shows it.")
    path = f"/webhooks/{name}"
    if as_json:
        print_json({"name": name, "delivery_path": path} | ({"webhook_secret": made} if made else {}))
        return
    click.echo(f"Store {name} is added.")
    click.echo(f"Delivery URL: https://<this bridge>{path}")
    if made:
        click.echo(f"Secret:       {made}   (shown this once)")
    click.echo(
        "In WooCommerce, under Settings > Advanced > Webhooks, add four webhooks with this URL and secret,\n"
        "status Active, API version v3: Order created, Order updated, Order deleted, Order restored.",
        err=True,
    )


@stores.command("list")
@JSON_OPTION
def list_(as_json: bool) -> None:
    """Show all stores."""
    ledger = open_ledger()
    with ledger.read() as connection:
        rows = [_row(store) for store in ledger_stores.every(connection)]
    print_rows(list(rows[0]) if rows else [], rows, as_json=as_json)


@stores.command("show")
@click.argument("name")
@JSON_OPTION
def show(name: str, as_json: bool) -> None:
    """Show one store and its config in Space Invoices."""
    store = require_store(open_ledger(), name)
    document = _row(store) | {
        "pause_reason": store.pause_reason,
        "issue_pending": store.policy.issue_pending,
        "bank_payment_methods": sorted(store.policy.bank_payment_methods),
        "status_map": dict(store.policy.status_map),
        "order_body": store.order_body,
        "unknown_outcome": store.unknown_outcome,
        "config": store.config,
        "config_fetched_at": store.config_fetched_at,
        "config_error": store.config_error,
    }
    if as_json:
        print_json(document)
        return
    width = max(map(len, document))
    for key, value in document.items():
        click.echo(f"{key:{width}}  {'' if value is None else value}")


def _row(store: Store) -> dict[str, object]:
    return {
        "name": store.name,
        "state": "paused" if store.paused_at else "active",
        "organization": store.organization_id,
        "woocommerce": store.woocommerce_id,
        "delivery_path": f"/webhooks/{store.name}",
        "last_ping_at": store.last_ping_at,
    }


def _ask_for_token() -> str:
    if not sys.stdin.isatty():
        fail("No token is given: use --token-file FILE, or --token-file - to read it from standard input.")
    token: str = click.prompt("Space Invoices access token", hide_input=True, err=True)
    return token.strip()


def _read_secret(option: str, source: str) -> str:
    text = sys.stdin.readline().rstrip("\r\n") if source == "-" else read_value_file(option, Path(source))
    if not text.strip():
        fail(f"{option} {source} holds nothing: give a file with the value in it.")
    return text
