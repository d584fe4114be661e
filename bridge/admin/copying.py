"""Copies a ledger into an empty database, SQLite or PostgreSQL: all of it, and compared, or nothing."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Connection, RowMapping, Table, delete, func, insert, inspect, select, text
from sqlalchemy.exc import DataError, IntegrityError

from bridge.admin import RefusedError
from bridge.db import closing
from bridge.db.closing import Closed, State
from bridge.db.engine import Ledger
from bridge.db.errors import LedgerFaultError, LedgerNotMigratedError
from bridge.db.schema import Schema
from bridge.db.tables import metadata

BATCH = 200  # rows in memory at a time; a body may be some MiB

Report = Callable[[str, int], None]  # takes a table, and how many of its rows are copied by now


@dataclass(frozen=True, slots=True)
class Content:
    """What a table holds: how many rows, and a digest of all their values in the order of their ids."""

    rows: int
    digest: str


def copy(source: Ledger, target: Ledger, *, report: Report) -> Mapping[str, Content]:
    """Copy every row as it is, with ids and encrypted secrets; returns what each table holds then.

    The target is migrated first, and has to be empty. Nobody writes to the source meanwhile: a process that
    tries waits for the ledger's lock timeout, and the receiver then answers 503, so that the copy lacks
    nothing that was acknowledged. At the end, the source is closed: no process writes to it any more.

    The two can never be used both, whenever the copy is interrupted. Its steps, each committed and synced
    before the next:

    1. The target has all rows, and is closed as ARRIVING. Until then it is empty.
    2. The source is closed as MOVED, in the transaction that has locked it since before it was read. Until
       then only the source can be used; the next copy empties an ARRIVING target first.
    3. The target is opened. Until then neither can be used; the next copy does this step alone.

    Raises RefusedError, LedgerNotMigratedError for a source that is not current, LedgerMovedError for one
    that was copied before, and LedgerUnavailableError.
    """
    if source.schema() not in {Schema.CURRENT, Schema.NEWER}:
        raise LedgerNotMigratedError
    if (note := source.closed()) is not None:
        return _complete(source, target, note)
    if _require_room(target, source):
        target.upgrade()
    note = Closed(State.ARRIVING, source.place, secrets.token_hex(16), datetime.now(UTC))
    with source.write(no_time_limit=True) as reading:
        with target.write(no_time_limit=True) as writing:
            _lock(reading, "SHARE ROW EXCLUSIVE")
            _lock(writing, "EXCLUSIVE")
            if closing.closed(reading) is not None:
                raise RefusedError(f"{source.place} was being copied elsewhere, and is closed now.")
            if _is_unfinished(closing.closed(writing), source):
                closing.reopen(writing)
                for table in reversed(metadata.sorted_tables):
                    writing.execute(delete(table))
            _require_empty(writing, target)
            copied = _copy_tables(reading, writing, target, report)
            closing.close(writing, note)
            reading.execute(select(1))  # raises if the source's lock was lost on the way, with its connection
        closing.close(reading, replace(note, state=State.MOVED, place=target.place))
    _open(target)
    return copied


def _complete(source: Ledger, target: Ledger, note: Closed) -> Mapping[str, Content]:
    """Open the target of a copy that was interrupted after the source was closed for it."""
    arrived = target.closed()
    if note.state is not State.MOVED or arrived is None or arrived.copy_id != note.copy_id:
        source.require_open()
    with target.read() as connection:
        copied = {table.name: _content(connection, table) for table in metadata.sorted_tables}
    _open(target)
    return copied


def _open(target: Ledger) -> None:
    with target.write() as writing:
        _lock(writing, "EXCLUSIVE")
        closing.reopen(writing)


def _copy_tables(
    reading: Connection, writing: Connection, target: Ledger, report: Report
) -> Mapping[str, Content]:
    # Tables that others refer to come before those.
    copied = {table.name: _copy_table(reading, writing, table, report) for table in metadata.sorted_tables}
    for table in metadata.sorted_tables:
        if _content(writing, table) != copied[table.name]:
            raise RefusedError(
                f"{table.name} came out otherwise than it went in, so nothing is copied: see that the "
                f"disk of {target.place} is sound."
            )
    if writing.dialect.name == "postgresql":
        _prepare_for_use(writing)
    return copied


def others_connected(ledger: Ledger) -> int:
    """The number of other sessions with the database; 0 for an SQLite file, which has no list of them."""
    with ledger.read() as connection:
        if connection.dialect.name == "sqlite":
            return 0
        query = text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()"
            # The type is null for a user who may not see what others do.
            " AND coalesce(backend_type, 'client backend') = 'client backend'"
        )
        return int(connection.execute(query).scalar_one())


def _require_room(target: Ledger, source: Ledger) -> bool:
    """Raise RefusedError, before anything is changed, if there are rows or another version's tables.

    Returns whether the target may have to be migrated: not if it holds an interrupted copy of this source.
    """
    schema = target.schema()
    if schema is Schema.NEWER:
        raise RefusedError(
            f"{target.place} holds a ledger of a newer version, or is another application's: give an empty "
            "database."
        )
    if schema is Schema.CURRENT and _is_unfinished(target.closed(), source):
        return False
    if schema is not Schema.MISSING:
        with target.read() as connection:
            _require_empty(connection, target)
    return True


def _is_unfinished(note: Closed | None, source: Ledger) -> bool:
    """Whether this is the note of a copy of this source that was interrupted after its first step."""
    return note is not None and note.state is State.ARRIVING and note.place == source.place


def _require_empty(connection: Connection, target: Ledger) -> None:
    present = set(inspect(connection).get_table_names())
    for table in metadata.sorted_tables:
        if table.name in present and connection.execute(select(table.c.id).limit(1)).first():
            raise RefusedError(
                f"{target.place} holds a ledger already (there are {table.name} in it), and nothing is "
                "mixed: give an empty database. If that is a copy made before, use it, or drop it and copy "
                "anew."
            )


def _lock(connection: Connection, mode: str) -> None:
    """Keep all others from writing until this transaction ends. In SQLite, the transaction is the lock.

    It waits until every transaction that writes has ended, so that each statement from then on sees the same
    rows, in any isolation.
    """
    if connection.dialect.name == "postgresql":
        # While one side is read, the other is idle, or at one long statement.
        for name in ("idle_in_transaction_session_timeout", "statement_timeout"):
            connection.execute(text(f"SET LOCAL {name} = 0"))
        # One database must not rely on what the other may lose in a crash.
        connection.execute(text("SET LOCAL synchronous_commit = on"))
        tables = ", ".join(table.name for table in metadata.sorted_tables)
        connection.execute(text(f"LOCK TABLE {tables} IN {mode} MODE"))


def _copy_table(reading: Connection, writing: Connection, table: Table, report: Report) -> Content:
    def write(rows: Sequence[RowMapping], copied: int) -> None:
        try:
            writing.execute(insert(table), [dict(row) for row in rows])
        except (DataError, IntegrityError, LedgerFaultError) as error:
            # The database's own text would quote the row.
            raise RefusedError(
                f"The target refuses one of the {table.name} of ids {rows[0]['id']} to {rows[-1]['id']} "
                f"({type(error).__name__}), so nothing is copied."
            ) from None
        report(table.name, copied)

    return _content(reading, table, write)


def _content(
    connection: Connection,
    table: Table,
    handle: Callable[[Sequence[RowMapping], int], None] = lambda _rows, _number: None,
) -> Content:
    """What the table holds. Hands over the rows by id, BATCH at a time, with how many there are by now."""
    digest, number = hashlib.sha256(), 0
    query = select(table).order_by(table.c.id).execution_options(yield_per=BATCH)
    with connection.execute(query) as result:
        for rows in result.mappings().partitions():
            number += len(rows)
            handle(rows, number)
            for row in rows:
                for value in row.values():
                    digest.update(_encoded(value))
    return Content(number, digest.hexdigest())


def _prepare_for_use(writing: Connection) -> None:
    """Have PostgreSQL number the next rows after the copied ones, and plan by what the tables hold."""
    for table in metadata.sorted_tables:
        last = writing.execute(select(func.max(table.c.id))).scalar_one()
        if last is not None:
            # A part of the transaction, which setval() is not.
            writing.execute(text(f"ALTER TABLE {table.name} ALTER COLUMN id RESTART WITH {last + 1}"))
        writing.execute(text(f"ANALYZE {table.name}"))


def _encoded(value: object) -> bytes:
    """A value with its type and length, so that no two rows of different values read the same."""
    raw = value if isinstance(value, bytes) else repr(value).encode("utf-8", "surrogatepass")
    return f"{type(value).__name__} {len(raw)} ".encode() + raw
