"""`spacebridge stores connect` and `disconnect`: the bridge asks a store's shop by the shop's own API."""

from __future__ import annotations

import secrets
import time
from urllib.parse import urlsplit

import click
import requests

from bridge.admin import shop_connection
from bridge.cli.options import AS_OPTION
from bridge.cli.secret_input import KEY_FILE_OPTION, read_shop_keys
from bridge.cli.stores import describe
from bridge.cli.stores.session import StoreSession, now
from bridge.cli.terminal import JSON_OPTION, fail, print_json, print_result
from bridge.ledger import shop_approvals, shops
from bridge.ledger.shop_approvals import Approval
from bridge.ledger.shops import Shop
from bridge.ledger.stores import Store
from bridge.settings import checked_public_url
from bridge.shop import ShopError, approval_url

APP_NAME = "Spacebridge"
LOOK_EVERY = 1.0  # seconds; another process writes what is waited for
_ADDRESS_TIMEOUT = 5.0  # seconds
_REST_API = "WooCommerce > Settings > Advanced > REST API"


@click.command()
@click.argument("name")
@click.option("--url", required=True, metavar="URL", help="The shop's address: https://shop.example")
@KEY_FILE_OPTION
@click.option(
    "--public-url",
    metavar="URL",
    help="Where the shop reaches the bridge, by https.  [default: SPACEBRIDGE_PUBLIC_URL]",
)
@click.option("--no-wait", is_flag=True, help="Print the link, and do not wait for what becomes of it.")
@AS_OPTION
@JSON_OPTION
def connect(
    name: str,
    url: str,
    key_file: str | None,
    public_url: str | None,
    no_wait: bool,
    who: str,
    as_json: bool,
) -> None:
    """Connect a store to its shop, so that the bridge can ask the shop for its orders.

    Without a key file it prints a link: open it, sign in to the shop, and approve. Either way, the keys are
    tried at the shop first, and kept encrypted.
    """
    session = StoreSession.open()
    store = session.store(name)
    if key_file is None:
        address = _public_address(public_url or session.settings.public_url)
        _connect_by_link(session, store, url, address, wait=not no_wait, who=who, as_json=as_json)
        return
    keys = read_shop_keys(key_file)
    try:
        proof = shop_connection.prove(url, keys)
    except ShopError as error:
        fail(f"{error} Nothing is changed.")
    with session.changing(name) as (connection, store):
        shop_connection.keep(connection, session.vault, store, proof, who=who, now=now())
    _print_connected(session, store, as_json=as_json)


@click.command()
@click.argument("name")
@AS_OPTION
@JSON_OPTION
def disconnect(name: str, who: str, as_json: bool) -> None:
    """Forget the keys of a store's shop. Its webhooks go on delivering."""
    with StoreSession.open().changing(name) as (connection, store):
        was_connected = shop_connection.disconnect(connection, store, who=who, now=now())
    sentence = f"Store {name} was not connected. Nothing is changed."
    advice = None
    if was_connected:
        sentence = f"Store {name} is not connected any more: the keys of its shop are erased here."
        advice = f"Revoke them in the shop, too, under {_REST_API}. The webhooks there go on delivering."
    document = {"name": name, "was_connected": was_connected}
    print_result(document, sentence, as_json=as_json, advice=advice)


def _public_address(url: str) -> str:
    """The address of the bridge that the shop is to send its keys to; ends the command if it cannot be it."""
    otherwise = "Or make a key in the shop, and give it with --key-file."
    if not url:
        fail(
            "The shop sends its keys to the bridge, whose address is not known: set SPACEBRIDGE_PUBLIC_URL, "
            f"or give --public-url https://HOST. {otherwise}"
        )
    try:
        url = checked_public_url(url)
    except ValueError as problem:
        fail(f"--public-url is wrong: {problem}. Give the bridge's address, https://HOST. {otherwise}")
    if urlsplit(url).scheme != "https":
        fail(
            f"WooCommerce sends keys by https only, and the bridge's public address is {url}: put a web "
            f"server with a certificate in front of it, and give its address with --public-url. {otherwise}"
        )
    return url


