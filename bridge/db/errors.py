"""The ledger's errors, by what helps: waiting, mending the bridge, or a migration."""

from __future__ import annotations

from sqlalchemy.exc import DontWrapMixin


class LedgerUnavailableError(Exception):
    """The database cannot be reached or written; trying again later makes sense."""


class LedgerBusyError(LedgerUnavailableError):
    """Another transaction held a lock for too long, so nothing is written."""


class LedgerMovedError(LedgerUnavailableError):
    """The ledger was copied to another database, and is closed."""


class LedgerFaultError(DontWrapMixin, Exception):
    """The database refused what the bridge wanted to write; trying again makes no sense."""


def value_refused(error: BaseException | None) -> LedgerFaultError:
    """The error for a value that the driver cannot send, without the value in its text."""
    return LedgerFaultError(f"the ledger refused a value: {type(error).__name__}")


class LedgerNotMigratedError(Exception):
    """The database lacks tables or columns that this version needs."""

    def __init__(self) -> None:
        super().__init__("The ledger's schema is not current: run `spacebridge db upgrade`.")


class LedgerNotMigratableError(Exception):
    """Rows in the ledger prevent its migration; the text says which, and how to mend that."""
