"""Translates errors of SQLAlchemy and of the drivers into the ledger's own, without values in their texts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    PendingRollbackError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from bridge.db import closing
from bridge.db.errors import (
    LedgerBusyError,
    LedgerFaultError,
    LedgerMovedError,
    LedgerUnavailableError,
    value_refused,
)

# PostgreSQL's codes for: not serialized, deadlock, lock not available. Each rolls back the transaction it is
# raised in.
_CONFLICTS = {"40001", "40P01", "55P03"}
_CLOSED = "it was copied to another database, and is closed: `spacebridge doctor` says which"


@contextmanager
def translated_errors(driver_error: type[Exception]) -> Iterator[None]:
    """Translate errors in the block. `driver_error` is the base class of the driver's own."""
    try:
        with _wrapped(driver_error):
            yield
    except (IntegrityError, DataError) as error:
        # A fault of the bridge. The server's text quotes the row, so neither it nor its cause may go further.
        code = _code(error)
        if code == closing.SQLITE_ERROR and str(error.orig) == closing.REFUSAL:
            raise LedgerMovedError(_CLOSED) from None
        raise LedgerFaultError(f"the ledger refused a row: {type(error).__name__} {code}") from None
    except (PoolTimeoutError, PendingRollbackError, DBAPIError) as error:
        code = _code(error) if isinstance(error, DBAPIError) else None
        if code in _CONFLICTS:
            kind = type(getattr(error, "orig", None)).__name__
            raise LedgerBusyError(f"another transaction was in the way: {kind}") from None
        if code == closing.SQLSTATE:
            raise LedgerMovedError(_CLOSED) from None
        # The database is away, or was; or a table or a right is missing.
        raise LedgerUnavailableError(str(error).partition("\n")[0]) from None
    except StatementError as error:  # a value that could not be converted for the database
        raise value_refused(error.orig) from None


@contextmanager
def _wrapped(driver_error: type[Exception]) -> Iterator[None]:
    """Raise the driver's own errors as SQLAlchemy would, with the values hidden."""
    try:
        yield
    except driver_error as error:
        raise DBAPIError.instance(None, None, error, driver_error, hide_parameters=True) from None


def _code(error: DBAPIError) -> str | None:
    """The database's code for this kind of error."""
    return getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", None)
