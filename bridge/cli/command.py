"""The `spacebridge` command line: its commands, and how each may end."""

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
from bridge.printable import guard_standard_streams

COMMANDS = {
    "db": "The ledger's database.",
    "deliveries": "What the shops sent.",
    "doctor": "Say what is wrong, and how to mend it.",
    "issuances": "The documents: due, issued, held.",
    "keys": "The keys that the ledger's secrets are encrypted with.",
    "orders": "What was decided on each order.",
    "sandbox": "A Space Invoices stand-in.",
    "stores": "The shops, and where their orders go.",
    "up": "Run the bridge: receiver and worker.",
    "woocommerce": "Space Invoices' Woocommerce objects, by its API as it is.",
}


class _Commands(click.Group):
    """Imports the module of the command that is called, and no other: together they take a second."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"bridge.cli.{cmd_name}"), cmd_name)
        add_data_dir_option(command, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # click itself would import every command for its first sentence.
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="spacebridge")
def cli() -> None:
    """WooCommerce orders in, Space Invoices documents out: none lost, none issued twice."""
    # Standard output is for the result of a command alone, and a message says what a log line would.
    from bridge.telemetry import configure_logging  # noqa: PLC0415 - not for `--help`

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
    except BrokenPipeError:
        # The reader of the output has closed it. Python would report that once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        fail(
            f"{error.filename or 'A file'} cannot be used: {error.strerror}. See that this user may write it."
        )
    except Exception as error:
        message = _message_of(error)
        if message is None:
            raise
        fail(message)


def _message_of(error: Exception) -> str | None:
    """What to print for an error that commands expect; None for any other."""
    # Imported on first use: these take longer than all that `--help` needs.
    from bridge import db  # noqa: PLC0415
    from bridge.embedded.recorded import RecordingUnreadableError  # noqa: PLC0415
    from bridge.settings import SettingsError  # noqa: PLC0415
    from bridge.vault import WrongKeyError  # noqa: PLC0415

    match error:
        case (
            SettingsError()
            | db.LedgerMovedError()
            | db.LedgerNotMigratableError()
            | db.LedgerNotMigratedError()
            | WrongKeyError()
            | RecordingUnreadableError()
        ):
            return str(error)
        case db.LedgerFaultError():
            return f"The ledger cannot look up or store a value of this command: {error}. Nothing is changed."
        case db.LedgerUnavailableError():
            return (
                f"The ledger cannot be reached: {error}. Check SPACEBRIDGE_DATABASE_URL, or the data folder."
            )
    return None
