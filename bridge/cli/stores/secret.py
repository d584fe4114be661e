"""`spacebridge stores set-token` and `rotate-secret`: other secrets, without losing a delivery."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import click

from bridge.admin import manage_stores
from bridge.cli.options import AS_OPTION, YES_OPTION
from bridge.cli.secret_input import (
    TOKEN_FILE_OPTION,
    WEBHOOK_SECRET_FILE_OPTION,
    read_token,
    read_webhook_secret,
)
from bridge.cli.stores.add import OFFLINE_OPTION, fetch
from bridge.cli.stores.session import StoreSession, now
from bridge.cli.stores.shop_lease import shop_lease
from bridge.cli.terminal import JSON_OPTION, confirm_or_fail, fail, print_result
from bridge.ledger import shop_webhooks, shops, store_secrets
from bridge.ledger.store_secrets import TooManySecretsError
from bridge.pipeline.shop_round import client_of
from bridge.pipeline.shop_webhooks import find, keep, write_secret
from bridge.shop import ShopError
from bridge.vault import WrongKeyError


@click.command("set-token")
@click.argument("name")
@TOKEN_FILE_OPTION
@OFFLINE_OPTION
@AS_OPTION
@JSON_OPTION
def set_token(name: str, token_file: str | None, offline: bool, who: str, as_json: bool) -> None:
    """Give a store another access token of Space Invoices, checked first.

    A store that was paused since its token was refused is tried again at once.
    """
    session = StoreSession.open()
    store = session.store(name)
    token = read_token(token_file)
    fetched = None if offline else fetch(session, token, store.organization_id, store.woocommerce_id)
    with session.changing(name) as (connection, store):
        is_new = manage_stores.set_token(connection, session.vault, store, token, fetched, who=who, now=now())
    checked = "unchecked" if fetched is None else "which Space Invoices accepts"
    sentences = [f"Store {name} has {'another token' if is_new else 'the token that it had'}, {checked}."]
    if store.next_probe_at is not None:
        sentences.append("It had been paused, and is tried again with the next order that is due.")
    document = {"name": name, "changed": is_new, "checked": fetched is not None}
    print_result(document, *sentences, as_json=as_json)


@click.command("rotate-secret")
@click.argument("name")
@WEBHOOK_SECRET_FILE_OPTION
@click.option("--end-previous", is_flag=True, help="Accept the secrets before no more, from now on.")
@YES_OPTION
@AS_OPTION
@JSON_OPTION
def rotate_secret(
    name: str, webhook_secret_file: str | None, end_previous: bool, yes: bool, who: str, as_json: bool
) -> None:
    """Give a store another webhook secret. Without a file, one is made and shown once.

    The one before stays good until the first delivery signed with the new one, and for a day after. Of a
    connected shop whose key may write, the new one is written to the webhooks; else enter it in each of them
    meanwhile. --end-previous ends the one before at once; without
    a file, it makes no new one.
    """
    session = StoreSession.open()
    store = session.store(name)
    from_file = read_webhook_secret(webhook_secret_file) if webhook_secret_file else None
    is_new = from_file is not None and not store_secrets.is_webhook_secret(store, session.vault, from_file)
    if end_previous and (is_new or store.awaits_new_secret):
        confirm_or_fail(
            "Is the new secret in each webhook in WooCommerce?",
            yes=yes,
            why=f"No delivery of store {name} has been signed with the new secret yet. Webhooks that have "
            "another one are refused, and WooCommerce switches them off for good after some refusals.",
        )
    secret = from_file or (None if end_previous else secrets.token_hex(24))
    try:
        with session.changing(name) as (connection, store):
            has_changed = manage_stores.rotate_secret(
                connection, session.vault, store, secret, keep_previous=not end_previous, who=who, now=now()
            )
    except TooManySecretsError:
        fail(
            f"Store {name} has had many secrets, and no delivery has come under the last ones: end those "
            f"before it with `spacebridge stores rotate-secret {name} --end-previous`."
        )
    sentence = f"That is the webhook secret of store {name} already. Nothing is changed."
    if secret is None:
        result = "is accepted no more" if has_changed else "was accepted no more before. Nothing is changed"
        sentence = f"Of store {name}, the webhook secret before {result}."
    elif has_changed:
        sentence = f"Store {name} has another webhook secret."
    if from_file or secret is None or not has_changed:
        print_result({"name": name}, sentence, as_json=as_json)
    else:
        shown_once = f"Secret:       {secret}   (shown this once)"
        print_result({"name": name, "webhook_secret": secret}, sentence, shown_once, as_json=as_json)
    if as_json:
        click.echo(sentence, err=True)
    if secret is not None and has_changed:
        kept = "The one before stays good until a day after that."
        if end_previous:
            kept = "From now on, it alone is good."
        if written := _write_to_webhooks(session, name):
            click.echo(f"It is written to the shop's webhooks ({', '.join(written)}). {kept}", err=True)
        else:
            click.echo(f"Enter it in each of the store's webhooks in WooCommerce. {kept}", err=True)


def _write_to_webhooks(session: StoreSession, name: str) -> Sequence[str]:
    """Give the new secret to the webhooks of a connected shop; the topics, none if it cannot be done now.

    The bridge writes it again at each comparison with the shop, as long as the secret before is good.
    """
    store = session.store(name)
    with session.ledger.read() as connection:
        shop = shops.of_store(connection, store.id)
        known = shop_webhooks.of_store(connection, store.id)
    if shop is None or not shop.can_write:
        return []
    context = session.context()
    try:
        with shop_lease(session, store), client_of(context, shop) as client:
            found = find(client.webhooks(), store, context.public_url, known)
            keep(context, store, found)
            for webhook in found.by_topic.values():
                write_secret(context, store, client, webhook)
    except (ShopError, WrongKeyError) as error:
        click.echo(f"It cannot be written to the shop's webhooks now, and is tried again: {error}", err=True)
        return []
    return list(found.by_topic)
