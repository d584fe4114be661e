"""Arguments and options that several commands share."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

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
_DATA_DIR = "bridge.cli.data_dir"  # in the context's meta, which a command shares with its groups
_WITHOUT_LEDGER = {("sandbox",), ("keys", "make")}


def _keep_data_dir(context: click.Context, _parameter: click.Parameter, folder: str | None) -> None:
    if folder is None:
        return
    if not folder:
        raise click.BadParameter("it is empty, and is to name a folder.")
    try:
        folder.encode()
    except UnicodeEncodeError:
        raise click.BadParameter("the folder's name is not text in UTF-8.") from None
    context.meta[_DATA_DIR] = Path(folder)


_DATA_DIR_OPTION = click.Option(
    ["--data-dir"],
    metavar="FOLDER",
    type=click.Path(file_okay=False),
    callback=_keep_data_dir,
    expose_value=False,
    help="Where the embedded ledger and its key are.  [default: SPACEBRIDGE_DATA_DIR, or var]",
)


def add_data_dir_option(command: click.Command, *path: str) -> None:
    """Give --data-dir to the command and all below it, except those that use no ledger.

    `path`: the words that call the command.
    """
    if isinstance(command, click.Group):
        for name, subcommand in command.commands.items():
            add_data_dir_option(subcommand, *path, name)
    elif path not in _WITHOUT_LEDGER and _DATA_DIR_OPTION not in command.params:
        command.params.append(_DATA_DIR_OPTION)


def data_dir() -> Path | None:
    """The folder that --data-dir names; None without that option."""
    context = click.get_current_context(silent=True)
    return None if context is None else context.meta.get(_DATA_DIR)


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
