"""Being the only one: of all processes over one ledger, one at a time holds a name."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from pathlib import Path

from sqlalchemy import func, select, text
from sqlalchemy.engine import make_url

from bridge.db.engine import Ledger
from bridge.db.errors import LedgerUnavailableError

GIVE_UP_AFTER = 15  # seconds without a sign of the holder
_KEYS = {"beat": 0x5BACEB13}  # any numbers, the same in every process: they name PostgreSQL's advisory locks

_Claim = Generator[bool, None, None]


class LeaderLock:
    """A claim to a name, which the operating system or the database gives back when its holder dies.

    To be asked again and again, sooner than every GIVE_UP_AFTER seconds, by one thread.
    """

    def __init__(self, ledger_url: str, name: str) -> None:
        """`name` is one of those that are known here. Opens nothing yet."""
        url = make_url(ledger_url)
        self._ledger = Ledger(ledger_url, pool_size=1)
        self._key = _KEYS[name]
        self._file = Path(f"{url.database}.{name}.lock") if url.get_backend_name() == "sqlite" else None
        self._claim: _Claim | None = None

    def is_mine(self) -> bool:
        """Whether this process holds the name now; takes it if nobody does.

        Raises LedgerUnavailableError if that cannot be told. Two may hold it for a moment when a holder has
        lost the ledger, and has not asked since.
        """
        claim, self._claim = self._claim, None
        if claim is None:
            claim = self._lock_file(self._file) if self._file else self._lock_in_database()
        if next(claim):
            self._claim = claim
        else:
            claim.close()
        return self._claim is not None

    def release(self) -> None:
        """Let another have the name. Whoever ends has no need to."""
        if self._claim is not None:
            self._claim.close()
            self._claim = None
        self._ledger.close()

    def _lock_in_database(self) -> _Claim:
        """Tells at each step whether the lock is held.

        A transaction's, which is kept open: a session's is not to be had through a pooler that gives each
        transaction another session. It has no snapshot between its statements, so it keeps no dead rows
        from being cleared away. A holder that says nothing any more, since its machine is gone or stands
        still, is ended by the server.
        """
        with self._ledger.write(may_last=True) as connection:
            connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{GIVE_UP_AFTER}s'"))
            query = select(func.pg_try_advisory_xact_lock(self._key))
            is_mine = connection.execute(query).scalar_one()
            while is_mine:
                yield True
                connection.execute(select(1))
            yield False

    def _lock_file(self, path: Path) -> _Claim:
        """The same for a lock on a file."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LedgerUnavailableError(f"{path}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            while True:
                yield True
        except BlockingIOError:
            yield False
        finally:
            os.close(descriptor)
