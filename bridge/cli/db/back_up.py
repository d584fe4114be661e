"""`spacebridge db backup` and `after-restore`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from bridge.admin import restore
from bridge.admin.backup import NoBackupError, back_up
from bridge.cli.ledger_access import open_ledger, settings_of_command
from bridge.cli.options import AS_OPTION, YES_OPTION
from bridge.cli.terminal import JSON_OPTION, confirm_or_fail, fail, print_json
from bridge.db import Ledger


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@JSON_OPTION
def backup(file: Path, as_json: bool) -> None:
    """Write the embedded ledger to a new FILE, as it is at this moment. The bridge may run meanwhile.

    The file does not hold the key. Back up a ledger in PostgreSQL with pg_dump.
    """
    settings = settings_of_command()
    try:
        size = back_up(Ledger(settings.ledger_url), file)
    except NoBackupError as error:
        fail(str(error))
    if as_json:
        print_json({"file": str(file), "bytes": size})
        return
    click.echo(f"{file} holds the ledger as it was when the back-up began: {size} bytes, checked.")
    key = "SPACEBRIDGE_SECRET_KEY" if settings.key_file is None else str(settings.key_file.path.absolute())
    click.echo(
        f"Its secrets are encrypted, and the key is not in it: back up {key}, too, in another place.",
        err=True,
    )


@click.command("after-restore")
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
    if not yes:
        confirm_or_fail("Was this ledger put back from a back-up?")
    now = datetime.now(UTC)
    paused = restore.pause_all(ledger, who=who, now=now)
    held = restore.hold_all(ledger, who=who, now=now)
    if as_json:
        print_json({"paused": list(paused), "held": held})
        return
    click.echo(f"Stores paused: {len(paused)}. Documents held: {held}.")
    click.echo(
        "Now the bridge may run: it accepts deliveries, and sends nothing. Deliver every order again that "
        "was touched since the back-up, run this command once more, look in Space Invoices for each document "
        "of `spacebridge issuances list --state held`, then run `spacebridge stores resume NAME`.",
        err=True,
    )
