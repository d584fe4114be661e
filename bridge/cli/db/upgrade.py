"""`spacebridge db upgrade`."""

from __future__ import annotations

import click

from bridge.data_folder import make_private
from bridge.ledger import Ledger
from bridge.settings import load_settings


@click.command()
def upgrade() -> None:
    """Create the ledger, or migrate it to this version."""
    settings = load_settings()
    settings.make_key_file()
    make_private(settings.data_dir.absolute() if settings.is_embedded else None)
    Ledger(settings.ledger_url).upgrade()
    click.echo("The ledger is current.", err=True)
