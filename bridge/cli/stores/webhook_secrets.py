"""`spacebridge stores rotate-secret`: a new webhook secret, without losing a delivery."""

from __future__ import annotations

import secrets

import click

from bridge.admin import manage_stores
from bridge.cli.options import AS_OPTION, YES_OPTION
from bridge.cli.secret_input import WEBHOOK_SECRET_FILE_OPTION, read_webhook_secret
from bridge.cli.stores.session import StoreSession, confirm, now
from bridge.cli.terminal import JSON_OPTION, fail, print_json
from bridge.ledger import store_secrets
from bridge.ledger.store_secrets import TooManySecretsError


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

    The one before stays good until the first delivery signed with the new one, and for a day after: enter
    the new one in each of the store's webhooks meanwhile. --end-previous ends the one before at once; without
    a file, it makes no new one.
    """
    session = StoreSession.open()
    store = session.store(name)
    from_file = read_webhook_secret(webhook_secret_file) if webhook_secret_file else None
    is_new = from_file is not None and not store_secrets.is_webhook_secret(store, session.vault, from_file)
    if end_previous and (is_new or store.awaits_new_secret):
        confirm(
            why=f"No delivery of store {name} has been signed with the new secret yet. Webhooks that have "
            "another one are refused, and WooCommerce switches them off for good after some refusals.",
            question="Is the new secret in each webhook in WooCommerce?",
            yes=yes,
        )
    if from_file is None and end_previous:
        with session.changing(name) as (connection, store):
            ended = manage_stores.end_previous_secrets(connection, store, who=who, now=now())
        result = "is accepted no more" if ended else "was accepted no more before. Nothing is changed"
        _print(name, f"Of store {name}, the webhook secret before {result}.", None, as_json=as_json)
        return
    secret = from_file or secrets.token_hex(24)
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
    if not has_changed:
        _print(
            name,
            f"That is the webhook secret of store {name} already. Nothing is changed.",
            None,
            as_json=as_json,
        )
        return
    _print(name, f"Store {name} has another webhook secret.", None if from_file else secret, as_json=as_json)
    kept = (
        "From now on, it alone is good."
        if end_previous
        else "The one before stays good until a day after that."
    )
    click.echo(f"Enter it in each of the store's webhooks in WooCommerce. {kept}", err=True)


def _print(name: str, sentence: str, new_secret: str | None, *, as_json: bool) -> None:
    if as_json:
        print_json({"name": name} | ({"webhook_secret": new_secret} if new_secret else {}))
        click.echo(sentence, err=True)
        return
    click.echo(sentence)
    if new_secret:
        click.echo(f"Secret:       {new_secret}   (shown this once)")
