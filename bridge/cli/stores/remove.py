"""`spacebridge stores remove`."""

from __future__ import annotations

import click

from bridge.admin import manage_stores, store_removal
from bridge.cli.options import AS_OPTION, YES_OPTION
from bridge.cli.stores.session import StoreSession, confirm, now
from bridge.cli.terminal import JSON_OPTION, print_json
from bridge.ledger import workload
from bridge.ledger.issuances import DUE, HELD
from bridge.ledger.workload import Workload


@click.command()
@click.argument("name")
@YES_OPTION
@AS_OPTION
@JSON_OPTION
def remove(name: str, yes: bool, who: str, as_json: bool) -> None:
    """Remove a store: its delivery URL is gone, its secrets are erased, and nothing more is sent.

    What it issued stays known, and can be shown. Its name can be used again.
    """
    session = StoreSession.open()
    with session.ledger.read() as connection:
        before = store_removal.removed_before(connection, name)
    if before is not None:
        _print(name, before.name, 0, as_json=as_json, again=True)
        return
    store = session.store(name)
    with session.ledger.read() as connection:
        load = workload.of_store(connection, store.id)
    confirm(why=_consequences(name, load), question=f"Remove store {name}?", yes=yes)
    with session.changing(name) as (connection, store):
        withdrawn = manage_stores.remove(connection, store, who=who, now=now())
        held = workload.of_store(connection, store.id).of(HELD)
    _print(name, store_removal.removed_name(store), withdrawn, as_json=as_json)
    if held:
        click.echo(
            f"Documents that may or may not have been issued: {held}. Look for them in Space Invoices "
            f"(`spacebridge issuances list --store {store_removal.removed_name(store)} --state held`).",
            err=True,
        )


def _consequences(name: str, load: Workload) -> str:
    return (
        f"Without store {name}, deliveries to /webhooks/{name} are answered 404: delete its webhooks in "
        f"WooCommerce.\nDocuments that are due and will not be issued: {load.of(DUE)}\n"
        f"Deliveries that are not processed yet and will have no effect: {load.unprocessed}"
    )


def _print(name: str, new_name: str, withdrawn: int, *, as_json: bool, again: bool = False) -> None:
    if as_json:
        print_json({"name": name, "removed_as": new_name, "withdrawn": withdrawn})
        return
    event = "was removed before" if again else "is removed"
    click.echo(f"Store {name} {event}. What it issued stays known under the name {new_name}.")
    if withdrawn:
        click.echo(f"Documents that were due and are not issued: {withdrawn}")
