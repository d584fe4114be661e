"""Everything durable: deliveries, orders, issuances, attempts and stores, in SQLite or PostgreSQL.

`Ledger` opens the database; the modules beside it hold the queries, one module for each table. A
function that takes a `Connection` is a part of its caller's transaction.
"""

from bridge.ledger.engine import Ledger
from bridge.ledger.errors import (
    LedgerFaultError,
    LedgerMovedError,
    LedgerNotMigratableError,
    LedgerNotMigratedError,
    LedgerUnavailableError,
)
from bridge.ledger.schema import Schema
from bridge.ledger.vault import Vault, WrongKeyError

__all__ = [
    "Ledger",
    "LedgerFaultError",
    "LedgerMovedError",
    "LedgerNotMigratableError",
    "LedgerNotMigratedError",
    "LedgerUnavailableError",
    "Schema",
    "Vault",
    "WrongKeyError",
]
