"""`spacebridge stores set`, `sync`, `pause`, `resume` and `remove`."""

from __future__ import annotations

import click
from sqlalchemy import Connection

from bridge.admin import manage_stores, store_options, store_removal
from bridge.admin.manage_stores import Changed, NotListed
from bridge.admin.store_check import why_not_answered
from bridge.cli.options import AS_OPTION, YES_OPTION
from bridge.cli.stores import describe
from bridge.cli.stores.session import StoreSession, now
from bridge.cli.terminal import JSON_OPTION, confirm_or_fail, fail, print_result
from bridge.issuance import OPTIONS, OptionError, printable
from bridge.ledger import stores as ledger_stores
from bridge.ledger import workload
from bridge.ledger.issuances import DUE, HELD
from bridge.ledger.stores import Store
from bridge.pipeline.store_configs import ASK_AGAIN_AFTER
from bridge.spaceinvoices import SpaceInvoicesError


def _assignment(text: str) -> tuple[str, object]:
    """The value of `KEY=VALUE`, such as issue_pending=true or status_map=shipped:completed."""
    key, separator, value = text.partition("=")
    if not separator:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE, such as issue_pending=true.")
    try:
        return key, store_options.parse(key, value, now())
    except OptionError as error:
        raise click.BadParameter(str(error)) from None


_KEYS = "\n".join(f"{name}={option.sample}\n    {option.meaning}" for name, option in OPTIONS.items())


@click.command("set", epilog=f"\b\nKEY=VALUE:\n{_KEYS}")
@click.argument("name")
@click.argument("assignments", metavar="KEY=VALUE...", nargs=-1, required=True, type=_assignment)
@AS_OPTION
@JSON_OPTION
def set_(name: str, assignments: tuple[tuple[str, object], ...], who: str, as_json: bool) -> None:
    """Change a store's options; where they decide otherwise, its open orders are decided again."""
    values = dict(assignments)
    if len(values) < len(assignments):
        raise click.UsageError("A key is given twice: give each once.")
    with StoreSession.open().changing(name) as (connection, store):
        try:
            changed = manage_stores.set_options(connection, store, values, who=who, now=now())
        except OptionError as error:
            fail(f"{error} Nothing is changed.")
    if values.get("unknown_outcome") == "resend" and changed.lines:
        click.echo(
            "From now on, a document of which nobody knows whether it was issued is sent again, and may be "
            "issued twice.",
            err=True,
        )
    _print(name, changed, as_json=as_json)


@click.command()
@click.argument("name")
@JSON_OPTION
def sync(name: str, as_json: bool) -> None:
    """Fetch a store's config from Space Invoices now, and show what has changed in it."""
    session = StoreSession.open()
    store = session.store(name)
    changed = manage_stores.sync(session.context(), store)
    if isinstance(changed, SpaceInvoicesError):
        serves = " The config that was fetched before goes on serving." if store.config else ""
        fail(f"{why_not_answered(changed, store.organization_id)}{serves}")
    if isinstance(changed, NotListed):
        fail(_not_listed(store, changed))
    after = session.store(name)
    if after.state == "inactive":
        click.echo(f"Store {name} {describe.state(after, now())}", err=True)
    if store.config is None and not as_json:
        click.echo(f"The config of store {name} is known now.")
        changed = Changed(decided_anew=changed.decided_anew)
    _print(name, changed, as_json=as_json)


def _not_listed(store: Store, answer: NotListed) -> str:
    since = describe.distance(answer.since, now())
    first = "" if since == "just now" else f" It was so before, {since}."
    serves = "The config that was fetched before goes on serving" if store.config else "Its orders wait"
    return (
        f"Space Invoices lists no Woocommerce object {store.woocommerce_id} in organization "
        f"{store.organization_id}.{first} {serves}, and the bridge asks again within "
        f"{ASK_AGAIN_AFTER / 60:.0f} minutes: if it is still so, the store issues nothing more. "
        "Compare the ids with what Space Invoices shows."
    )


def _print(name: str, changed: Changed, *, as_json: bool) -> None:
    sentences = list(changed.lines or ["Nothing has changed."])
    if changed.decided_anew:
        sentences.append(f"Open orders that are decided anew, while the bridge runs: {changed.decided_anew}")
    document = {"name": name, "changes": changed.lines, "decided_anew": changed.decided_anew}
    print_result(document, *sentences, as_json=as_json)


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
        document = _pause_of(connection, store)
    sentence = f"Store {name} was paused before: {document['pause_reason']}. Nothing is changed."
    if has_changed:
        sentence = f"Store {name} is paused. `spacebridge stores resume {name}` has it go on."
    print_result(document, sentence, as_json=as_json)


@click.command()
@click.argument("name")
@AS_OPTION
@JSON_OPTION
def resume(name: str, who: str, as_json: bool) -> None:
    """Forward a store's orders again, whatever has paused it. The pause costs no order any of its time."""
    with StoreSession.open().changing(name) as (connection, store):
        has_changed = manage_stores.resume(connection, store, who=who, now=now())
        document = _pause_of(connection, store)
    result = "goes on." if has_changed else "is not paused. Nothing is changed."
    advice = None
    if has_changed and not store.is_paused_by_operator:
        advice = (
            f"It had been paused by itself ({store.pause_reason}), and is again if that has not been mended."
        )
    print_result(document, f"Store {name} {result}", as_json=as_json, advice=advice)


def _pause_of(connection: Connection, store: Store) -> dict[str, object]:
    after = ledger_stores.get(connection, store.id)
    return {"name": store.name, "state": after.state, "pause_reason": after.pause_reason}


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
        _print_removed(name, before.name, "was removed before", 0, as_json=as_json)
        return
    store = session.store(name)
    with session.ledger.read() as connection:
        load = workload.of_store(connection, store.id)
    confirm_or_fail(
        f"Remove store {name}?",
        yes=yes,
        why=f"Without store {name}, deliveries to /webhooks/{name} are answered 404: delete its webhooks in "
        f"WooCommerce.\nDocuments that are due and will not be issued: {load.of(DUE)}\n"
        f"Deliveries that are not processed yet and will have no effect: {load.unprocessed}",
    )
    with session.changing(name) as (connection, store):
        withdrawn = manage_stores.remove(connection, store, who=who, now=now())
        held = workload.of_store(connection, store.id).of(HELD)
    new_name = store_removal.removed_name(store)
    _print_removed(name, new_name, "is removed", withdrawn, as_json=as_json)
    if held:
        click.echo(
            f"Documents that may or may not have been issued: {held}. Look for them in Space Invoices "
            f"(`spacebridge issuances list --store {new_name} --state held`).",
            err=True,
        )


def _print_removed(name: str, new_name: str, event: str, withdrawn: int, *, as_json: bool) -> None:
    sentences = [f"Store {name} {event}. What it issued stays known under the name {new_name}."]
    if withdrawn:
        sentences.append(f"Documents that were due and are not issued: {withdrawn}")
    document = {"name": name, "removed_as": new_name, "withdrawn": withdrawn}
    print_result(document, *sentences, as_json=as_json)
