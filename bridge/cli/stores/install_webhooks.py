"""`spacebridge stores install-webhooks`: the webhooks of a connected shop, made or mended from here."""

from __future__ import annotations

import click

from bridge.admin import install_webhooks as installing
from bridge.admin.install_webhooks import Installed
from bridge.cli.options import AS_OPTION
from bridge.cli.stores.session import StoreSession
from bridge.cli.stores.shop_lease import require_connected, shop_lease
from bridge.cli.terminal import JSON_OPTION, fail, print_json
from bridge.ledger.stores import Store
from bridge.pipeline.shop_round import client_of
from bridge.settings import checked_public_url
from bridge.shop import ShopError

_VERBS = {"make": "made", "mend": "mended", "adopt": "as it has to be"}
_WOULD = {"make": "would be made", "mend": "would be mended", "adopt": "as it has to be"}


@click.command("install-webhooks")
@click.argument("name")
@click.option(
    "--public-url",
    metavar="URL",
    help="Where the shop reaches the bridge, in place of SPACEBRIDGE_PUBLIC_URL.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and change nothing.")
@AS_OPTION
@JSON_OPTION
def install_webhooks(name: str, public_url: str | None, dry_run: bool, who: str, as_json: bool) -> None:
    """Install the webhooks of a store in its connected shop, or mend those that are there.

    The first one is made alone, and taken back if its ping does not arrive. Run again, it doubles none.
    """
    session = StoreSession.open()
    url = _public_url(session, public_url)
    store = session.store(name)
    context, shop = session.context(), require_connected(session, store)
    tell = (lambda _line: None) if as_json else (lambda line: click.echo(line, err=True))
    try:
        with shop_lease(session, store), client_of(context, shop) as client:
            if dry_run:
                done = installing.plan(context, store, client, url)
            else:
                done = installing.install(context, store, shop, client, url, who=who, tell=tell)
    except ShopError as error:
        fail(f"{error} Run the command again when that is mended: nothing is doubled by it.")
    _print(store, done, installing.delivery_url(store, url), dry_run=dry_run, as_json=as_json)


def _public_url(session: StoreSession, given: str | None) -> str:
    try:
        url = checked_public_url(given) if given else session.settings.public_url
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--public-url") from None
    if not url:
        fail(
            "It is not known where the shop reaches the bridge: give --public-url https://bridge.example, or "
            "set SPACEBRIDGE_PUBLIC_URL."
        )
    return url


def _print(store: Store, done: Installed, url: str, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "name": store.name,
                "delivery_url": url,
                "dry_run": dry_run,
                "webhooks": [
                    {"topic": step.topic, "step": step.verb, "differs": step.differs} for step in done.steps
                ],
                "doubled": [one.id for one in done.doubled],
                "strangers": [one.id for one in done.strangers],
                "delivered": done.is_delivered,
            }
        )
        return
    verbs = _WOULD if dry_run else _VERBS
    for step in done.steps:
        differs = f" ({', '.join(step.differs)})" if step.differs else ""
        click.echo(f"{step.topic:16} {verbs[step.verb]}{differs}")
    click.echo(f"Delivery URL:    {url}")
    for one in done.doubled:
        click.echo(f"Webhook {one.id} delivers {one.topic} here, too: delete it in WooCommerce.", err=True)
    for one in done.strangers:
        click.echo(
            f"Webhook {one.id} ({one.topic}) delivers to this host at another address: see that it is meant.",
            err=True,
        )
    if done.is_delivered:
        click.echo("The newest order was saved in the shop, and its delivery has arrived.")
    elif done.is_delivered is False:
        click.echo(
            "The newest order was saved in the shop, and its delivery has not arrived yet: where nobody "
            f"visits the shop, that takes minutes. `spacebridge stores show {store.name}` tells of the last.",
            err=True,
        )
