"""Opens the ledger's database, SQLite or PostgreSQL, and keeps its schema current."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, func, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    PendingRollbackError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from bridge.ledger.errors import LedgerFaultError, LedgerNotMigratedError, LedgerUnavailableError
from bridge.ledger.turns import Turns

LOCK_TIMEOUT = 20.0  # seconds a transaction waits for another's; under gunicorn's own timeout
_MIGRATIONS = Path(__file__).parent / "migrations"
# hide_parameters: the text of a database error would otherwise quote orders and secrets.
_OPTIONS: Mapping[str, Any] = {"hide_parameters": True, "max_overflow": 20}
_UPGRADE_LOCK = 0x5BACEB12  # any number, the same in every process: names PostgreSQL's advisory lock


class Schema(StrEnum):
    """A database's schema, compared with the one that this version needs."""

    MISSING = "missing"
    OLD = "old"
    CURRENT = "current"
    NEWER = "newer"  # of a version that this one does not know


class Ledger:
    """A database and its two kinds of transaction: `read()`, and `write()`, which commits."""

    def __init__(self, url: str, *, pool_size: int = 5, lock_timeout: float = LOCK_TIMEOUT) -> None:
        """`url`: `sqlite:///<file>` or `postgresql://...`. Opens nothing yet.

        `lock_timeout`: seconds that a transaction waits at most for another's.
        Raises ValueError, without the URL in its text (it may hold a password), for another kind.
        """
        self._url = _with_driver(url)
        self._is_sqlite = self._url.get_backend_name() == "sqlite"
        self._lock_timeout = lock_timeout
        if self._is_sqlite:
            self._path = Path(self._url.database or "")
            self._turns = Turns(self._path.with_name(self._path.name + ".lock"))
            pragmas = [f"busy_timeout={lock_timeout * 1000:.0f}", "synchronous=FULL", "foreign_keys=ON"]
            # A transaction that reads first and writes later cannot wait for the lock in between: it fails.
            self._writer = self._sqlite_engine("BEGIN IMMEDIATE", pragmas, pool_size)
            self._reader = self._sqlite_engine("BEGIN", [*pragmas, "query_only=ON"], pool_size)
        else:
            # Whatever the server's defaults: who has waited for a row sees what the one before has written,
            # and all that a reader sees is of one moment.
            self._writer = self._postgresql_engine(pool_size)
            self._reader = self._writer.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the ledger, and is refused any change."""
        with _translated(), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction, committed and synced to disk at the end of the block, undone if that raises."""
        with _translated():
            if not self._is_sqlite:
                with self._writer.begin() as connection:
                    yield connection
                    _require_a_commit(connection)
                return
            with self._turns.next(within=self._lock_timeout), self._writer.begin() as connection:
                yield connection

    def upgrade(self) -> None:
        """Create or migrate the schema. Of several processes at once, one does it and the others wait."""
        with _translated():
            if self._is_sqlite:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._turns.next(within=None), self._writer.connect() as connection:
                    # WAL is a property of the file. Set from several processes at once, it fails with
                    # "database is locked", so it is set here and nowhere else.
                    connection.connection.cursor().execute("PRAGMA journal_mode=WAL")
                    connection.rollback()
                    self._run_migrations(connection)
                return
            lock_engine = self._writer.execution_options(isolation_level="AUTOCOMMIT")
            with lock_engine.connect() as lock, self._writer.connect() as connection:
                # Neither a transaction nor a statement that waits: CREATE INDEX CONCURRENTLY waits for every
                # snapshot, and would wait for whoever waits here for it.
                key = {"key": _UPGRADE_LOCK}
                while not lock.execute(text("SELECT pg_try_advisory_lock(:key)"), key).scalar_one():
                    time.sleep(0.2)
                try:
                    self._run_migrations(connection)
                finally:
                    lock.execute(text("SELECT pg_advisory_unlock(:key)"), key)

    def check(self) -> None:
        """Raise LedgerUnavailableError or LedgerNotMigratedError unless the ledger is fit for use."""
        if self.schema() is not Schema.CURRENT:
            raise LedgerNotMigratedError

    def schema(self) -> Schema:
        """What there is of the schema; raises LedgerUnavailableError."""
        if self._is_sqlite and not self._path.exists():
            return Schema.MISSING
        with self.read() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
        scripts = ScriptDirectory(str(_MIGRATIONS))
        if found is None:
            return Schema.MISSING
        if found == scripts.get_current_head():
            return Schema.CURRENT
        is_known = any(script.revision == found for script in scripts.walk_revisions())
        return Schema.OLD if is_known else Schema.NEWER

    def server_time(self) -> datetime | None:
        """What the database server's clock says; None for SQLite, which has none of its own."""
        if self._is_sqlite:
            return None
        with self.read() as connection:
            found: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return found

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
        for engine in (self._reader, self._writer):
            engine.dispose()

    def _sqlite_engine(self, begin: str, pragmas: Sequence[str], pool_size: int) -> Engine:
        engine = create_engine(self._url, pool_size=pool_size, **_OPTIONS)

        def configure(connection: Any, _record: object) -> None:
            connection.isolation_level = None  # the driver opens no transactions; `begin_transaction` does
            cursor = connection.cursor()
            for pragma in pragmas:
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        def begin_transaction(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        event.listen(engine, "connect", configure)
        event.listen(engine, "begin", begin_transaction)
        event.listen(engine, "handle_error", _name_faults)
        return engine

    def _postgresql_engine(self, pool_size: int) -> Engine:
        milliseconds = round(self._lock_timeout * 1000)
        engine = create_engine(
            self._url,
            pool_size=pool_size,
            pool_pre_ping=True,
            isolation_level="READ COMMITTED",
            connect_args={
                "connect_timeout": 5,
                "tcp_user_timeout": milliseconds,  # a server that does not answer any more is given up
                # A moment of the year 1 or 9999 that the server's zone moves out of it is none to the driver.
                "options": f"-c lock_timeout={milliseconds} -c timezone=UTC",
            },
            **_OPTIONS,
        )
        event.listen(engine, "handle_error", _name_faults)
        return engine

    def _run_migrations(self, connection: Connection) -> None:
        config = AlembicConfig()
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (IntegrityError, DataError) as error:
        # A fault of ours. The server's text quotes the row, so neither it nor its cause goes any further.
        state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", None)
        raise LedgerFaultError(f"the ledger refused a row: {type(error).__name__} {state}") from None
    except (PoolTimeoutError, PendingRollbackError, DBAPIError) as error:
        # It is away, or was; or a table or a right is missing.
        raise LedgerUnavailableError(str(error).partition("\n")[0]) from None
    except StatementError as error:  # a value that could not be made into one of the database's
        raise LedgerFaultError(f"the ledger refused a value: {type(error.orig).__name__}") from None


def _require_a_commit(connection: Connection) -> None:
    """Raise LedgerFaultError if a statement has failed and nobody minded.

    PostgreSQL undoes such a transaction when it is told to commit it, and does not call that an error.
    """
    driver: Any = connection.connection.driver_connection
    if driver.info.transaction_status.name == "INERROR":
        raise LedgerFaultError("a statement of the transaction has failed, so nothing of it is written")


def _name_faults(context: ExceptionContext) -> Exception | None:
    """Make a fault of what the driver cannot even send: a number beyond 64 bits, half a surrogate pair."""
    error = context.original_exception
    if context.sqlalchemy_exception is not None or not isinstance(error, Exception):
        return None
    return LedgerFaultError(f"the ledger refused a value: {type(error).__name__}")


def _with_driver(url: str) -> URL:
    try:
        parsed = make_url(url)
        if parsed.drivername in {"postgres", "postgresql"}:
            parsed = parsed.set(drivername="postgresql+psycopg")
        backend = parsed.get_backend_name()
        parsed.get_dialect()
    except (SQLAlchemyError, ValueError):
        backend = ""
    if backend == "" or parsed.drivername not in {"sqlite", "postgresql+psycopg"}:
        raise ValueError("it is neither postgresql://... nor sqlite:///...")
    if "@" in (parsed.host or ""):
        # Half of the password would be taken for the host, whose name is told.
        raise ValueError("an @ in its password has to be written as %40")
    if backend == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise ValueError("an SQLite ledger needs a file: sqlite:///<file>")
    return parsed
