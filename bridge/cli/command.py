"""The `spacebridge` command line: its commands, and how each may end."""

from __future__ import annotations

import logging
import os
import sys

import click

from bridge import __version__
from bridge.cli.groups import LazyGroup
from bridge.cli.terminal import fail, tolerate_any_encoding
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


@click.group(
    cls=LazyGroup,
    modules={name: f"bridge.cli.{name}" for name in COMMANDS},
    summaries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="spacebridge")
def cli() -> None:
    """WooCommerce orders in, Space Invoices documents out: none lost, none issued twice."""
    # Standard output is for the result of a command alone, and a message says what a log line would.
    from bridge.telemetry import configure_logging  # noqa: PLC0415 - not for `--help`

    configure_logging(level=logging.WARNING)


def run() -> None:
    """Run the command; every failure it expects is one sentence and an exit status, never a traceback."""
    tolerate_any_encoding()
    os.umask(0o077)  # what commands write is for this user alone
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
    from bridge.admin import RefusedError  # noqa: PLC0415
    from bridge.embedded.folder_lock import DataFolderError  # noqa: PLC0415
    from bridge.embedded.recorded import RecordingUnreadableError  # noqa: PLC0415
    from bridge.settings import SettingsError  # noqa: PLC0415
    from bridge.vault import WrongKeyError  # noqa: PLC0415
    from bridge.vault.key_file import KeysAreBeingChangedError  # noqa: PLC0415

    said_by_itself = (
        *(db.LedgerMovedError, db.LedgerNotMigratableError, db.LedgerNotMigratedError),
        *(WrongKeyError, KeysAreBeingChangedError, SettingsError),
        *(RefusedError, DataFolderError, RecordingUnreadableError),
    )
    if isinstance(error, said_by_itself):
        return str(error)
    if isinstance(error, db.LedgerFaultError):
        return f"The ledger cannot look up or store a value of this command: {error}. Nothing is changed."
    if isinstance(error, db.LedgerUnavailableError):
        return f"The ledger cannot be reached: {error}. Check SPACEBRIDGE_DATABASE_URL, or the data folder."
    return None
