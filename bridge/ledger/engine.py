"""Opens the ledger's database, SQLite or PostgreSQL, and keeps its schema current."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

LOCK_TIMEOUT = 20  # seconds a transaction waits for another's; under gunicorn's own timeout
# A server that does not answer any more is given up after as long.
_POSTGRESQL_OPTIONS = {
    "connect_timeout": 5,
    "tcp_user_timeout": LOCK_TIMEOUT * 1000,
    "options": f"-c lock_timeout={LOCK_TIMEOUT}s",
}
_MIGRATIONS = Path(__file__).parent / "migrations"
_UPGRADE_LOCK = 0x5BACEB12  # any number, the same in every process: names PostgreSQL's advisory lock


class LedgerUnavailableError(Exception):
    """The database cannot be reached or written; trying again later makes sense."""


class LedgerFaultError(Exception):
    """The database refused what the bridge wanted to write; trying again makes no sense."""


class LedgerNotMigratedError(Exception):
    """The database lacks tables or columns that this version needs."""

    def __init__(self) -> None:
        super().__init__("The ledger's schema is not current: run `spacebridge db upgrade`.")


class Ledger:
    """A database and its two kinds of transaction: `read()`, and `write()`, which commits."""

    def __init__(self, url: str, *, pool_size: int = 5) -> None:
        """`url`: `sqlite:///<file>` or `postgresql://...`. Opens nothing yet.

        Raises ValueError, without the URL in its text (it may hold a password), for another kind.
        """
        self._url = _with_driver(url)
        self._is_sqlite = self._url.get_backend_name() == "sqlite"
        # hide_parameters: the text of a database error would otherwise quote orders and secrets.
        options: dict[str, Any] = {"hide_parameters": True, "pool_size": pool_size, "max_overflow": 20}
        if not self._is_sqlite:
            options |= {"pool_pre_ping": True, "connect_args": _POSTGRESQL_OPTIONS}
        if self._is_sqlite:
            self._path = Path(self._url.database or "")
            self._turns = _Turns(self._path.with_name(self._path.name + ".lock"))
            self._writer = _sqlite_engine(self._url, options, pragmas=[], begin="BEGIN IMMEDIATE")
            self._reader = _sqlite_engine(self._url, options, pragmas=["query_only=ON"], begin="BEGIN")
        else:
            # A writer that has waited for a row must see what the one before it wrote, whatever the server's
            # default is; a reader's statements must all see the same.
            self._writer = create_engine(self._url, isolation_level="READ COMMITTED", **options)
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
                return
            with self._turns.next(), self._writer.begin() as connection:
                yield connection

    def upgrade(self) -> None:
        """Create or migrate the schema. Of several processes at once, one does it and the others wait."""
        with _translated():
            if self._is_sqlite:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._turns.next(), self._writer.connect() as connection:
                    # WAL is a property of the file. Set from several processes at once, it fails with
                    # "database is locked", so it is set here and nowhere else.
                    connection.connection.cursor().execute("PRAGMA journal_mode=WAL")
                    connection.rollback()
                    self._run_migrations(connection)
                return
            with self._writer.connect() as lock, self._writer.connect() as connection:
                lock.execute(text("SET LOCAL lock_timeout = 0"))  # others may take their time
                lock.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
                self._run_migrations(connection)

    def check(self) -> None:
        """Raise LedgerUnavailableError or LedgerNotMigratedError unless the ledger is fit for use."""
        if self._is_sqlite and not self._path.exists():
            raise LedgerNotMigratedError
        with self.read() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
        if found != ScriptDirectory(str(_MIGRATIONS)).get_current_head():
            raise LedgerNotMigratedError

    def close(self) -> None:
        """Close the idle connections."""
        for engine in (self._reader, self._writer):
            engine.dispose()

    def _run_migrations(self, connection: Connection) -> None:
        config = AlembicConfig()
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


class _Turns:
    """Lets writers to a SQLite file go one after the other, first come first served.

    SQLite's own busy handler polls, so under load some writers starve while others pass them.
    The kernel queues the waiters of flock() and releases a dead process' lock.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._of_thread = threading.local()

    @contextmanager
    def next(self) -> Iterator[None]:
        descriptor = getattr(self._of_thread, "descriptor", None)
        if descriptor is None or self._of_thread.pid != os.getpid():
            # Kept open for the life of the thread: a lock belongs to an open file, not to its user.
            try:
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise LedgerUnavailableError(f"{self._path}: {error.strerror}") from error
            self._of_thread.descriptor, self._of_thread.pid = descriptor, os.getpid()
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (IntegrityError, DataError) as error:
        # A fault of ours. The server's text quotes the row, so neither it nor its cause goes any further.
        state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", None)
        raise LedgerFaultError(f"the ledger refused a row: {type(error).__name__} {state}") from None
    except (PoolTimeoutError, DBAPIError) as error:  # also: a table or a right that is missing
        raise LedgerUnavailableError(str(error).partition("\n")[0]) from None


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
    if backend == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise ValueError("an SQLite ledger needs a file: sqlite:///<file>")
    return parsed


def _sqlite_engine(url: URL, options: Mapping[str, Any], *, pragmas: Sequence[str], begin: str) -> Engine:
    engine = create_engine(url, **options)

    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver opens no transactions; `begin_transaction` does
        cursor = connection.cursor()
        for pragma in [
            f"busy_timeout={LOCK_TIMEOUT * 1000}",
            "synchronous=FULL",
            "foreign_keys=ON",
            *pragmas,
        ]:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    # A transaction that reads first and writes later cannot wait for the lock in between: it fails.
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", configure)
    event.listen(engine, "begin", begin_transaction)
    return engine
