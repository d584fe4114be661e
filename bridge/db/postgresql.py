"""Makes connections to a PostgreSQL server, checks that pooled ones are still alive, and begins transactions.

It is imported where the ledger is in PostgreSQL: the driver takes 9 MiB.
"""

from __future__ import annotations

import select as polling
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import inf
from typing import Any

from psycopg.pq import TransactionStatus
from psycopg.types.array import ListBinaryDumper
from sqlalchemy import Connection, Dialect, Engine, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from bridge.db.connections import new_engine
from bridge.db.errors import LedgerFaultError, LedgerUnavailableError

PING_AFTER = 5.0  # seconds of idleness after which a connection to a server is pinged before it is used
# Seconds after which PostgreSQL ends a session that is idle in a transaction: its process stands still, or
# its machine is gone. A working process is idle while it computes: for up to a second on a busy machine.
IDLE_TRANSACTION_TIMEOUT = 30.0
# Seconds after which PostgreSQL from 17 on ends a transaction that writes: longer than three waits of
# `LOCK_TIMEOUT` for a lock, and shorter than any lease.
TRANSACTION_TIMEOUT = 60.0
# How server and client notice that the other's machine is gone, or accepts no data. Without these, Linux
# takes hours.
_KEEPALIVE = {
    "tcp_keepalives_idle": "20",  # seconds of silence before the first keepalive
    "tcp_keepalives_interval": "5",  # seconds between keepalives
    "tcp_keepalives_count": "4",  # keepalives without an answer
    "tcp_user_timeout": "60000",  # milliseconds for which sent data may stay unacknowledged
}


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
    engine = new_engine(
        url,
        pool_size=pool_size,
        max_overflow=10,
        isolation_level=isolation_level,
        skip_autocommit_rollback=False,  # `begin` begins transactions in the driver's autocommit mode
        connect_args={
            "connect_timeout": 5,
            "prepare_threshold": 1,  # at once: nearly all statements are executed again
            "tcp_user_timeout": round(response_timeout * 1000),
            "keepalives_idle": _KEEPALIVE["tcp_keepalives_idle"],
            "keepalives_interval": _KEEPALIVE["tcp_keepalives_interval"],
            "keepalives_count": _KEEPALIVE["tcp_keepalives_count"],
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        },
    )
    if binary_lists:
        event.listen(engine, "connect", _send_lists_in_binary)
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", partial(_check_connection, engine.dialect))
    return engine


@contextmanager
def begin(engine: Engine, *, lock_timeout: float, no_time_limit: bool) -> Iterator[Connection]:
    """A transaction that waits for each lock for so many seconds, with a limit to its own time, or none.

    The engine's connections are in the driver's autocommit mode, in which the driver begins no transactions.
    """
    with engine.begin() as connection:
        _begin(
            connection,
            lock_timeout=lock_timeout,
            idle_in_transaction_session_timeout=0 if no_time_limit else IDLE_TRANSACTION_TIMEOUT,
            transaction_timeout=0 if no_time_limit else TRANSACTION_TIMEOUT,
        )
        yield connection
        _require_no_failure(connection)


def _begin(connection: Connection, **seconds: float) -> None:
    """Begin a transaction with this isolation and these timeouts, in one exchange with the server.

    Set for the transaction, they also hold behind a pooler, which drops start-up options. Raises the driver's
    error.
    """
    if (connection.dialect.server_version_info or ()) < (17,):
        seconds.pop("transaction_timeout", None)
    settings = [f"SET LOCAL {name} = {value * 1000:.0f}" for name, value in seconds.items()]
    begin = "; ".join(["BEGIN ISOLATION LEVEL READ COMMITTED", *settings])
    driver: Any = connection.connection.driver_connection
    try:
        driver.execute(begin, prepare=False)  # what is prepared is one statement
    except connection.dialect.loaded_dbapi.Error as error:
        connection.invalidate(error)
        raise


def _require_no_failure(connection: Connection) -> None:
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
