"""`spacebridge stores`: the shops, where their orders go, and the state of each."""

from __future__ import annotations

import click

from bridge.cli.stores import add, apply, change, pause, remove, show, tokens, webhook_secrets


@click.group()
def stores() -> None:
    """The shops, and where their orders go."""


for command in (
    add.add,
    show.list_,
    show.show,
    change.set_,
    change.sync,
    pause.pause,
    pause.resume,
    remove.remove,
    webhook_secrets.rotate_secret,
    tokens.set_token,
    apply.apply,
):
    stores.add_command(command)
