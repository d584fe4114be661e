"""`spacebridge woocommerce`: calls the Woocommerce endpoints of Space Invoices; none needs a store."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from bridge.cli.ledger_access import open_ledger, require_store, settings_of_command
from bridge.cli.options import YES_OPTION
from bridge.cli.properties import (
    BOOLEANS,
    FIELDS_HELP,
    decode_json,
    id_of,
    new_name,
    object_of,
    read_fields,
    utf8,
)
from bridge.cli.terminal import (
    JSON_OPTION,
    confirm_or_fail,
    fail,
    print_fields,
    print_json,
    print_result,
    print_rows,
)
from bridge.pipeline.context import connect
from bridge.settings import PREFIX, Settings
from bridge.spaceinvoices import (
    NewWoocommerce,
    SpaceInvoices,
    SpaceInvoicesError,
    Woocommerce,
    WoocommerceChanges,
)

_COLUMNS = ["id", "name", *BOOLEANS, "_isDeleted", "updatedAt"]

ORGANIZATION = click.argument("organization_id", metavar="ORG", type=id_of)
WOOCOMMERCE = click.argument("woocommerce_id", metavar="ID", type=id_of)
STORE_OPTION = click.option("--store", metavar="NAME", help="Use this store's token.")


@click.group()
def woocommerce() -> None:
    """Space Invoices' Woocommerce objects, by its API as it is.

    The access token is that of SPACEBRIDGE_API_TOKEN, of the file SPACEBRIDGE_API_TOKEN_FILE, or, with
    --store NAME, of a store.
    """


@woocommerce.command("find")
@ORGANIZATION
@click.option("--filter", "filter_", metavar="JSON", type=object_of, help="A filter, as LoopBack has it.")
@STORE_OPTION
@JSON_OPTION
def find(organization_id: str, filter_: dict[str, Any] | None, store: str | None, as_json: bool) -> None:
    """Show the Woocommerce objects of an organization.

    A filter is a JSON object with any of: where, fields, include, limit, order, skip, deleted. The API
    returns 100 objects at most; "skip" gets the next ones. Examples:

    \b
      --filter '{"where": {"name": {"like": "shop"}, "active": true}}'
      --filter '{"order": "createdAt DESC", "limit": 10, "fields": ["id", "name"]}'
    """
    with _account(store) as api:
        rows = [woocommerce.as_mapping() for woocommerce in api.find(organization_id, filter_)]
    if as_json:
        print_json(rows)
        return
    columns = _columns(rows)
    print_rows(columns, [{name: _cell(row.get(name)) for name in columns} for row in rows], as_json=False)


@woocommerce.command("count")
@ORGANIZATION
@click.option("--where", metavar="JSON", type=object_of, help="Which objects: the where of a filter.")
@STORE_OPTION
@JSON_OPTION
def count(organization_id: str, where: dict[str, Any] | None, store: str | None, as_json: bool) -> None:
    """Count the Woocommerce objects of an organization that are not deleted."""
    with _account(store) as api:
        number = api.count(organization_id, where)
    print_result({"count": number}, str(number), as_json=as_json)


@woocommerce.command("create", epilog=FIELDS_HELP)
@ORGANIZATION
@click.argument("name", type=new_name)
@click.argument("fields", metavar="[FIELD=VALUE]...", nargs=-1, callback=read_fields)
@STORE_OPTION
@JSON_OPTION
def create(organization_id: str, name: str, fields: dict[str, Any], store: str | None, as_json: bool) -> None:
    """Create a Woocommerce object.

    It is active and sends invoices and estimates automatically, unless a FIELD says otherwise.
    """
    if "name" in fields:
        raise click.UsageError("name is given twice.")
    new = NewWoocommerce.model_validate({"name": name, **fields}, by_alias=True, by_name=False)
    with _account(store, is_change=True) as api:
        created = api.create(organization_id, new)
    _show(created, "is created", as_json=as_json)


@woocommerce.command("patch", epilog=FIELDS_HELP)
@WOOCOMMERCE
@click.argument("fields", metavar="FIELD=VALUE...", nargs=-1, required=True, callback=read_fields)
@STORE_OPTION
@JSON_OPTION
def patch(woocommerce_id: str, fields: dict[str, Any], store: str | None, as_json: bool) -> None:
    """Change properties of a Woocommerce object. All others stay as they are."""
    changes = WoocommerceChanges.model_validate(fields, by_alias=True, by_name=False)
    with _account(store, is_change=True) as api:
        changed = api.patch(woocommerce_id, changes)
    _show(changed, "is changed", as_json=as_json)


@woocommerce.command("delete")
@WOOCOMMERCE
@YES_OPTION
@STORE_OPTION
@JSON_OPTION
def delete(woocommerce_id: str, yes: bool, store: str | None, as_json: bool) -> None:
    """Delete a Woocommerce object. Nothing here brings it back."""
    with _account(store, is_change=True) as api:
        confirm_or_fail(
            "Delete it?",
            yes=yes,
            why=f"Without Woocommerce object {woocommerce_id}, its shop's orders get no documents, and "
            "nothing here brings it back.",
            otherwise="Nothing is sent.",
        )
        number = api.delete(woocommerce_id)
    click.echo(f"Woocommerce object {woocommerce_id} is deleted.", err=True)
    print_result({"count": number}, as_json=as_json)


@woocommerce.command("import")
@WOOCOMMERCE
@click.option("--type", "type_", metavar="TYPE", required=True, type=utf8, help="The API's type.")
@click.option("--options", metavar="TEXT", type=utf8, help="The API's importOptions, as they are.")
@STORE_OPTION
@JSON_OPTION
def start_import(
    woocommerce_id: str, type_: str, options: str | None, store: str | None, as_json: bool
) -> None:
    """Start an import. The API's document names neither its types nor its options."""
    with _account(store, is_change=True) as api:
        answer = api.start_import(woocommerce_id, type_, options)
    click.echo(f"An import for Woocommerce object {woocommerce_id} is started.", err=True)
    print_result(answer, as_json=as_json)


