"""The `spacebridge` command line: which commands there are, and how each may end."""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module

import click

from bridge import __version__
from bridge.cli.options import add_data_dir_option
from bridge.cli.terminal import fail, tolerate_any_encoding
from bridge.data_folder import make_private
from bridge.db import (
    LedgerFaultError,
    LedgerMovedError,
    LedgerNotMigratableError,
    LedgerNotMigratedError,
    LedgerUnavailableError,
)
from bridge.printable import guard_standard_streams
from bridge.settings import SettingsError
from bridge.telemetry import configure_logging
from bridge.vault import WrongKeyError

_COMMANDS = [
    *("db", "deliveries", "doctor", "issuances", "keys", "orders"),
    *("sandbox", "stores", "up", "woocommerce"),
]


class _Commands(click.Group):
    """Loads the module of the command that is called, and no other: all of them take half a second."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return _COMMANDS

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"bridge.cli.{cmd_name}"), cmd_name)
        add_data_dir_option(command, cmd_name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="spacebridge")
def cli() -> None:
    """WooCommerce orders in, Space Invoices documents out: none lost, none issued twice."""
    # A command speaks for itself; standard output is for what it was asked for, and no log line may be in it.
    configure_logging(level=logging.WARNING)


def run() -> None:
    """Run the command; every failure it expects is one sentence and an exit status, never a traceback."""
    tolerate_any_encoding()
    make_private()
    guard_standard_streams()
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except click.Abort:
        fail("Aborted.")
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (
        SettingsError,
        LedgerMovedError,
        LedgerNotMigratableError,
        LedgerNotMigratedError,
        WrongKeyError,
    ) as error:
        fail(str(error))
    except LedgerFaultError as error:
        fail(f"What was given cannot be looked up or kept: {error}. Nothing is changed.")
    except LedgerUnavailableError as error:
        fail(f"The ledger cannot be reached: {error}. Check SPACEBRIDGE_DATABASE_URL, or the data folder.")
    except BrokenPipeError:
        # Whoever read our output has enough of it. Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        fail(
            f"{error.filename or 'A file'} cannot be used: {error.strerror}. See that this user may write it."
        )
