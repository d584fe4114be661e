"""`spacebridge db upgrade`."""

from __future__ import annotations

import click

from bridge.cli.ledger_access import no_ledger_in, settings_of_command
from bridge.cli.terminal import fail
from bridge.data_folder import make_private
from bridge.db import Ledger, Schema


@click.command()
def upgrade() -> None:
    """Create the ledger, or migrate it to this version.

    `spacebridge up` makes and migrates an embedded ledger by itself. This command makes one only in a folder
    that is named, since the current folder may be the wrong one.
    """
    settings = settings_of_command()
    ledger = Ledger(settings.ledger_url)
    is_new = ledger.schema() is Schema.MISSING
    if is_new and settings.is_embedded and "data_dir" not in settings.model_fields_set:
        fail(no_ledger_in(settings.data_dir.absolute()))
    settings.make_key_file()
    make_private(settings.data_dir.absolute() if settings.is_embedded else None)
    ledger.upgrade()
    if is_new:
        click.echo(f"A new ledger is made: {ledger.place}.", err=True)
    click.echo("The ledger is current.", err=True)
