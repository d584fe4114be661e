"""Makes connections to the ledger's database, and checks that pooled ones are still alive."""

from __future__ import annotations

import select as polling
import time
from collections.abc import Mapping
from functools import partial
from math import inf
from typing import Any

from psycopg.pq import TransactionStatus
from psycopg.types.array import ListBinaryDumper
from sqlalchemy import (
    Connection,
    Dialect,
    Engine,
    ExceptionContext,
    create_engine,
    event,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from bridge.db.errors import LedgerFaultError, LedgerUnavailableError, value_refused

PING_AFTER = 5.0  # seconds of idleness after which a connection to a server is pinged before it is used
# Seconds after which PostgreSQL ends a session that is idle in a transaction: its process stands still, or
# its machine is gone. A working process is idle while it computes: for up to a second on a busy machine.
IDLE_TRANSACTION_TIMEOUT = 30.0
# How server and client notice that the other's machine is gone, or accepts no data. Without these, Linux
# takes hours.
_KEEPALIVE = {
    "tcp_keepalives_idle": "20",  # seconds of silence before the first keepalive
    "tcp_keepalives_interval": "5",  # seconds between keepalives
    "tcp_keepalives_count": "4",  # keepalives without an answer
    "tcp_user_timeout": "60000",  # milliseconds for which sent data may stay unacknowledged
}
# hide_parameters: the text of a database error would otherwise quote orders and secrets.
# pool_use_lifo: the connection that was used last has the most prepared statements.
_OPTIONS: Mapping[str, Any] = {"hide_parameters": True, "pool_use_lifo": True}


def sqlite_engine(url: URL, *, begin: str, pool_size: int, lock_timeout: float, **pragmas: str) -> Engine:
    """An engine for an SQLite file, with these pragmas. The statement `begin` begins its transactions."""
    engine = create_engine(url, pool_size=pool_size, max_overflow=20, **_OPTIONS)
    pragmas = {
        "busy_timeout": f"{lock_timeout * 1000:.0f}",
        "synchronous": "FULL",
        "foreign_keys": "ON",
        **pragmas,
    }

    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins no transactions; `begin_transaction` does
        cursor = connection.cursor()
        for name, value in pragmas.items():
            cursor.execute(f"PRAGMA {name}={value}")
        cursor.close()

    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", configure)
    event.listen(engine, "begin", begin_transaction)
    event.listen(engine, "handle_error", _translate_value_error)
    return engine


def postgresql_engine(
    url: URL,
    *,
    pool_size: int,
    lock_timeout: float,
    response_timeout: float,
    isolation_level: IsolationLevel,
    binary_lists: bool = False,
    **settings: str,
) -> Engine:
    """An engine for a PostgreSQL server, with these of the server's settings.

    A transaction waits for a lock for `lock_timeout` seconds, and for a server that no longer responds for
    `response_timeout` seconds. `binary_lists`: whether lists are sent in binary.
    """
    settings = {
        "lock_timeout": f"{lock_timeout * 1000:.0f}",
        "idle_in_transaction_session_timeout": f"{IDLE_TRANSACTION_TIMEOUT * 1000:.0f}",
        **_KEEPALIVE,
        # After waiting for a row's lock, a transaction has to see what the one before it has written.
        "default_transaction_isolation": r"read\ committed",
        # The driver cannot read a time that the server's zone moves out of the years 1 to 9999.
        "timezone": "UTC",
        **settings,
    }
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=10,
        isolation_level=isolation_level,
        connect_args={
            "connect_timeout": 5,
            "prepare_threshold": 1,  # at once: nearly all statements are executed again
            "tcp_user_timeout": round(response_timeout * 1000),
            "keepalives_idle": _KEEPALIVE["tcp_keepalives_idle"],
            "keepalives_interval": _KEEPALIVE["tcp_keepalives_interval"],
            "keepalives_count": _KEEPALIVE["tcp_keepalives_count"],
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        },
        **_OPTIONS,
    )
    if binary_lists:
        event.listen(engine, "connect", _send_lists_in_binary)
    event.listen(engine, "handle_error", _translate_value_error)
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", partial(_check_connection, engine.dialect))
    return engine


def begin_with_timeouts(connection: Connection, **seconds: float) -> None:
    """Begin a transaction of PostgreSQL with these timeouts, in one exchange with the server.

    The connection is in the driver's autocommit mode, in which the driver begins none by itself. Set for the
    transaction, the timeouts also hold behind a pooler, which drops start-up options. Raises the driver's
    error.
    """
    if (connection.dialect.server_version_info or ()) < (17,):
        seconds.pop("transaction_timeout", None)
    settings = [f"SET LOCAL {name} = {value * 1000:.0f}" for name, value in seconds.items()]
    # After waiting for a row's lock, a transaction has to see what the one before it has written.
    begin = "; ".join(["BEGIN ISOLATION LEVEL READ COMMITTED", *settings])
    driver: Any = connection.connection.driver_connection
    try:
        driver.execute(begin, prepare=False)  # what is prepared is one statement
    except connection.dialect.loaded_dbapi.Error as error:
        connection.invalidate(error)
        raise


def require_no_failure(connection: Connection) -> None:
    """Raise LedgerFaultError if a statement of the transaction has failed and its error was caught.

    PostgreSQL answers the COMMIT of such a transaction with a rollback, which is not an error to the driver.
    Raises LedgerUnavailableError if the connection was lost.
    """
    if connection.invalidated:
        raise LedgerUnavailableError("the connection to the database was lost")
    driver: Any = connection.connection.driver_connection
    if driver.info.transaction_status == TransactionStatus.INERROR:
        raise LedgerFaultError("a statement of the transaction has failed, so nothing of it is written")


def _send_lists_in_binary(connection: Any, _record: object) -> None:
    # As text, a body in a list is twice as long and is parsed twice. A body outside a list is binary anyway.
    connection.adapters.register_dumper(list, ListBinaryDumper)


def _note_use(_connection: Any, record: ConnectionPoolEntry) -> None:
    record.info["used_at"] = time.monotonic()


def _check_connection(dialect: Dialect, connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Make the pool open another connection if this one is lost.

    When a server closes a connection, there is something to read, which costs no round trip to see. A
    connection that was idle for longer may be lost silently, anywhere on the way, so it is pinged. Nothing
    was sent yet, so nothing is done twice.
    """
    used_at = record.info.get("used_at", inf)  # a new connection was not used yet
    if connection.closed or time.monotonic() - used_at > PING_AFTER or _has_unread_input(connection):
        try:
            dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as error:
            raise DisconnectionError from error


def _has_unread_input(connection: Any) -> bool:
    poll = polling.poll()
    poll.register(connection.fileno(), polling.POLLIN)
    return bool(poll.poll(0))


def _translate_value_error(context: ExceptionContext) -> Exception | None:
    """Translate the error of a value that the driver cannot send: over 64 bits, or half a surrogate pair."""
    error = context.original_exception
    if context.sqlalchemy_exception is not None or not isinstance(error, Exception):
        return None
    return value_refused(error)


def with_driver(url: str) -> URL:
    """Parse the URL, and add the driver to it; raises ValueError, without the password in its text."""
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
        # Half of the password would be parsed as the host, whose name appears in messages.
        raise ValueError("an @ in its password has to be written as %40")
    if backend == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise ValueError("an SQLite ledger needs a file: sqlite:///<file>")
    return parsed
