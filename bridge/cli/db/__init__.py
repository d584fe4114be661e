"""`spacebridge db`: makes, migrates, copies, backs up and restores the ledger's database."""

from __future__ import annotations

import click

from bridge.cli.db.back_up import after_restore, backup
from bridge.cli.db.copy import copy
from bridge.cli.db.reopen import reopen
from bridge.cli.db.upgrade import upgrade


@click.group()
def db() -> None:
    """The ledger's database."""


db.add_command(upgrade)
db.add_command(backup)
db.add_command(after_restore)
db.add_command(copy)
db.add_command(reopen)
