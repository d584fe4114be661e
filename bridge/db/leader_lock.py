"""The leader lock: of all workers over one ledger, one at a time holds it and runs the duties."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from sqlalchemy import func, select, text
from sqlalchemy.engine import make_url

from bridge.db.engine import Ledger
from bridge.db.file_lock import try_lock

HOLDER_TIMEOUT = 15  # seconds without a statement of the holder, after which PostgreSQL releases the lock
# Any number, the same in every process. Former versions used 0x5BACEB13, and a file `.beat.lock`: one that is
# left running keeps no worker from leading.
_ADVISORY_LOCK = 0x5BACEB14


class LeaderLock:
    """The lock. The operating system or the database releases it when its holder dies.

    One thread calls `acquire` again and again, sooner than every HOLDER_TIMEOUT seconds.
    """

    def __init__(self, ledger_url: str) -> None:
        """Opens nothing yet."""
        url = make_url(ledger_url)
        self._ledger = Ledger(ledger_url, pool_size=1)
        self._file = Path(f"{url.database}.leader.lock") if url.get_backend_name() == "sqlite" else None
        self._holder: Generator[bool, None, None] | None = None

    def acquire(self) -> bool:
        """Acquire the lock if it is free, or confirm that it is still held; returns whether it is held.

        Raises LedgerUnavailableError if that cannot be found out. Two processes may hold it for a moment: a
        holder that has lost the ledger does not know that until it calls this again.
        """
        holder, self._holder = self._holder, None
        if holder is None:
            holder = _lock_file(self._file) if self._file else self._lock_in_database()
        if next(holder):
            self._holder = holder
        else:
            holder.close()
        return self._holder is not None

    def release(self) -> None:
        """Release the lock. A process that ends need not call this."""
        if self._holder is not None:
            self._holder.close()
            self._holder = None
        self._ledger.close()

    def _lock_in_database(self) -> Generator[bool, None, None]:
        """Yield at each step whether the lock is held, by a transaction that stays open.

        A session's lock does not work through a pooler that gives each transaction another session. The
        transaction has no snapshot between its statements, so it keeps no dead rows from being vacuumed. The
        server ends it if the holder sends nothing more, since its machine is gone or stands still.
        """
        with self._ledger.write(no_time_limit=True) as connection:
            connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{HOLDER_TIMEOUT}s'"))
            query = select(func.pg_try_advisory_xact_lock(_ADVISORY_LOCK))
            is_locked = connection.execute(query).scalar_one()
            while is_locked:
                yield True
                connection.execute(select(1))
            yield False


def _lock_file(path: Path) -> Generator[bool, None, None]:
    """Yield at each step whether the lock on the file is held."""
    with try_lock(path) as is_locked:
        while is_locked:
            yield True
        yield False
