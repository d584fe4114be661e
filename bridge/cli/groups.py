"""Groups of commands, and the option --data-dir that they give to each command over a ledger."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import click

_DATA_DIR = "bridge.cli.data_dir"  # in the context's meta, which a command shares with its groups
_WITHOUT_LEDGER = {"sandbox", "make"}  # `sandbox` and `keys make`


class LazyGroup(click.Group):
    """A group that imports a command when it is called: all commands together take a second.

    `modules`: the module of each such command, by its name. `summaries`: what the group's help says of each
    command; without them, the help imports all.
    """

    def __init__(
        self,
        *args: Any,
        modules: Mapping[str, str],
        summaries: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._modules = modules
        self._summaries = summaries

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*self.commands, *self._modules])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._modules:
            return super().get_command(ctx, cmd_name)
        members = vars(import_module(self._modules[cmd_name])).values()
        commands = (member for member in members if isinstance(member, click.Command))
        command = next(command for command in commands if command.name == cmd_name)
        _add_data_dir_option(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self._summaries is None:
            super().format_commands(ctx, formatter)
            return
        with formatter.section("Commands"):
            formatter.write_dl(list(self._summaries.items()))


def data_dir() -> Path | None:
    """The folder that --data-dir names; None without that option."""
    context = click.get_current_context(silent=True)
    return None if context is None else context.meta.get(_DATA_DIR)


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


def _add_data_dir_option(command: click.Command) -> None:
    """Give --data-dir to the command and all below it, except those that use no ledger."""
    if isinstance(command, click.Group):
        for subcommand in command.commands.values():
            _add_data_dir_option(subcommand)
    elif command.name not in _WITHOUT_LEDGER and _DATA_DIR_OPTION not in command.params:
        command.params.append(_DATA_DIR_OPTION)