def _connect_by_link(
    session: StoreSession, store: Store, url: str, public_url: str, *, wait: bool, who: str, as_json: bool
) -> None:
    state = secrets.token_hex(16)
    callback = f"{public_url}/connect/{state}"
    try:
        link = approval_url(url, app_name=APP_NAME, user_id=state, return_url=callback, callback_url=callback)
    except ShopError as error:
        fail(f"{error} Nothing is changed.")
    with session.changing(store.name) as (connection, locked):
        begun_at = now()
        shop_approvals.begin(connection, locked.id, url, state, who=who, now=begun_at)
    _check_address(session, state, callback)
    expires_at = begun_at + shop_approvals.LASTS
    until = f"{expires_at:%H:%M} UTC"
    then = f"`spacebridge stores show {store.name}` then shows whether the store is connected."
    if not wait:
        document = {"name": store.name, "approval_url": link, "expires_at": expires_at}
        advice = f"Open it, sign in to the shop, and approve. It is good once, until {until}. {then}"
        print_result(document, link, as_json=as_json, advice=advice)
        return
    click.echo(
        f"Open this link, sign in to the shop, and approve:\n\n  {link}\n\nIt is good once, until {until}. "
        "Waiting for that; Ctrl-C ends the waiting.",
        err=True,
    )
    try:
        approval = _await_end(session, state)
    except KeyboardInterrupt:
        fail(f"\nThe link stays good until {until}. {then}")
    _print_end(session, store, approval, as_json=as_json)


def _print_end(session: StoreSession, store: Store, approval: Approval | None, *, as_json: bool) -> None:
    """Say what became of the approval; ends the command with an error unless the store is connected."""
    if approval is None:
        fail(f"Store {store.name} was disconnected or removed meanwhile, and the link is not good any more.")
    if approval.is_connected:
        _print_connected(session, store, as_json=as_json)
        return
    if approval.is_denied:
        fail("The connection was denied in the shop. Nothing is changed.")
    fail(
        f"{approval.last_failure or 'The shop has sent no keys.'} The link is over. Nothing is changed. Some "
        "hosts and firewalls block such links: a key that is made in the shop, given with --key-file, does "
        "without."
    )


def _check_address(session: StoreSession, state: str, callback: str) -> None:
    """Say what is wrong with the address that the shop is to send its keys to, as far as it shows from here.

    Ends the command if that redirects: the shop would send the keys along.
    """
    host = urlsplit(callback).netloc
    try:
        with requests.get(callback, timeout=_ADDRESS_TIMEOUT, allow_redirects=False, stream=True) as response:
            status = response.status_code
    except requests.exceptions.SSLError:
        problem = f"From here, the certificate of {host} is not accepted."
    except requests.RequestException:
        problem = f"From here, the bridge does not answer at {host}."
    else:
        if 300 <= status < 400:
            with session.ledger.write() as connection:
                if (approval := shop_approvals.find(connection, state)) is not None:
                    shop_approvals.deny(connection, approval.id, now())
            fail(
                f"{host} redirects, and a shop would send its keys along: give the address that it redirects "
                "to. Nothing is changed."
            )
        if status == 200:
            return
        problem = f"From here, {host} does not answer as this bridge does ({status})."
    click.echo(
        f"{problem} If it is so for the shop, too, its keys do not arrive: compare SPACEBRIDGE_PUBLIC_URL.",
        err=True,
    )


def _await_end(session: StoreSession, state: str) -> Approval | None:
    """Wait until the approval is given, denied or over, and say what comes in between."""
    said: str | None = None
    while True:
        with session.ledger.read() as connection:
            approval = shop_approvals.find(connection, state)
        if approval is None or approval.is_over(now()):
            return approval
        if approval.last_failure not in {None, said}:
            said = approval.last_failure
            click.echo(f"{said} The link is still good: open it again when that is mended.", err=True)
        time.sleep(LOOK_EVERY)


def _print_connected(session: StoreSession, store: Store, *, as_json: bool) -> None:
    with session.ledger.read() as connection:
        shop = shops.of_store(connection, store.id)
    if shop is None:
        fail(f"Store {store.name} was connected, and disconnected at once by another command.")
    if as_json:
        print_json({"name": store.name, "shop": describe.shop_document(shop)})
        return
    click.echo(f"Store {store.name} is connected to {shop.url}.")
    for sentence in _notes(store, shop):
        click.echo(sentence)
    if shop.can_write:
        click.echo(f"Next: spacebridge stores install-webhooks {store.name}", err=True)


def _notes(store: Store, shop: Shop) -> list[str]:
    notes = []
    if not shop.can_write:
        notes.append(
            "Its key may only read: missed orders are found, and webhooks are neither installed nor mended. "
            f"With a key that may read and write ({_REST_API}), connect it again."
        )
    if shop.highest_order_id and store.options.issue_from is not None:
        since = store.options.issue_from.isoformat(" ", "seconds")
        notes.append(
            f"Its newest order has the id {shop.highest_order_id}. Orders created before {since} get no "
            "document by themselves (issue_from)."
        )
    return notes
