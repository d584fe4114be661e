"""`spacebridge db`: makes, migrates, copies, backs up and restores the ledger's database."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from bridge.admin import restore
from bridge.admin.backup import back_up
from bridge.cli.db.copy import copy
from bridge.cli.ledger_access import no_ledger_in, open_ledger, settings_of_command
from bridge.cli.options import AS_OPTION, YES_OPTION
from bridge.cli.terminal import JSON_OPTION, confirm_or_fail, fail, print_result
from bridge.data_folder import make_private
from bridge.db import Ledger, Schema
from bridge.settings import load_settings


@click.group()
def db() -> None:
    """The ledger's database."""


@db.command()
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


@db.command()
@click.argument("file", type=click.Path(path_type=Path))
@JSON_OPTION
def backup(file: Path, as_json: bool) -> None:
    """Write the embedded ledger to a new FILE, as it is at this moment. The bridge may run meanwhile.

    The file does not hold the key. Back up a ledger in PostgreSQL with pg_dump.
    """
    settings = settings_of_command()
    size = back_up(Ledger(settings.ledger_url), file)
    key = "SPACEBRIDGE_SECRET_KEY" if settings.key_file is None else settings.key_file.path.absolute()
    print_result(
        {"file": str(file), "bytes": size},
        f"{file} holds the ledger as it was when the back-up began: {size} bytes, checked.",
        as_json=as_json,
        advice=f"Its secrets are encrypted, and the key is not in it: back up {key}, too, in another place.",
    )


@db.command("after-restore")
@YES_OPTION
@AS_OPTION
@JSON_OPTION
def after_restore(yes: bool, who: str, as_json: bool) -> None:
    """Make a restored ledger safe: nothing is sent that may be issued already.

    Pauses every store, and holds every document that is due or being sent, since it may have been issued
    after the back-up was made. Run it before the bridge runs again, and once more when the orders that the
    back-up lacks were delivered again: docs/backup-and-upgrade.md says how. It may be run again at any time.
    """
    ledger = open_ledger()
    extent = restore.extent(ledger)
    click.echo(
        f"Stores that will be paused: {', '.join(extent.running) or 'none, for all are'}. Documents that "
        f"will be held: {extent.due} that are due, {extent.sending} that are being sent.",
        err=True,
    )
    confirm_or_fail("Was this ledger put back from a back-up?", yes=yes)
    now = datetime.now(UTC)
    paused = restore.pause_all(ledger, who=who, now=now)
    held = restore.hold_all(ledger, who=who, now=now)
    print_result(
        {"paused": paused, "held": held},
        f"Stores paused: {len(paused)}. Documents held: {held}.",
        as_json=as_json,
        advice="Now the bridge may run: it accepts deliveries, and sends nothing. Deliver every order again "
        "that was touched since the back-up, run this command once more, look in Space Invoices for each "
        "document of `spacebridge issuances list --state held`, then run `spacebridge stores resume NAME`.",
    )


db.add_command(copy)


@db.command()
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
    confirm_or_fail("Has nothing run over that one, and will nothing ever?", yes=yes)
    ledger.reopen()
    click.echo(f"{ledger.place} can be used again. Drop the other one.", err=True)
