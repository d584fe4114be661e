"""`spacebridge stores set-token`."""

from __future__ import annotations

import click

from bridge.admin import manage_stores
from bridge.cli.options import AS_OPTION
from bridge.cli.secret_input import TOKEN_FILE_OPTION, read_token
from bridge.cli.stores.add import OFFLINE_OPTION, fetch
from bridge.cli.stores.session import StoreSession, now
from bridge.cli.terminal import JSON_OPTION, print_json


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
    if as_json:
        print_json({"name": name, "changed": is_new, "checked": fetched is not None})
        return
    checked = "unchecked" if fetched is None else "which Space Invoices accepts"
    click.echo(f"Store {name} has {'another token' if is_new else 'the token that it had'}, {checked}.")
    if store.next_probe_at is not None:
        click.echo("It had been paused, and is tried again with the next order that is due.")
