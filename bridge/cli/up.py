"""`spacebridge up`: receiver and worker together, on one machine, with nothing to install."""

from __future__ import annotations

import os
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bridge.cli.ledger_access import settings_of_command
from bridge.cli.starting import handed_over_listener, listen_or_fail
from bridge.cli.terminal import fail, styled_console
from bridge.data_folder import is_up, make_private
from bridge.db import Ledger, Schema
from bridge.embedded import demo as embedded_demo
from bridge.embedded import demo_outage as embedded_demo_outage
from bridge.embedded.demo_outage import DemoShop, Row
from bridge.embedded.folder_lock import folder_lock
from bridge.embedded.parts import address_of, bridge_parts
from bridge.embedded.recorded import RecordingUnreadableError, recorded_deliveries
from bridge.embedded.supervisor import StartError, Supervisor
from bridge.ledger import stores as ledger_stores
from bridge.ledger.issuances import ISSUED
from bridge.settings import Settings
from bridge.telemetry import STDERR, STDOUT, configure_logging


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535))
@click.option("--demo", is_flag=True, help="Play real deliveries into a sandbox, in a ledger of its own.")
def up(host: str, port: int, demo: bool) -> None:
    """Run the bridge: receiver and worker.

    SIGUSR2 has the version that is installed by then take over, without a moment without a receiver. A socket
    that systemd hands over (socket activation) is used instead of --host and --port.
    """
    listener = handed_over_listener()
    settings = settings_of_command(with_any_ledger=True)
    # The demo's standard output is for people.
    configure_logging(settings.log_format, to=STDERR if demo else STDOUT)
    if demo:
        settings = embedded_demo.demo_settings(settings, receiver_port=port)
    folder = settings.data_dir.absolute()
    port_option = "`make demo PORT=9000`, or --port" if demo else "--port"
    if listener is None and not is_up(folder):
        # Before the folder is made, so that a start that is refused makes none.
        listener = listen_or_fail(host, port, port_option=port_option)
    with ExitStack() as stack:
        stack.enter_context(folder_lock(folder))
        listener = stack.enter_context(listener or listen_or_fail(host, port, port_option=port_option))
        make_private(folder)
        if demo:
            embedded_demo.clear(folder)
        ledger = _open_ledger(settings, demo=demo)
        run_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spacebridge-")))
        demo_shop = DemoShop.make() if demo else None
        parts, migration = bridge_parts(settings, listener, run_dir, demo_shop=demo_shop)
        output = stack.enter_context((folder / embedded_demo.LOG).open("ab")) if demo else None
        supervisor = Supervisor(parts, migration, listener=listener, run_dir=run_dir, output=output)
        _run(supervisor, settings, ledger, address_of(listener), demo_shop)


def _open_ledger(settings: Settings, *, demo: bool) -> Ledger:
    """Make or migrate the ledger; end the command if it does not sync commits and the settings demand it."""
    settings.make_key_file()
    ledger = Ledger(settings.ledger_url)
    is_new = ledger.schema() is Schema.MISSING
    ledger.upgrade()
    if is_new and not demo:
        click.echo(f"There was no ledger yet, and a new one is made: {ledger.place}.", err=True)
    if not settings.allow_unsynced_commits and (reason := ledger.unsynced()) is not None:
        fail(f"Spacebridge does not start: {reason}. `spacebridge doctor` says how to mend it.")
    return ledger


def _run(
    supervisor: Supervisor, settings: Settings, ledger: Ledger, address: str, demo_shop: DemoShop | None
) -> None:
    folder = settings.data_dir.absolute()
    try:
        supervisor.start()
    except StartError as error:
        source = f"The end of {folder / embedded_demo.LOG} says" if demo_shop else "The lines above say"
        fail(f"Spacebridge did not start: {error}. {source} why.")
    click.echo(f"Spacebridge is ready at {address}. Its ledger is in {folder}.", err=True)
    if demo_shop is not None:
        arguments = (settings, ledger, address, demo_shop)
        threading.Thread(target=_print_demo, args=arguments, daemon=True).start()
    else:
        _print_stores(ledger, settings, address)
    click.echo("Stop it with Ctrl-C.", err=True)
    click.echo(f"After you have installed another version, type: kill -USR2 {os.getpid()}", err=True)
    supervisor.run()
    click.echo("Spacebridge has stopped. What was accepted is in the ledger.", err=True)


