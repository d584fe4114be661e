"""Arguments and options that several commands share."""

from __future__ import annotations

import os
import pwd
import socket

import click

from bridge.issuance import printable
from bridge.issuance.reading import MAX_ID

ID = click.IntRange(1, MAX_ID)
IDS_ARGUMENT = click.argument(
    "ids",
    metavar="ID...",
    type=ID,
    nargs=-1,
    required=True,
    callback=lambda _context, _parameter, ids: list(dict.fromkeys(ids)),
)
STORE_OPTION = click.option("--store", metavar="NAME", help="Of this store only.")
LIMIT_OPTION = click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100_000))
YES_OPTION = click.option("--yes", is_flag=True, help="Do not ask.")


def operator(name: str | None = None) -> str:
    """The operator as actions record them: `login@host`, or `name (login@host)` if a name is given.

    The login is the one before `sudo`. The text is printable and shorter than 200 characters, whatever the
    environment holds.
    """
    login = f"{printable(os.environ.get('SUDO_USER') or _login())}@{printable(socket.gethostname())}"
    return login if name is None else f"{printable(name)} ({login})"


def _login() -> str:
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container may run under any number
        return f"uid {uid}"


def _who(_context: click.Context, _parameter: click.Parameter, name: str | None) -> str:
    if name is not None and not name.strip():
        raise click.BadParameter("it is empty, and is to say who you are.")
    return operator(name)


AS_OPTION = click.option(
    "--as", "who", metavar="NAME", callback=_who, help="Who you are, where the login does not tell."
)
