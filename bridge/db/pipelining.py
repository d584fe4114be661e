"""PostgreSQL's pipeline mode: statements are sent without waiting, and their results arrive together.

A pipeline begins with `begin`, or with the next statement that is sent, and ends at the commit, or before
SQLAlchemy executes a statement itself. A statement's error is raised when the next result is read, or when
the pipeline ends, and in any case before the commit succeeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple

from sqlalchemy import Connection

from bridge.db.errors import LedgerFaultError

_PIPELINE = "spacebridge: pipeline"  # a key of `Connection.info`


class _Pipeline(NamedTuple):
    """The driver's pipeline, and the stack whose `close` leaves it."""

    stack: ExitStack
    of_driver: Any


def begin(connection: Connection, **timeouts: float) -> None:
    """Begin a transaction in PostgreSQL, without waiting for it, with these of its timeouts, in seconds.

    They are set for the transaction, so that they also hold behind a pooler, which drops start-up options.
    """
    enter_pipeline(connection)
    # After waiting for a row's lock, a transaction has to see what the one before it has written.
    cursor_of(connection).execute("BEGIN ISOLATION LEVEL READ COMMITTED")
    if not _has_transaction_timeout(connection):
        timeouts.pop("transaction_timeout", None)
    settings = ", ".join(f"set_config('{name}', %s, true)" for name in timeouts)
    cursor_of(connection).execute(
        f"SELECT {settings}", [f"{seconds * 1000:.0f}" for seconds in timeouts.values()]
    )
    sync_if_needed(connection)


def commit(connection: Connection) -> None:
    """Wait for all statements, and commit.

    Raises LedgerFaultError if a statement has failed and its error was caught: PostgreSQL answers the COMMIT
    of such a transaction with a rollback, which is not an error to the driver.
    """
    cursor = cursor_of(connection)
    cursor.execute("COMMIT")
    leave_pipeline(connection)
    if cursor.statusmessage != "COMMIT":
        raise LedgerFaultError("a statement of the transaction has failed, so nothing of it is written")


def abandon(connection: Connection) -> None:
    """Leave the pipeline whatever is wrong with it. Closing the connection rolls the transaction back."""
    if connection.invalidated:
        return
    with suppress(connection.dialect.loaded_dbapi.Error):
        leave_pipeline(connection)


def enter_pipeline(connection: Connection) -> None:
    """Enter a pipeline, unless there is one, or the driver itself has begun the transaction."""
    driver = _driver(connection)
    if connection.dialect.name == "postgresql" and driver.autocommit and _PIPELINE not in connection.info:
        stack = ExitStack()
        connection.info[_PIPELINE] = _Pipeline(stack, stack.enter_context(driver.pipeline()))


def leave_pipeline(connection: Connection) -> None:
    """Wait until all statements are executed; raises the first error of theirs."""
    pipeline: _Pipeline | None = connection.info.pop(_PIPELINE, None)
    if pipeline is not None:
        pipeline.stack.close()


def sync_if_needed(connection: Connection) -> None:
    """Send a Sync to a server without `transaction_timeout`, so that it is idle after these statements.

    Within a pipeline, a server is idle only after a Sync, and its timeout for idle transactions runs only
    then. psycopg's own `sync` also waits for the results.
    """
    pipeline: _Pipeline | None = connection.info.get(_PIPELINE)
    if pipeline is not None and not _has_transaction_timeout(connection):
        pipeline.of_driver.pgconn.pipeline_sync()
        pipeline.of_driver.result_queue.append(None)


def fetch_all(connection: Connection, cursor: Any) -> Sequence[Any]:
    """Wait for the rows of a cursor's statement."""
    pipeline: _Pipeline | None = None if connection.closed else connection.info.get(_PIPELINE)
    if pipeline is not None and not _has_transaction_timeout(connection):
        # By itself, the driver would send a Flush, after which the server is not idle.
        pipeline.of_driver.sync()
    rows: Sequence[Any] = cursor.fetchall()
    return rows


def cursor_of(connection: Connection) -> Any:
    """A cursor of the driver's."""
    return _driver(connection).cursor()


def _has_transaction_timeout(connection: Connection) -> bool:
    """Whether the server knows `transaction_timeout`, as PostgreSQL does from version 17."""
    return bool(_driver(connection).info.server_version >= 170000)


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection
