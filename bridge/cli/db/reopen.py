"""`spacebridge db reopen`."""

from __future__ import annotations

import click

from bridge.cli.options import YES_OPTION
from bridge.cli.terminal import confirm_or_fail
from bridge.db import Ledger
from bridge.settings import load_settings


@click.command()
@YES_OPTION
def reopen(yes: bool) -> None:
    """Use a ledger again that `db copy` has closed, if its copy was never used.

    If the copy was used, copy it back instead, into an empty database.
    """
    ledger = Ledger(load_settings().ledger_url)
    note = ledger.closed()
    if note is None:
        click.echo(f"{ledger.place} is not closed. Nothing is changed.", err=True)
        return
    click.echo(
        f"The other ledger is {note.place}. If a bridge has run over it since {note.at:%Y-%m-%d %H:%M} UTC, "
        "or will, then what was accepted there is missing here, and what is due in both is issued twice.",
        err=True,
    )
    if not yes:
        confirm_or_fail("Has nothing run over that one, and will nothing ever?")
    ledger.reopen()
    click.echo(f"{ledger.place} can be used again. Drop the other one.", err=True)
