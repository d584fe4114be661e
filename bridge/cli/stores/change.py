"""`spacebridge stores set` and `sync`: changes a store's options, and fetches its config."""

from __future__ import annotations

import click

from bridge.admin import manage_stores, store_options
from bridge.admin.manage_stores import Changed, NotListed
from bridge.admin.store_check import why_not_answered
from bridge.cli.options import AS_OPTION
from bridge.cli.stores import describe
from bridge.cli.stores.session import StoreSession, now
from bridge.cli.terminal import JSON_OPTION, fail, print_json
from bridge.issuance import OPTIONS, OptionError
from bridge.ledger.stores import Store
from bridge.pipeline.store_configs import ASK_AGAIN_AFTER
from bridge.spaceinvoices import SpaceInvoicesError


class _Assignment(click.ParamType[tuple[str, object], str]):
    """`KEY=VALUE`, such as issue_pending=true or status_map=shipped:completed."""

    name = "KEY=VALUE"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, object]:
        key, separator, text = value.partition("=")
        if not separator:
            self.fail(f"{value!r} is not KEY=VALUE, such as issue_pending=true.", param, ctx)
        try:
            return key, store_options.parse(key, text, now())
        except OptionError as error:
            self.fail(str(error), param, ctx)


_KEYS = "\n".join(f"{name}={option.sample}\n    {option.meaning}" for name, option in OPTIONS.items())


@click.command("set", epilog=f"\b\nKEY=VALUE:\n{_KEYS}")
@click.argument("name")
@click.argument("assignments", metavar="KEY=VALUE...", nargs=-1, required=True, type=_Assignment())
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
    if as_json:
        print_json({"name": name, "changes": changed.lines, "decided_anew": changed.decided_anew})
        return
    for line in changed.lines or ["Nothing has changed."]:
        click.echo(line)
    if changed.decided_anew:
        click.echo(f"Open orders that are decided anew, while the bridge runs: {changed.decided_anew}")
