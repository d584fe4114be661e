"""`spacebridge stores list` and `show`: the state of the stores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import click

from bridge.admin import store_options
from bridge.cli.ledger_access import open_ledger, require_store_or_its_new_name, settings_of_command
from bridge.cli.stores import describe
from bridge.cli.terminal import JSON_OPTION, print_json, print_rows
from bridge.ledger import actions, shops, workload
from bridge.ledger import stores as ledger_stores
from bridge.ledger.actions import Action
from bridge.ledger.issuances import DUE, FAILED, HELD, SENDING
from bridge.ledger.shops import Shop
from bridge.ledger.stores import Store
from bridge.ledger.workload import Workload
from bridge.settings import Settings

COLUMNS = ["name", "state", "due", "held", "failed", "last_ping_at", "last_delivery_at"]
LATEST_ACTIONS = 5


@click.command("list")
@click.option("--removed", is_flag=True, help="Show those that were removed, too.")
@JSON_OPTION
def list_(removed: bool, as_json: bool) -> None:
    """Show all stores, and what waits to be done for each."""
    with open_ledger().read() as connection:
        stores = ledger_stores.every(connection, removed=removed)
        loads = workload.measure(connection)
    rows = [_row(store, loads.get(store.id, Workload())) for store in stores]
    print_rows(COLUMNS, rows, as_json=as_json)


@click.command()
@click.argument("name")
@JSON_OPTION
def show(name: str, as_json: bool) -> None:
    """Show how a store stands: why it is paused, its config in Space Invoices, and what waits."""
    now = datetime.now(UTC)
    settings = settings_of_command()
    with open_ledger(settings).read() as connection:
        store = require_store_or_its_new_name(connection, name)
        shop = shops.of_store(connection, store.id)
        load = workload.of_store(connection, store.id)
        to_redecide = workload.count_to_redecide(connection, store)
        latest = actions.of_store(connection, store.id, limit=LATEST_ACTIONS)
    if as_json:
        document = _document(store, load, to_redecide, latest, now)
        print_json({**document, "shop": None if shop is None else describe.shop_document(shop)})
        return
    click.echo(f"Store {store.name} {describe.state(store, now)}\n")
    lines = [
        *_roads(store, shop, load, settings, now),
        *_lines(store, load, to_redecide, latest, now),
    ]
    width = max(len(label) for label, _ in lines)
    for label, text in lines:
        click.echo(f"{label:{width}}  {text}")


def _row(store: Store, load: Workload) -> dict[str, object]:
    return {
        "name": store.name,
        "state": store.state,
        "organization": store.organization_id,
        "woocommerce": store.woocommerce_id,
        "delivery_path": None if store.removed_at else f"/webhooks/{store.name}",
        "last_ping_at": store.last_ping_at,
        "last_delivery_at": load.last_delivery_at,
        "unprocessed": load.unprocessed,
        **{state: load.of(state) for state in (DUE, SENDING, HELD, FAILED)},
    }


def _document(
    store: Store, load: Workload, to_redecide: int, latest: Sequence[Action], now: datetime
) -> dict[str, object]:
    names = ("paused_at", "pause_reason", "next_probe_at", "removed_at")
    config_names = ("config", "config_fetched_at", "config_error", "config_missing_since", "inactive_since")
    return {
        **_row(store, load),
        **{name: getattr(store, name) for name in names},
        **store_options.as_mapping(store.options),
        **{name: getattr(store, name) for name in config_names},
        "refused_deliveries": store.refused_deliveries,
        "last_refused_at": store.last_refused_at,
        "deciding_anew": to_redecide,
        "previous_webhook_secrets": len(store.still_good(now)),
        "webhook_secret_seen_at": store.webhook_secret_seen_at,
        "actions": [
            {name: getattr(action, name) for name in ("at", "who", "verb", "result")} for action in latest
        ],
    }


def _roads(
    store: Store, shop: Shop | None, load: Workload, settings: Settings, now: datetime
) -> Iterator[tuple[str, str]]:
    """Where its orders come from, and where they go."""
    named = f"{store.config['name']!r}, " if store.config and store.config.get("name") else ""
    yield (
        "Space Invoices",
        f"{named}Woocommerce object {store.woocommerce_id}, organization {store.organization_id}",
    )
    if store.removed_at is None:
        yield "Delivery URL", settings.delivery_url(store.name)
        yield "Last ping", describe.when(store.last_ping_at, now)
    yield "Last delivery", describe.when(load.last_delivery_at, now)
    if store.refused_deliveries:
        last = describe.when(store.last_refused_at, now)
        yield "Refused", f"{store.refused_deliveries} (401), the last {last}"
    for number, sentence in enumerate(describe.connection(shop, now) if shop else ()):
        yield "" if number else "Shop", sentence


def _lines(
    store: Store, load: Workload, to_redecide: int, latest: Sequence[Action], now: datetime
) -> Iterator[tuple[str, str]]:
    yield (
        "To do",
        f"deliveries: {load.unprocessed}, documents due: {load.of(DUE)}, being sent: {load.of(SENDING)}",
    )
    yield "For you", f"held: {load.of(HELD)}, failed: {load.of(FAILED)}{_where_to_look(store, load)}"
    if to_redecide:
        yield "", f"orders that are being decided anew, since the rules have changed: {to_redecide}"
    if store.config is not None:
        yield "Config", f"fetched {describe.when(store.config_fetched_at, now)}"
        for sentence in describe.config(store.config):
            yield "", sentence
    if store.config_error is not None:
        yield "", f"The last try to fetch it has failed: {store.config_error}"
    elif (not_listed := describe.not_listed(store, now)) is not None:
        yield "", not_listed
    for name, value in store_options.as_mapping(store.options).items():
        yield name, store_options.as_text(value)
    if (rotation := describe.webhook_secret(store, now)) is not None:
        yield "Rotation", rotation
    for number, action in enumerate(latest):
        text = f"{describe.when(action.at, now)}: {action.who}: {action.verb} {action.result}"
        yield "" if number else "Last actions", text


def _where_to_look(store: Store, load: Workload) -> str:
    state = next((state for state in (HELD, FAILED) if load.of(state)), None)
    return f": see `spacebridge issuances list --store {store.name} --state {state}`" if state else ""