@woocommerce.command("order")
@WOOCOMMERCE
@click.argument("file", type=utf8)
@YES_OPTION
@STORE_OPTION
@JSON_OPTION
def order(woocommerce_id: str, file: str, yes: bool, store: str | None, as_json: bool) -> None:
    """Hand over an order from a FILE, or from standard input (-). Space Invoices may issue a document.

    FILE holds what the API takes, and is sent as it is: one JSON object with the order as WooCommerce has it,
    and the Woocommerce object's properties beside it. The bridge knows nothing of what is issued this way.
    """
    body = _read_order(file)
    with _account(store, is_change=True) as api:
        confirm_or_fail(
            "Hand the order over?",
            yes=yes,
            why="Space Invoices may issue a document for it, and another one if it has issued one before.",
            otherwise="Nothing is sent.",
        )
        answer = api.order(woocommerce_id, body)
    click.echo(f"Space Invoices has taken the order for Woocommerce object {woocommerce_id}.", err=True)
    print_result(answer, as_json=as_json)


@contextmanager
def _account(store: str | None, *, is_change: bool = False) -> Iterator[SpaceInvoices]:
    """The API with its token; a call that fails ends the command with a message.

    `is_change`: the call may have an effect even if the command is interrupted.
    """
    settings = settings_of_command()
    token, origin = _token(settings, store)
    try:
        with connect(settings.api_url, token, timeout=settings.api_timeout) as api:
            yield api
    except SpaceInvoicesError as error:
        detail = f": {error.api_message.removesuffix('.')}" if error.api_message else ""
        fail(f"{str(error).removesuffix('.')}{detail}. {_advice(error, origin, settings.api_url)}")
    except ValueError as error:
        fail(f"A value of this command cannot be sent: {error}.")
    except KeyboardInterrupt:
        if not is_change:
            raise
        fail("Interrupted. The change may be done all the same: look before you try again.")


def _token(settings: Settings, store: str | None) -> tuple[str, str]:
    """The access token, and where it comes from."""
    if store is not None:
        with open_ledger(settings).read() as connection:
            shop = require_store(connection, store)
        return shop.api_token(settings.vault()), f"the token of store {store}"
    token = settings.api_token.get_secret_value()
    if not token:
        fail(
            f"There is no access token: set {PREFIX}API_TOKEN or {PREFIX}API_TOKEN_FILE, or use a store's "
            "with --store NAME."
        )
    return token, f"the token in {PREFIX}API_TOKEN"


def _advice(error: SpaceInvoicesError, origin: str, api_url: str) -> str:
    """What to do next."""
    parts = urlsplit(api_url)
    address = f"{PREFIX}API_URL ({parts._replace(netloc=parts.netloc.rpartition('@')[2]).geturl()})"
    if error.may_have_taken_effect:
        return "It may be done all the same: look before you try again."
    if error.status is None:
        return f"See that {address} and the network are right, and try again."
    if error.status in {401, 403}:
        return f"See that {origin} is right, and that it gives access to this id."
    if error.status == 404:
        return f"See that the id is right, that what it names was not deleted, and that {address} is right."
    if error.status < 400:
        return f"See that {address} is the address of the API itself."
    if error.permanent:
        return "Mend what it names." if error.api_message else "See that what you have given is right."
    if error.retry_after is not None:
        return f"Try again in {error.retry_after:.0f} s."
    return "Try again later."


def _read_order(file: str) -> bytes:
    """The bytes of a file with one JSON object, without a byte order mark; ends the command otherwise."""
    try:
        standard_input = sys.stdin.buffer if sys.stdin else BytesIO()
        raw = standard_input.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        fail(f"The order cannot be read from {file}: {error.strerror}. Name a file that this user may read.")
    try:
        text = raw.decode("utf-8-sig")
        is_object = isinstance(decode_json(text), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        name = "Standard input" if file == "-" else file
        fail(f"{name} holds no order, which is one JSON object in UTF-8: nothing is sent.")
    return text.encode()


def _columns(rows: Sequence[Mapping[str, object]]) -> Sequence[str]:
    """The columns of a table: all properties if they are few, as with a filter's `fields`, else _COLUMNS."""
    names = dict.fromkeys(name for row in rows for name in row)
    if len(names) < len(_COLUMNS):
        return [name for name in names if re.fullmatch(r"[\w.$-]+", name)]
    is_any_deleted = any(row.get("_isDeleted") for row in rows)
    return [name for name in _COLUMNS if name in names and (is_any_deleted or name != "_isDeleted")]


def _show(woocommerce: Woocommerce, result: str, *, as_json: bool) -> None:
    # First, and to standard error, so that it is printed even if standard output is a closed pipe.
    click.echo(f"Woocommerce object {_cell(woocommerce.id)} {result}.", err=True)
    document = woocommerce.as_mapping()
    if as_json:
        print_json(document)
        return
    print_fields({_cell(name): _cell(value) for name, value in document.items()})


def _cell(value: object) -> str:
    """A value as one printable line: the API's values may hold anything."""
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    return "".join(character if character.isprintable() else "?" for character in text)