def _print_stores(ledger: Ledger, settings: Settings, address: str) -> None:
    with ledger.read() as connection:
        stores = ledger_stores.every(connection)
    for store in stores:
        click.echo(
            f"Store {store.name} delivers to {settings.public_url or address}/webhooks/{store.name}", err=True
        )
    if not stores:
        click.echo("It has no store yet: `spacebridge stores add --help` shows how to add one.", err=True)


def _print_demo(settings: Settings, ledger: Ledger, address: str, shop: DemoShop) -> None:
    """Play the demo on the receiver at `address`, and print each step and a summary."""
    console = styled_console()
    try:
        deliveries = recorded_deliveries()
    except RecordingUnreadableError as error:
        fail(str(error))
    console.print(f"\nA shop's life in {len(deliveries)} deliveries, as WooCommerce sent them:\n")
    answers: Counter[str] = Counter()
    for step in embedded_demo.play(settings, ledger, address, deliveries):
        answers[step.answer["status"]] += 1
        _print_step(console, step)
    table = Table(title="Summary", title_justify="left", box=None, show_header=False, title_style="bold")
    for label, number in embedded_demo.totals(settings, ledger, answers):
        table.add_row(label, str(number))
    console.print()
    console.print(table)
    _print_outage(console, embedded_demo_outage.play(settings, ledger, address, shop))
    sandbox = settings.api_url.removesuffix("/v1") + "/sandbox"
    prefix = f"SPACEBRIDGE_DATA_DIR={settings.data_dir} spacebridge"
    console.print(
        "\nIt goes on running. Try next, in another terminal (`. .venv/bin/activate` first):\n"
        f"  {prefix} orders list --decision attention\n"
        f"  {prefix} orders explain {embedded_demo.STORE} 328\n"
        f"  {prefix} stores show {embedded_demo_outage.STORE}\n"
        f"  {prefix} issuances list\n"
        f"  curl {sandbox}/documents\n",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _print_outage(console: Console, scene: Iterator[str | Row]) -> None:
    """Print the second scene: its sentences, and then a table of its orders."""
    console.print("\nAn outage, and a shop that can be asked:\n")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("order", "told by", "document"):
        table.add_column(name)
    missing = 0
    for shown in scene:
        if isinstance(shown, str):
            console.print(f"  {shown}", markup=False, highlight=False, soft_wrap=True)
        else:
            table.add_row(str(shown.order), shown.how, shown.document)
            missing += shown.document != ISSUED
    console.print()
    console.print(table)
    console.print(f"Orders of the shop without a document: {missing}")


def _print_step(console: Console, step: embedded_demo.Step) -> None:
    topic = step.delivery.headers.get("X-WC-Webhook-Topic", "ping")
    status = step.answer["status"]
    console.print(f"[bold]{topic}[/bold]  [dim]{step.delivery.scenario}[/dim]", highlight=False)
    if status in {"duplicate", "pong"}:
        console.print(f"    {status}", style="dim")
    elif "reason" in step.answer:
        console.print(f"    {status}: {step.answer['reason']}", style="dim", markup=False, soft_wrap=True)
    elif step.reason is not None:
        console.print(f"    {step.reason}", markup=False, highlight=False, soft_wrap=True)
    for document in step.documents:
        console.print(
            f"    [green]issued {document['kind']} {document['number']}[/green]: "
            f"{document['total']} {document['currency']}",
            highlight=False,
        )
