"""Connections to the ledger's database: how they are made, and whether they are still good."""

from __future__ import annotations

import select
import time
from collections.abc import Mapping
from functools import partial
from math import inf
from typing import Any

from psycopg.types.array import ListBinaryDumper
from sqlalchemy import Connection, Dialect, Engine, ExceptionContext, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from bridge.db.statements import leave_pipeline, value_refused

IDLE_FOR = 5.0  # seconds after which a connection to a server is tried before it is used
# Seconds in which PostgreSQL ends a session that is idle in a transaction: its process stands still, or its
# machine is gone. One that works is idle for as long as it thinks: a second, where much else goes on.
IDLE_IN_TRANSACTION = 30.0
# How a server, and the other way round a client, notices that the other's machine is gone or takes nothing
# any more. Without these, Linux takes hours.
_VANISHED = {
    "tcp_keepalives_idle": "20",  # seconds without a word, after which it is asked for a sign of life
    "tcp_keepalives_interval": "5",  # seconds after which it is asked again
    "tcp_keepalives_count": "4",  # such questions without an answer
    "tcp_user_timeout": "60000",  # milliseconds in which it takes nothing of what it is sent
}
# hide_parameters: the text of a database error would otherwise quote orders and secrets.
# pool_use_lifo: the connection that was used last has the most statements prepared.
_OPTIONS: Mapping[str, Any] = {"hide_parameters": True, "pool_use_lifo": True}


def sqlite_engine(url: URL, *, begin: str, pool_size: int, lock_timeout: float, **pragmas: str) -> Engine:
    """Connections to an SQLite file, with these pragmas. Transactions begin with the statement `begin`."""
    engine = create_engine(url, pool_size=pool_size, max_overflow=20, **_OPTIONS)
    pragmas = {
        "busy_timeout": f"{lock_timeout * 1000:.0f}",
        "synchronous": "FULL",
        "foreign_keys": "ON",
        **pragmas,
    }

    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver opens no transactions; `begin_transaction` does
        cursor = connection.cursor()
        for name, value in pragmas.items():
            cursor.execute(f"PRAGMA {name}={value}")
        cursor.close()

    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", configure)
    event.listen(engine, "begin", begin_transaction)
    event.listen(engine, "handle_error", _name_faults)
    return engine


def postgresql_engine(
    url: URL,
    *,
    pool_size: int,
    lock_timeout: float,
    patience: float,
    isolation_level: Any,
    sends_bodies: bool = False,
    **settings: str,
) -> Engine:
    """Connections to a PostgreSQL server, with these of its settings.

    A lock is waited for `lock_timeout` seconds, and a server that does not answer any more for `patience`.
    `sends_bodies`: whether lists are sent in binary.
    """
    # Whatever the server's defaults: who has waited for a row sees what the one before has written.
    settings = {
        "lock_timeout": f"{lock_timeout * 1000:.0f}",
        "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION * 1000:.0f}",
        **_VANISHED,
        "default_transaction_isolation": r"read\ committed",
        # A moment of the year 1 or 9999 that the server's zone moves out of it is none to the driver.
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
            "prepare_threshold": 1,  # at once: nearly all are carried out again
            "tcp_user_timeout": round(patience * 1000),
            "keepalives_idle": _VANISHED["tcp_keepalives_idle"],
            "keepalives_interval": _VANISHED["tcp_keepalives_interval"],
            "keepalives_count": _VANISHED["tcp_keepalives_count"],
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        },
        **_OPTIONS,
    )
    if sends_bodies:
        event.listen(engine, "connect", _send_lists_in_binary)
    event.listen(engine, "handle_error", _name_faults)
    event.listen(engine, "before_cursor_execute", _leave_pipeline)
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", partial(_refuse_if_lost, engine.dialect))
    return engine


def _send_lists_in_binary(connection: Any, _record: object) -> None:
    # As text, a body in a list is twice as long, and is read twice. By itself, it is sent in binary anyhow.
    connection.adapters.register_dumper(list, ListBinaryDumper)


def _leave_pipeline(connection: Connection, *_: object) -> None:
    leave_pipeline(connection)  # in which SQLAlchemy would find no answers


def _note_use(connection: Any, record: ConnectionPoolEntry) -> None:
    record.info["used_at"] = time.monotonic()
    if connection is not None and connection.pgconn.pipeline_status:
        record.invalidate()  # whoever was interrupted as he left the pipeline is still in it


def _refuse_if_lost(dialect: Dialect, connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Have the pool connect anew where the server has gone, or was another since.

    A server that closes a connection says so, which is seen without asking it. A connection that was idle
    for longer may be lost without a word, in whatever lies between. Nothing was sent yet, so nothing is done
    twice.
    """
    used_at = record.info.get("used_at", inf)  # a new one was not used yet
    if connection.closed or time.monotonic() - used_at > IDLE_FOR or _has_something_to_say(connection):
        try:
            dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as error:
            raise DisconnectionError from error


def _has_something_to_say(connection: Any) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _name_faults(context: ExceptionContext) -> Exception | None:
    """Make a fault of what the driver cannot even send: a number beyond 64 bits, half a surrogate pair."""
    error = context.original_exception
    if context.sqlalchemy_exception is not None or not isinstance(error, Exception):
        return None
    return value_refused(error)


def with_driver(url: str) -> URL:
    """The address with the driver that is used for it; raises ValueError, which tells no password."""
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
