"""`spacebridge stores add`: a new store, checked with Space Invoices, and the next steps in WooCommerce."""

from __future__ import annotations

import re
import secrets

import click

from bridge.admin import manage_stores, store_options
from bridge.admin.manage_stores import Fetched, NewStore
from bridge.admin.store_check import StoreCheckError
from bridge.cli.options import AS_OPTION
from bridge.cli.secret_input import (
    TOKEN_FILE_OPTION,
    WEBHOOK_SECRET_FILE_OPTION,
    read_token,
    read_webhook_secret,
)
from bridge.cli.stores.session import StoreSession, now
from bridge.cli.terminal import JSON_OPTION, fail, print_result
from bridge.issuance import OPTIONS, OptionError, StoreOptions
from bridge.ledger import stores as ledger_stores
from bridge.ledger.stores import StoreExistsError

SPACE_INVOICES_ID = re.compile(r"[0-9a-fA-F]{24}")
_ISSUE_FROM = OPTIONS["issue_from"]
OFFLINE_OPTION = click.option(
    "--offline", is_flag=True, help="Do not ask Space Invoices whether it is right."
)
NEXT_STEPS = """What is left to do, in WooCommerce: under Settings > Advanced > Webhooks, add four webhooks,
Order created, Order updated, Order deleted and Order restored, each with this URL and secret, status Active,
API version v3. `spacebridge stores show {name}` then tells of a ping."""


@click.command()
@click.argument("name")
@click.option("--organization", required=True, metavar="ID", help="The organization's id in Space Invoices.")
@click.option("--woocommerce", required=True, metavar="ID", help="The Woocommerce object's id there.")
@TOKEN_FILE_OPTION
@WEBHOOK_SECRET_FILE_OPTION
@click.option(
    "--issue-from",
    default="now",
    show_default=True,
    metavar=_ISSUE_FROM.sample,
    help=f"{_ISSUE_FROM.meaning[0].upper()}{_ISSUE_FROM.meaning[1:]}.",
)
@click.option("--url", metavar="URL", help="The shop's address; without it, the first order tells.")
@OFFLINE_OPTION
@AS_OPTION
@JSON_OPTION
def add(
    name: str,
    organization: str,
    woocommerce: str,
    token_file: str | None,
    webhook_secret_file: str | None,
    issue_from: str,
    url: str | None,
    offline: bool,
    who: str,
    as_json: bool,
) -> None:
    """Add a store. Without a secret, one is made and shown once.

    Token and ids are checked with Space Invoices first.
    """
    if (problem := problem_of_name(name) or problem_of_ids(organization, woocommerce)) is not None:
        fail(problem)
    organization, woocommerce = organization.lower(), woocommerce.lower()
    if {token_file, webhook_secret_file} == {"-"}:
        fail("Standard input can give the token or the secret, not both: put one of them into a file.")
    options = _options(issue_from, url)
    session = StoreSession.open(is_awaited=True)
    with session.ledger.read() as connection:
        if ledger_stores.find(connection, name) is not None:
            fail(_already_there(name))
    token = read_token(token_file)
    secret = read_webhook_secret(webhook_secret_file) if webhook_secret_file else secrets.token_hex(24)
    fetched = None if offline else fetch(session, token, organization, woocommerce)
    new = NewStore(name, organization, woocommerce, token, secret, options)
    try:
        with session.ledger.write() as connection:
            is_back = manage_stores.add(connection, session.vault, new, fetched, who=who, now=now())
    except StoreExistsError:
        fail(_already_there(name))
    shown = None if webhook_secret_file else secret
    url = session.settings.delivery_url(name)
    _print(name, url, shown, fetched, is_back=is_back, as_json=as_json)


def _options(issue_from: str, url: str | None) -> StoreOptions:
    try:
        values = {"issue_from": store_options.parse("issue_from", issue_from, now())}
        if url is not None:
            values["shop_urls"] = [url]
        return store_options.with_values(store_options.of_new_store(now()), values)
    except OptionError as error:
        parameter = "--url" if str(error).startswith("shop_urls") else "--issue-from"
        fail(f"{parameter}: {error} Nothing is changed.")


def problem_of_name(name: str) -> str | None:
    """Why a store cannot have this name; None if it can."""
    if ledger_stores.NAME.fullmatch(name):
        return None
    return f"{name!r} cannot be a store's name: use up to 63 of a-z, 0-9, - and _; it is part of an address."


def problem_of_ids(organization: str, woocommerce: str) -> str | None:
    """Why these cannot be ids of Space Invoices; None if they can."""
    for parameter, value in (("organization", organization), ("woocommerce", woocommerce)):
        if not SPACE_INVOICES_ID.fullmatch(value):
            return f"--{parameter} {value!r} is not an id of Space Invoices: those are 24 hexadecimal digits."
    return None


def fetch(session: StoreSession, token: str, organization: str, woocommerce: str) -> Fetched:
    """The config that the token has access to; ends the command with an error if there is none."""
    try:
        return session.fetch(token, organization, woocommerce)
    except StoreCheckError as problem:
        fail(f"{problem} Nothing is changed; with --offline, it is not checked.")


def _already_there(name: str) -> str:
    return f"There is a store named {name} already. `spacebridge stores show {name}` shows it."


def _print(
    name: str, url: str, new_secret: str | None, fetched: Fetched | None, *, is_back: bool, as_json: bool
) -> None:
    path = f"/webhooks/{name}"
    document = {"name": name, "delivery_path": path, "checked": fetched is not None, "taken_back": is_back}
    sentences = [f"Store {name} is added, unchecked: its config is fetched while the bridge runs."]
    if fetched is not None:
        destination = fetched.config.get("name")
        sentences = [f"Store {name} is added: its orders go to {destination!r} in Space Invoices."]
    if is_back:
        sentences.append("It was there before. What it issued then is known, and is not issued again.")
    sentences.append(f"Delivery URL: {url}")
    if new_secret:
        document["webhook_secret"] = new_secret
        sentences.append(f"Secret:       {new_secret}   (shown this once)")
    print_result(document, *sentences, as_json=as_json, advice=NEXT_STEPS.format(name=name))
