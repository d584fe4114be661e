"""`spacebridge stores`: the shops, where their orders go, and the state of each."""

from __future__ import annotations

import click

from bridge.cli.groups import LazyGroup

_COMMANDS = {
    "add": "add",
    "list": "show",
    "show": "show",
    "set": "change",
    "sync": "change",
    "pause": "change",
    "resume": "change",
    "remove": "change",
    "rotate-secret": "secret",
    "set-token": "secret",
    "apply": "apply",
    "connect": "connect",
    "disconnect": "connect",
    "install-webhooks": "install_webhooks",
    "reconcile": "reconcile",
}


@click.group(
    cls=LazyGroup, modules={name: f"bridge.cli.stores.{module}" for name, module in _COMMANDS.items()}
)
def stores() -> None:
    """The shops, and where their orders go."""
