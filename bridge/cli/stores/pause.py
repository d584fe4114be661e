"""`spacebridge stores pause` and `resume`."""

from __future__ import annotations

import click

from bridge.admin import manage_stores
from bridge.cli.options import AS_OPTION
from bridge.cli.stores.session import StoreSession, now
from bridge.cli.terminal import JSON_OPTION, print_json
from bridge.issuance import printable
from bridge.ledger import stores as ledger_stores


@click.command()
@click.argument("name")
@click.option("--reason", metavar="TEXT", help="Why, for those who see it later.")
@AS_OPTION
@JSON_OPTION
def pause(name: str, reason: str | None, who: str, as_json: bool) -> None:
    """Stop issuing for a store until it is resumed. What comes in meanwhile is kept."""
    text = printable(reason.strip()) if reason and reason.strip() else None
    with StoreSession.open().changing(name) as (connection, store):
        has_changed = manage_stores.pause(connection, store, why=text, who=who, now=now())
        after = ledger_stores.get(connection, store.id)
    if as_json:
        print_json({"name": name, "state": after.state, "pause_reason": after.pause_reason})
        return
    if has_changed:
        click.echo(f"Store {name} is paused. `spacebridge stores resume {name}` has it go on.")
    else:
        click.echo(f"Store {name} was paused before: {after.pause_reason}. Nothing is changed.")


@click.command()
@click.argument("name")
@AS_OPTION
@JSON_OPTION
def resume(name: str, who: str, as_json: bool) -> None:
    """Forward a store's orders again, whatever has paused it. The pause costs no order any of its time."""
    with StoreSession.open().changing(name) as (connection, store):
        has_changed = manage_stores.resume(connection, store, who=who, now=now())
        after = ledger_stores.get(connection, store.id)
    if as_json:
        print_json({"name": name, "state": after.state, "pause_reason": after.pause_reason})
        return
    if not has_changed:
        click.echo(f"Store {name} is not paused. Nothing is changed.")
        return
    click.echo(f"Store {name} goes on.")
    if not store.is_paused_by_operator:
        click.echo(
            f"It had been paused by itself ({store.pause_reason}), and is again if that has not been mended.",
            err=True,
        )
