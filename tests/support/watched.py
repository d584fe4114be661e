"""A ledger that notes how its transactions begin, and does what a test wants before they are committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from bridge.db import Ledger, LedgerUnavailableError
from bridge.db.errors import LedgerBusyError


class WatchedLedger(Ledger):
    """A ledger whose transactions that write are watched; what the test has opened is not its own."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.lock_timeouts: list[float | None] = []  # of each transaction that writes, in seconds
        self.before_commit: Callable[[], object] = lambda: None

    @contextmanager
    def write(
        self, *, lock_timeout: float | None = None, no_time_limit: bool = False
    ) -> Iterator[Connection]:
        self.lock_timeouts.append(lock_timeout)
        with super().write(lock_timeout=lock_timeout, no_time_limit=no_time_limit) as connection:
            yield connection
            self.before_commit()


def lose() -> None:
    """As if the connection was cut: the transaction is rolled back."""
    raise LedgerUnavailableError("the connection is lost")


def wait_in_vain() -> None:
    """As if another transaction held a lock for too long: this one is rolled back."""
    raise LedgerBusyError("another transaction holds a lock")
