"""The database under the ledger: SQLite or PostgreSQL, its transactions, locks and migrations."""

from bridge.db.engine import Ledger
from bridge.db.errors import (
    LedgerFaultError,
    LedgerMovedError,
    LedgerNotMigratableError,
    LedgerNotMigratedError,
    LedgerUnavailableError,
)
from bridge.db.schema import Schema

__all__ = [
    "Ledger",
    "LedgerFaultError",
    "LedgerMovedError",
    "LedgerNotMigratableError",
    "LedgerNotMigratedError",
    "LedgerUnavailableError",
    "Schema",
]
