"""Opens the ledger's database, SQLite or PostgreSQL, and keeps its schema current."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Dialect, Engine, func, select, text

from bridge.db import closing
from bridge.db.after_commit import collect_hooks, run_hooks
from bridge.db.closing import Closed
from bridge.db.connections import with_driver
from bridge.db.direct_writer import DirectWriter
from bridge.db.error_translation import translated_errors
from bridge.db.errors import LedgerMovedError, LedgerNotMigratedError
from bridge.db.schema import Schema, schema_of
from bridge.db.write_lock import WriteLock

LOCK_TIMEOUT = 20.0  # seconds a transaction waits for another's lock; shorter than gunicorn's own timeout
DIRECT_WRITERS = 4  # threads in `write_by_driver` at once, in PostgreSQL: it syncs their commits together
DIRECT_LOCK_TIMEOUT = 0.5  # seconds `write_by_driver` waits for a lock in PostgreSQL: many requests share it
_UPGRADE_LOCK = 0x5BACEB12  # PostgreSQL's advisory lock: any number, the same in every process

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

        `lock_timeout`: seconds for which a transaction waits for another's lock. `row_timeout`: the same for
        `write` in PostgreSQL, where a lock covers some rows, and not the whole ledger as in SQLite. Raises
        ValueError for another kind of URL, without quoting it (it may hold a password).
        """
        self._url = with_driver(url)
        self._is_sqlite = self._url.get_backend_name() == "sqlite"
        self._lock_timeout = lock_timeout
        self._row_timeout = lock_timeout if row_timeout is None else row_timeout
        self._writer: Engine
        self._reader: Engine
        self._direct: Engine  # for `write_by_driver`
        if self._is_sqlite:
            self._path = Path(self._url.database or "")
            self._write_lock = WriteLock(self._path.with_name(self._path.name + ".lock"))
            from bridge.db.sqlite import sqlite_engine  # noqa: PLC0415 - each database has its own driver

            connect = partial(sqlite_engine, self._url, pool_size=pool_size, lock_timeout=lock_timeout)
            # IMMEDIATE: a transaction that reads first and writes later cannot wait for the lock; it fails.
            self._writer = self._direct = connect(begin="BEGIN IMMEDIATE")
            self._reader = connect(begin="BEGIN", query_only="ON")
        else:
            from bridge.db.postgresql import postgresql_engine  # noqa: PLC0415

            connect = partial(postgresql_engine, self._url, response_timeout=lock_timeout)
            # Statements of transactions that write find their rows by ids or by constants, so one generic
            # plan serves; planning takes longer than executing.
            write = partial(connect, plan_cache_mode="force_generic_plan")
            self._writer = write(
                pool_size=pool_size - pool_size // 2,
                lock_timeout=lock_timeout,
                isolation_level="AUTOCOMMIT",  # `write` begins its transactions itself
            )
            self._direct = write(
                pool_size=DIRECT_WRITERS,
                isolation_level="AUTOCOMMIT",
                lock_timeout=min(lock_timeout, DIRECT_LOCK_TIMEOUT),
                binary_lists=True,
            )
            read = connect(
                pool_size=max(1, pool_size // 2),
                lock_timeout=lock_timeout,
                isolation_level="REPEATABLE READ",
            )
            self._reader = read.execution_options(postgresql_readonly=True)

        self._direct_writer = DirectWriter(self._direct)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read-only transaction that sees one state of the ledger."""
        # It ends with a commit: after a rollback, psycopg forgets its prepared statements.
        with self._translated_errors(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(
        self, *, lock_timeout: float | None = None, no_time_limit: bool = False
    ) -> Iterator[Connection]:
        """A transaction: committed and synced to disk at the end of the block, rolled back if that raises.

        `lock_timeout`: in PostgreSQL, the seconds to wait for each lock of another transaction, if not the
        ledger's own. Raises LedgerBusyError when they are over, or when the server ends it to resolve a
        deadlock. Other work may be free of that lock, so it makes sense to try each item by itself.
        `no_time_limit`: the server lets it run or be idle for any time. It ends all other transactions after
        a while, so that a process that stands still does not keep its locks for ever.
        """
        with self._translated_errors(), self._transaction(lock_timeout, no_time_limit) as connection:
            hooks = collect_hooks(connection)
            yield connection
        run_hooks(hooks)

    def write_by_driver(self, work: Callable[[Any], _Result]) -> _Result:
        """Call `work` with a cursor of the driver's, and return its result after the commit.

        It is for the hottest path, where SQLAlchemy takes longer than many a commit. In SQLite, it is a
        transaction like that of `write`. In PostgreSQL, each statement is a transaction, so that it takes one
        round trip. Raises LedgerBusyError if a statement has to wait for another transaction, and otherwise
        what `write` raises.
        """
        with self._translated_errors():
            if self._is_sqlite:
                with self._hold_write_lock():
                    return self._direct_writer.write_to_sqlite(work)
            return self._direct_writer.write_to_postgresql(work)

    @contextmanager
    def _transaction(self, lock_timeout: float | None, no_time_limit: bool) -> Iterator[Connection]:
        if self._is_sqlite:
            with self._hold_write_lock(), self._writer.begin() as connection:
                yield connection
            return
        from bridge.db.postgresql import begin  # noqa: PLC0415

        wait = self._row_timeout if lock_timeout is None else lock_timeout
        with begin(self._writer, lock_timeout=wait, no_time_limit=no_time_limit) as connection:
            yield connection

    def _hold_write_lock(self) -> AbstractContextManager[None]:
        return self._write_lock.hold(timeout=self._lock_timeout)

    def upgrade(self) -> None:
        """Create or migrate the schema. Of several processes at once, one does it and the others wait.

        Raises LedgerMovedError, LedgerNotMigratableError and LedgerUnavailableError.
        """
        self.require_open()
        with self._translated_errors():
            if self._is_sqlite:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._write_lock.hold(timeout=None), self._writer.connect() as connection:
                    # WAL is a property of the file. Set from several processes at once, it fails with
                    # "database is locked", so it is set here and nowhere else.
                    connection.connection.cursor().execute("PRAGMA journal_mode=WAL")
                    connection.rollback()
                    _migrate(connection)
                return
            migrating = self._writer.execution_options(isolation_level="READ COMMITTED")
            with self._direct.connect() as lock, migrating.connect() as connection:
                # It polls, with neither an open transaction nor a statement that waits: CREATE INDEX
                # CONCURRENTLY waits for every snapshot, and so would wait for those who wait here.
                key = {"key": _UPGRADE_LOCK}
                while not lock.execute(text("SELECT pg_try_advisory_lock(:key)"), key).scalar_one():
                    time.sleep(0.2)
                try:
                    _migrate(connection)
                finally:
                    lock.execute(text("SELECT pg_advisory_unlock(:key)"), key)

    def check(self) -> None:
        """Raise LedgerUnavailableError, LedgerMovedError or LedgerNotMigratedError unless it can be used.

        A schema of a newer version can be: migrations leave what the version before them needs.
        """
        if self.schema() not in {Schema.CURRENT, Schema.NEWER}:
            raise LedgerNotMigratedError
        self.require_open()

    def require_open(self) -> None:
        """Raise LedgerMovedError if the ledger is closed, since it was copied to another database."""
        if (note := self.closed()) is not None:
            raise LedgerMovedError(note.explanation(self.place))

    def closed(self) -> Closed | None:
        """Why the ledger is closed; None if it is open or does not exist. Raises LedgerUnavailableError."""
        if self._is_sqlite and not self._path.exists():
            return None
        with self.read() as connection:
            return closing.closed(connection)

    def unsynced(self) -> str | None:
        """Why a power failure may lose what is committed; None if the database says nothing of that kind.

        In PostgreSQL the setting may come from the role, the database, the server or a pooler, so the
        connections that write ask for it. `local` and `remote_write` sync on the server itself, which is
        enough. In SQLite, every connection demands synced commits.
        """
        if self._is_sqlite:
            return None
        query = text(
            "SELECT name, source FROM pg_settings WHERE name IN ('synchronous_commit', 'fsync') AND setting "
            "= 'off'"
        )
        for engine in (self._writer, self._direct):
            with self._translated_errors(), engine.connect() as connection:
                if (setting := connection.execute(query).first()) is not None:
                    return (
                        "PostgreSQL answers a commit before it is on the disk, so that what was acknowledged "
                        f"last is lost if it crashes: {setting.name} is off (set by: {setting.source})"
                    )
        return None

    def reopen(self) -> None:
        """Let a closed ledger take changes again."""
        with self.write() as connection:
            closing.reopen(connection)

    def schema(self) -> Schema:
        """The state of the schema; raises LedgerUnavailableError."""
        if self._is_sqlite and not self._path.exists():
            return Schema.MISSING
        with self.read() as connection:
            return schema_of(connection)

    def server_time(self) -> datetime | None:
        """The time by the database server's clock; None for SQLite, which has none of its own."""
        if self._is_sqlite:
            return None
        with self.read() as connection:
            now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return now

    @property
    def direct_writers(self) -> int:
        """How many threads of a process can call `write_by_driver` at once without waiting."""
        return 1 if self._is_sqlite else DIRECT_WRITERS

    @property
    def dialect(self) -> Dialect:
        """SQLAlchemy's dialect of the database."""
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
        self._direct_writer.close()
        for engine in (self._reader, self._writer, self._direct):
            engine.dispose()

    def _translated_errors(self) -> AbstractContextManager[None]:
        return translated_errors(self.dialect.loaded_dbapi.Error)


def _migrate(connection: Connection) -> None:
    """Migrate the schema, unless it is current."""
    schema = schema_of(connection)
    connection.rollback()
    if schema is not Schema.CURRENT:
        from bridge.db.migrating import migrate  # noqa: PLC0415 - Alembic is slow to load

        migrate(connection)
