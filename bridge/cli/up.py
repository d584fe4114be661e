"""`spacebridge up`: receiver and worker together, on one machine, with nothing to install."""

from __future__ import annotations

import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

import click

from bridge.cli.demo import print_demo
from bridge.cli.ledger_access import settings_of_command
from bridge.cli.terminal import fail
from bridge.cli.web import bind_or_fail
from bridge.data_folder import is_up, make_private
from bridge.db import Ledger, Schema
from bridge.embedded import demo as embedded_demo
from bridge.embedded.folder_lock import DataFolderError, folder_lock
from bridge.embedded.parts import address_of, bridge_parts
from bridge.embedded.supervisor import StartError, Supervisor
from bridge.ledger import stores as ledger_stores
from bridge.settings import Settings
from bridge.telemetry import STDERR, STDOUT, configure_logging


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535))
@click.option("--demo", is_flag=True, help="Play real deliveries into a sandbox, in a ledger of its own.")
def up(host: str, port: int, demo: bool) -> None:
    """Run the bridge: receiver and worker."""
    settings = settings_of_command(with_any_ledger=True)
    # The demo's standard output is for people.
    configure_logging(settings.log_format, to=STDERR if demo else STDOUT)
    if demo:
        settings = embedded_demo.demo_settings(settings, receiver_port=port)
    folder = settings.data_dir.absolute()
    if not is_up(folder):
        # Before the folder is made, so that a start that is refused makes none.
        bind_or_fail(host, port, port_option="`make demo PORT=9000`, or --port" if demo else "--port")
    with ExitStack() as stack:
        try:
            stack.enter_context(folder_lock(folder))
            make_private(folder)
            if demo:
                embedded_demo.clear(folder)
        except DataFolderError as error:
            fail(str(error))
        ledger = _open_ledger(settings, demo=demo)
        run_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spacebridge-")))
        parts = bridge_parts(settings, host, port, run_dir, is_demo=demo)
        output = stack.enter_context((folder / embedded_demo.LOG).open("ab")) if demo else None
        _run(Supervisor(parts, output=output), settings, ledger, address_of(host, port), demo=demo)


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


def _run(supervisor: Supervisor, settings: Settings, ledger: Ledger, address: str, *, demo: bool) -> None:
    folder = settings.data_dir.absolute()
    try:
        supervisor.start()
    except StartError as error:
        source = f"The end of {folder / embedded_demo.LOG} says" if demo else "The lines above say"
        fail(f"Spacebridge did not start: {error}. {source} why.")
    click.echo(f"Spacebridge is ready at {address}. Its ledger is in {folder}.", err=True)
    if demo:
        threading.Thread(target=print_demo, args=(settings, ledger, address), daemon=True).start()
    else:
        _print_stores(ledger, address)
    click.echo("Stop it with Ctrl-C.", err=True)
    supervisor.run()
    click.echo("Spacebridge has stopped. What was accepted is in the ledger.", err=True)


def _print_stores(ledger: Ledger, address: str) -> None:
    with ledger.read() as connection:
        stores = ledger_stores.every(connection)
    for store in stores:
        click.echo(f"Store {store.name} delivers to {address}/webhooks/{store.name}", err=True)
    if not stores:
        click.echo("It has no store yet: `spacebridge stores add --help` shows how to add one.", err=True)
