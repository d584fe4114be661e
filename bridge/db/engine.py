"""Opens the ledger's database, SQLite or PostgreSQL, and keeps its schema current."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Dialect, Engine, func, select, text
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    PendingRollbackError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import PoolProxiedConnection

from bridge.db import closing
from bridge.db.after_commit import collect, tell_all
from bridge.db.closing import Closed, State
from bridge.db.connections import IDLE_IN_TRANSACTION, postgresql_engine, sqlite_engine, with_driver
from bridge.db.errors import (
    LedgerBusyError,
    LedgerFaultError,
    LedgerMovedError,
    LedgerNotMigratedError,
    LedgerUnavailableError,
)
from bridge.db.file_lock import try_lock
from bridge.db.schema import Schema, schema_of
from bridge.db.statements import abandon, begin, commit, value_refused
from bridge.db.write_lock import WriteLock

LOCK_TIMEOUT = 20.0  # seconds a transaction waits for another's; under gunicorn's own timeout
ALONE_FOR = 60  # seconds for which a name is kept by a process that says nothing
DIRECT_WRITERS = 4  # so many at once, in PostgreSQL: it syncs what they commit together
BUSY_AFTER = 0.5  # seconds in which a transaction that many share gives way, in PostgreSQL
# Seconds in which PostgreSQL from 17 on ends a transaction that writes: longer than three locks that are each
# waited for until LOCK_TIMEOUT, and shorter than any lease.
LONGEST_TRANSACTION = 60.0
# Of PostgreSQL: not serialized, deadlock, lock not available. Each undoes the transaction that it is told to.
_IN_THE_WAY = {"40001", "40P01", "55P03"}
_CLOSED = "it was copied to another database, and is closed: `spacebridge doctor` says which"
_UPGRADE_LOCK = 0x5BACEB12  # any number, the same in every process: names PostgreSQL's advisory lock

_Result = TypeVar("_Result")


class Ledger:
    """A database and its two kinds of transaction: `read()`, and `write()`, which commits."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 5,
        lock_timeout: float = LOCK_TIMEOUT,
        row_timeout: float | None = None,
    ) -> None:
        """`url`: `sqlite:///<file>` or `postgresql://...`. Opens nothing yet.

        `lock_timeout`: seconds that a transaction waits at most for another's. `row_timeout`: the same for
        those of `write` in PostgreSQL, where others lock some rows only, and not all of them as in SQLite.
        Raises ValueError, without the URL in its text (it may hold a password), for another kind.
        """
        self._url = with_driver(url)
        self._is_sqlite = self._url.get_backend_name() == "sqlite"
        self._lock_timeout = lock_timeout
        self._row_timeout = lock_timeout if row_timeout is None else row_timeout
        self._writer: Engine
        self._reader: Engine
        self._direct: Engine  # for `write_by_driver`
        self._driver_error: type[Exception]
        self._at_hand: dict[int, PoolProxiedConnection] = {}  # by process: a fork must not use its parent's
        if self._is_sqlite:
            self._path = Path(self._url.database or "")
            self._turns = WriteLock(self._path.with_name(self._path.name + ".lock"))
            connect = partial(sqlite_engine, self._url, pool_size=pool_size, lock_timeout=lock_timeout)
            # A transaction that reads first and writes later cannot wait for the lock in between: it fails.
            self._writer = self._direct = connect(begin="BEGIN IMMEDIATE")
            self._reader = connect(begin="BEGIN", query_only="ON")
        else:
            connect = partial(
                postgresql_engine, self._url, patience=lock_timeout, isolation_level="AUTOCOMMIT"
            )
            # What writes is always the same and finds its rows by ids, or by what it says in so many words:
            # it is planned once, since to plan takes longer than to carry out. It is told by hand when a
            # transaction begins and ends, since the driver would wait for either.
            write = partial(connect, plan_cache_mode="force_generic_plan")
            self._writer = write(pool_size=pool_size - pool_size // 2, lock_timeout=lock_timeout)
            # Many requests share a transaction there: none may have the others wait for long.
            self._direct = write(
                pool_size=DIRECT_WRITERS, lock_timeout=min(lock_timeout, BUSY_AFTER), sends_bodies=True
            )
            read = connect(pool_size=max(1, pool_size // 2), lock_timeout=lock_timeout)
            self._reader = read.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._driver_error = self.dialect.loaded_dbapi.Error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the ledger, and is refused any change."""
        # Committed at its end: at a rollback, psycopg forgets what it has prepared.
        with self._translated(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self, *, wait: float | None = None, may_last: bool = False) -> Iterator[Connection]:
        """A transaction, committed and synced to disk at the end of the block, undone if that raises.

        `wait`: in PostgreSQL, the seconds that it waits for each lock of another transaction, if not the
        ledger's own. Raises LedgerBusyError when they are over, or when it was chosen to end a deadlock: what
        others have locked is no fault of the rest, so trying each of several by itself makes sense.
        `may_last`: the server does not end it, however long it takes or is idle. It ends all others, so that
        a process that stands still in one does not keep its locks for good.
        """
        with self._translated():
            if self._is_sqlite:
                with self._turn(), self._writer.begin() as connection:
                    told = collect(connection)
                    yield connection
            else:
                with self._writer.connect() as connection:
                    told = collect(connection)
                    try:
                        begin(
                            connection,
                            lock_timeout=self._row_timeout if wait is None else wait,
                            idle_in_transaction_session_timeout=0 if may_last else IDLE_IN_TRANSACTION,
                            transaction_timeout=0 if may_last else LONGEST_TRANSACTION,
                        )
                        yield connection
                        commit(connection)
                    except BaseException:
                        abandon(connection)
                        raise
        tell_all(told)

    @contextmanager
    def alone(self, name: str) -> Iterator[bool]:
        """Whether this thread, of all of all processes, has this name now; it keeps it for the block, if so.

        A holder that does not end within ALONE_FOR loses the name: its machine may stand still.
        """
        if self._is_sqlite:
            with try_lock(self._path.with_name(f"{self._path.name}.{name}.lock")) as is_mine:
                yield is_mine
            return
        # This one does nothing else: the work has transactions of its own.
        with self.write(may_last=True) as connection:
            connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{ALONE_FOR}s'"))
            key = func.hashtextextended(f"spacebridge {name}", 0)
            is_mine = connection.execute(select(func.pg_try_advisory_xact_lock(key))).scalar_one()
            yield is_mine

    def write_by_driver(self, work: Callable[[Any], _Result]) -> _Result:
        """What `work` returns, when what it does is committed. It is given a cursor of the driver's own.

        That is for what has to be fast: SQLAlchemy costs more than many a commit. In SQLite, it is a
        transaction like that of `write()`. In PostgreSQL, each statement is one, so that it takes a single
        exchange with the server. Raises LedgerBusyError where that has to wait for another transaction, and
        otherwise what `write()` does.
        """
        with self._translated():
            if self._is_sqlite:
                with self._turn():
                    return self._carry_out_and_commit(work)
            return self._carry_out(work)

    def _carry_out(self, work: Callable[[Any], _Result]) -> _Result:
        connection = self._direct.raw_connection()
        try:
            return work(connection.cursor())
        except BaseException:
            connection.invalidate()
            raise
        finally:
            connection.close()

    def _carry_out_and_commit(self, work: Callable[[Any], _Result]) -> _Result:
        # Kept at hand: the pool would take as long as the insertion. Whoever has the turn is alone with it.
        process = os.getpid()
        connection = self._at_hand.pop(process, None) or self._direct.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            result = work(cursor)
            cursor.execute("COMMIT")
        except BaseException:
            # Not by closing it alone: that is put off for as long as a traceback refers to the cursor.
            with suppress(self.dialect.loaded_dbapi.Error):
                connection.rollback()
            connection.invalidate()
            raise
        self._at_hand[process] = connection
        return result

    def _turn(self) -> AbstractContextManager[None]:
        return self._turns.next(within=self._lock_timeout) if self._is_sqlite else nullcontext()

    def upgrade(self) -> None:
        """Create or migrate the schema. Of several processes at once, one does it and the others wait.

        Raises LedgerMovedError, LedgerNotMigratableError and LedgerUnavailableError.
        """
        self.require_open()
        with self._translated():
            if self._is_sqlite:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._turns.next(within=None), self._writer.connect() as connection:
                    # WAL is a property of the file. Set from several processes at once, it fails with
                    # "database is locked", so it is set here and nowhere else.
                    connection.connection.cursor().execute("PRAGMA journal_mode=WAL")
                    connection.rollback()
                    _migrate(connection)
                return
            migrations = self._writer.execution_options(isolation_level="READ COMMITTED")
            with self._writer.connect() as lock, migrations.connect() as connection:
                # Neither a transaction nor a statement that waits: CREATE INDEX CONCURRENTLY waits for every
                # snapshot, and would wait for whoever waits here for it.
                key = {"key": _UPGRADE_LOCK}
                while not lock.execute(text("SELECT pg_try_advisory_lock(:key)"), key).scalar_one():
                    time.sleep(0.2)
                try:
                    _migrate(connection)
                finally:
                    lock.execute(text("SELECT pg_advisory_unlock(:key)"), key)

    def check(self) -> None:
        """Raise LedgerUnavailableError, LedgerMovedError or LedgerNotMigratedError unless it is fit for use.

        One that a newer version has migrated is: migrations leave what the version before them needs.
        """
        if self.schema() not in {Schema.CURRENT, Schema.NEWER}:
            raise LedgerNotMigratedError
        self.require_open()

    def require_open(self) -> None:
        """Raise LedgerMovedError if the ledger is closed, as it was copied to another database."""
        note = self.closed()
        if note is None:
            return
        day = f"{note.at:%Y-%m-%d}"
        if note.state is State.ARRIVING:
            raise LedgerMovedError(
                f"This ledger ({self.place}) is a copy of {note.place}, made on {day}, that was not brought "
                "to its end: type the same `spacebridge db copy` again."
            )
        raise LedgerMovedError(
            f"This ledger ({self.place}) was copied to {note.place} on {day}, and is closed: have the "
            "settings of every process name that one (SPACEBRIDGE_DATABASE_URL, or SPACEBRIDGE_DATA_DIR); "
            "or, if nothing has run over that one and nothing ever will, type `spacebridge db reopen`."
        )

    def closed(self) -> Closed | None:
        """Why the ledger is closed; None if it is open, or not there. Raises LedgerUnavailableError."""
        if self._is_sqlite and not self._path.exists():
            return None
        with self.read() as connection:
            return closing.closed(connection)

    def unsynced(self) -> str | None:
        """Why what is committed may be lost with the power, as far as the database says; None if it is not.

        PostgreSQL has it from the role, the database, the server, or a pooler between, so it is asked by the
        connections that write. `local` and `remote_write` sync on the server itself, which is enough. Of
        SQLite, every connection demands it.
        """
        if self._is_sqlite:
            return None
        query = text(
            "SELECT name, source FROM pg_settings WHERE name IN ('synchronous_commit', 'fsync') AND setting "
            "= 'off'"
        )
        for engine in (self._writer, self._direct):
            with self._translated(), engine.connect() as connection:
                if (found := connection.execute(query).first()) is not None:
                    return (
                        "PostgreSQL answers a commit before it is on the disk, so that what was acknowledged "
                        f"last is lost if it crashes: {found.name} is off (set by: {found.source})"
                    )
        return None

    def reopen(self) -> None:
        """Have a ledger that is closed take changes again."""
        with self.write() as connection:
            closing.reopen(connection)

    def schema(self) -> Schema:
        """What there is of the schema; raises LedgerUnavailableError."""
        if self._is_sqlite and not self._path.exists():
            return Schema.MISSING
        with self.read() as connection:
            return schema_of(connection)

    def server_time(self) -> datetime | None:
        """What the database server's clock says; None for SQLite, which has none of its own."""
        if self._is_sqlite:
            return None
        with self.read() as connection:
            found: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return found

    @property
    def direct_writers(self) -> int:
        """How many may call `write_by_driver` at once, in a process, without waiting for each other."""
        return 1 if self._is_sqlite else DIRECT_WRITERS

    @property
    def dialect(self) -> Dialect:
        """What of SQL and of its values is the database's own."""
        return self._direct.dialect

    @property
    def place(self) -> str:
        """Where the database is, for people: without the user and the password."""
        if self._is_sqlite:
            return f"SQLite, {self._path}"
        host = self._url.host or "this machine"
        port = f":{self._url.port}" if self._url.port else ""
        return f"PostgreSQL, {self._url.database or 'the default database'} at {host}{port}"

    def close(self) -> None:
        """Close the idle connections."""
        if (connection := self._at_hand.pop(os.getpid(), None)) is not None:
            connection.close()
        for engine in (self._reader, self._writer, self._direct):
            engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            with self._as_sqlalchemy_has_it():
                yield
        except (IntegrityError, DataError) as error:
            # A fault of ours. The server's text quotes the row, so neither it nor its cause goes any further.
            state = _state_of(error)
            if state == closing.SQLITE_ERROR and str(error.orig) == closing.REFUSAL:
                raise LedgerMovedError(_CLOSED) from None
            raise LedgerFaultError(f"the ledger refused a row: {type(error).__name__} {state}") from None
        except (PoolTimeoutError, PendingRollbackError, DBAPIError) as error:
            state = _state_of(error) if isinstance(error, DBAPIError) else None
            if state in _IN_THE_WAY:
                kind = type(getattr(error, "orig", None)).__name__
                raise LedgerBusyError(f"another transaction was in the way: {kind}") from None
            if state == closing.SQLSTATE:
                raise LedgerMovedError(_CLOSED) from None
            # It is away, or was; or a table or a right is missing.
            raise LedgerUnavailableError(str(error).partition("\n")[0]) from None
        except StatementError as error:  # a value that could not be made into one of the database's
            raise value_refused(error.orig) from None

    @contextmanager
    def _as_sqlalchemy_has_it(self) -> Iterator[None]:
        """The errors of what is handed to the driver as SQLAlchemy raises them, without values in them."""
        try:
            yield
        except self._driver_error as error:
            wrapped = DBAPIError.instance(None, None, error, self._driver_error, hide_parameters=True)
            raise wrapped from None


def _state_of(error: DBAPIError) -> str | None:
    """What the database calls this kind of error."""
    return getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", None)


def _migrate(connection: Connection) -> None:
    """Migrate the schema, unless it is current."""
    found = schema_of(connection)
    connection.rollback()
    if found is not Schema.CURRENT:
        from bridge.db.migrating import migrate  # noqa: PLC0415 - see there

        migrate(connection)
