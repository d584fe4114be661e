"""`spacebridge stores reconcile`: compares a shop with the ledger now, and shows what was found."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bridge.admin import absences
from bridge.cli.options import AS_OPTION
from bridge.cli.stores import describe
from bridge.cli.stores.session import StoreSession, now
from bridge.cli.stores.shop_lease import require_connected, wait_for_lease
from bridge.cli.terminal import JSON_OPTION, fail, print_json, print_rows
from bridge.ledger import finds
from bridge.ledger.finds import Find
from bridge.ledger.stores import Store
from bridge.pipeline.reconcile import Comparison, Report
from bridge.pipeline.shop_round import NotConnectedError, Request, run_round
from bridge.shop import ShopError

_MEANINGS = {
    finds.MISSING: "was not known",
    finds.STALE: "was known in an older state",
    finds.TRASHED: "is in the trash",
    finds.RESTORED: "has left the trash",
    finds.GONE: "was deleted for good",
}


def _since(_context: click.Context, _parameter: click.Parameter, text: str | None) -> datetime | None:
    """A day or a moment, in UTC where it does not say otherwise; `7d` is seven days ago."""
    if text is None:
        return None
    if text.endswith("d") and text[:-1].isdigit():
        return now() - timedelta(days=int(text[:-1]))
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no date, such as 2026-11-24, nor a number of days, such as 7d."
        ) from None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    if at > now():
        raise click.BadParameter(f"{text} lies ahead.")
    return at


@click.command()
@click.argument("name")
@click.option(
    "--since", metavar="D", callback=_since, help="Compare what changed since then: 2026-11-24, or 7d."
)
@click.option("--full", is_flag=True, help="Compare all orders created since then, too, and the trash.")
@click.option("--dry-run", is_flag=True, help="Show what is found, and record nothing.")
@click.option(
    "--nothing-missing",
    is_flag=True,
    help="Ask no shop: you have compared by hand, and no order is missing.",
)
@AS_OPTION
@JSON_OPTION
def reconcile(
    name: str,
    since: datetime | None,
    full: bool,
    dry_run: bool,
    nothing_missing: bool,
    who: str,
    as_json: bool,
) -> None:
    """Compare a store's shop with the ledger now, and take over what no webhook told.

    The bridge does the same by itself every ten minutes, and processes what is taken over within seconds.
    Without --since, it begins where the last comparison ended.
    """
    if nothing_missing:
        if since or full or dry_run:
            raise click.UsageError("--nothing-missing asks no shop, so it goes with no other option.")
        _settle(name, who, as_json=as_json)
        return
    session = StoreSession.open()
    store = session.store(name)
    require_connected(session, store)
    request = Request(since, is_full=full, is_rehearsal=dry_run)
    wait_for_lease(session, store)
    with _progress(as_json=as_json) as report:
        try:
            comparison = run_round(session.context(), store.id, request=request, report=report)
        except NotConnectedError:
            fail(f"The shop of store {name} was disconnected meanwhile.")
        except ShopError as error:
            fail(f"{error} What was found until then is recorded; nothing is passed over the next time.")
    _print(store, comparison, dry_run=dry_run, as_json=as_json)
    if comparison.broken:
        sys.exit(1)


def _settle(name: str, who: str, *, as_json: bool) -> None:
    with StoreSession.open().changing(name) as (connection, store):
        settled = absences.nothing_missing(connection, store, who=who, now=now())
    if as_json:
        print_json({"name": name, "settled": len(settled)})
    elif settled:
        click.echo(f"Store {name}: times without a receiver that count as made good: {len(settled)}")
    else:
        click.echo(f"Store {name}: no time without a receiver is open. Nothing is changed.")


@contextmanager
def _progress(*, as_json: bool) -> Iterator[Report]:
    """A bar on a terminal, of the time that was compared; nothing for scripts."""
    console = Console(stderr=True)
    if as_json or not console.is_terminal:
        yield lambda _comparison, _share: None
        return
    columns = (
        TextColumn("Comparing"),
        BarColumn(),
        TextColumn("{task.fields[orders]} orders"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0, orders=0)
        yield lambda comparison, share: bar.update(task, completed=share, orders=comparison.compared)


def _print(store: Store, comparison: Comparison, *, dry_run: bool, as_json: bool) -> None:
    plan = comparison.plan
    if as_json:
        print_json(
            {
                "name": store.name,
                "since": plan.since.isoformat(),
                "until": plan.until.isoformat(),
                "compared": comparison.compared,
                "found": [_row(one) for one in comparison.found],
                "not_shown": comparison.broken,
                "dry_run": dry_run,
            }
        )
        return
    if comparison.found:
        rows = [_shown(one) for one in comparison.found]
        print_rows(list(rows[0]), rows, as_json=False)
    what = "would be taken over" if dry_run else "taken over"
    click.echo(
        f"Compared with the shop from {plan.since:%Y-%m-%d %H:%M} to {plan.until:%Y-%m-%d %H:%M} UTC: "
        f"{comparison.compared} orders. Missing or newer there, and {what}: {len(comparison.found)}"
    )
    if comparison.broken:
        click.echo(
            f"The shop lists orders and does not show them: {', '.join(map(str, comparison.broken))}. "
            "Open them in WooCommerce; the next comparison asks for them again.",
            err=True,
        )


def _shown(found: Find) -> dict[str, object]:
    return {
        "order": found.resource_id,
        "found": _MEANINGS[found.kind],
        "webhook": found.reason,
        "changed": None if found.changed_at is None else describe.distance(found.changed_at, now()),
        "delivery": found.delivery_id,
    }


def _row(found: Find) -> dict[str, object]:
    return {
        "order": found.resource_id,
        "kind": found.kind,
        "reason": found.reason,
        "changed_at": None if found.changed_at is None else found.changed_at.isoformat(),
        "delivery": None if found.delivery_id is None else str(found.delivery_id),
    }
