"""Copies a ledger into another, empty database, of either kind: all of it, and compared, or nothing."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Connection, RowMapping, Table, delete, func, insert, inspect, select, text
from sqlalchemy.exc import DataError, IntegrityError

from bridge.db import closing
from bridge.db.closing import Closed, State
from bridge.db.engine import Ledger
from bridge.db.errors import LedgerFaultError, LedgerNotMigratedError
from bridge.db.schema import Schema
from bridge.db.tables import metadata

BATCH = 200  # rows in memory at a time; a body may be some MiB

Report = Callable[[str, int], None]  # is told a table, and how many rows of it are copied by now


class CopyRefusedError(Exception):
    """The copy is not made; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a table holds: how many rows, and a digest of all their values in the order of their ids."""

    rows: int
    digest: str


def copy(source: Ledger, target: Ledger, *, report: Report) -> Mapping[str, Content]:
    """Copy every row as it is, ids and encrypted secrets included; what each table holds then.

    The target is migrated first, and has to be empty. Nobody writes to the source meanwhile: who wants to
    waits for the ledger's lock timeout, and the receiver then answers 503, so that nothing is acknowledged of
    which the copy does not know. At the end, the source is closed: no process writes to it any more.

    Of the two, never both can be used, whenever this is broken off. In this order, each step committed and
    synced before the next:

    1. The target has all rows, and is closed as ARRIVING. Until then it is empty.
    2. The source is closed as MOVED, in the transaction that has locked it since before it was read. Until
       then only the source can be used; copied again, an ARRIVING target is emptied first.
    3. The target is opened. Until then none can be used; copied again, this step alone is left to be done.

    Raises CopyRefusedError, LedgerNotMigratedError for a source that is not current, LedgerMovedError for one
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
                raise CopyRefusedError(f"{source.place} was being copied elsewhere, and is closed now.")
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
    """Open the target of a copy that was broken off after the source was closed for it."""
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
    copied = {one.name: _copy_table(reading, writing, one, report) for one in metadata.sorted_tables}
    for table in metadata.sorted_tables:
        if _content(writing, table) != copied[table.name]:
            raise CopyRefusedError(
                f"{table.name} came out otherwise than it went in, so nothing is copied: see that the "
                f"disk of {target.place} is sound."
            )
    if writing.dialect.name == "postgresql":
        _get_going(writing)
    return copied


def others_connected(ledger: Ledger) -> int:
    """How many sessions others have with the database; of an SQLite file, nobody knows."""
    with ledger.read() as connection:
        if connection.dialect.name == "sqlite":
            return 0
        found: int = connection.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid()"
                # Who may not see what others do does not see this either.
                " AND coalesce(backend_type, 'client backend') = 'client backend'"
            )
        ).scalar_one()
        return found


def _require_room(target: Ledger, source: Ledger) -> bool:
    """Raise CopyRefusedError, before anything is changed, if there are rows or another version's tables.

    Returns whether the target may have to be migrated: not if it holds this source's copy, broken off.
    """
    schema = target.schema()
    if schema is Schema.NEWER:
        raise CopyRefusedError(
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
    """Whether this is the note of a copy of this source, of which nothing but the rows was made."""
    return note is not None and note.state is State.ARRIVING and note.place == source.place


def _require_empty(connection: Connection, target: Ledger) -> None:
    present = set(inspect(connection).get_table_names())
    for table in metadata.sorted_tables:
        if table.name in present and connection.execute(select(table.c.id).limit(1)).first():
            raise CopyRefusedError(
                f"{target.place} holds a ledger already (there are {table.name} in it), and nothing is "
                "mixed: give an empty database. If that is a copy made before, use it, or drop it and copy "
                "anew."
            )


def _lock(connection: Connection, mode: str) -> None:
    """Have nobody else write until this transaction ends. In SQLite, the transaction is the lock.

    It is waited for until every transaction that writes has ended, so that each statement from then on sees
    the same rows, in whatever isolation.
    """
    if connection.dialect.name == "postgresql":
        # While one side is read, the other is idle, or at one long statement.
        for name in ("idle_in_transaction_session_timeout", "statement_timeout"):
            connection.execute(text(f"SET LOCAL {name} = 0"))
        # What one database forgets in a crash, the other must not have relied on.
        connection.execute(text("SET LOCAL synchronous_commit = on"))
        tables = ", ".join(table.name for table in metadata.sorted_tables)
        connection.execute(text(f"LOCK TABLE {tables} IN {mode} MODE"))


def _copy_table(reading: Connection, writing: Connection, table: Table, report: Report) -> Content:
    digest = _Digest()
    for rows in _batches(reading, table):
        try:
            writing.execute(insert(table), [dict(row) for row in rows])
        except (DataError, IntegrityError, LedgerFaultError) as error:
            # The database's own text would quote the row.
            raise CopyRefusedError(
                f"The target refuses one of the {table.name} of ids {rows[0]['id']} to {rows[-1]['id']} "
                f"({type(error).__name__}), so nothing is copied."
            ) from None
        digest.add(rows)
        report(table.name, digest.rows)
    return digest.content()


def _content(connection: Connection, table: Table) -> Content:
    digest = _Digest()
    for rows in _batches(connection, table):
        digest.add(rows)
    return digest.content()


def _batches(connection: Connection, table: Table) -> Iterator[Sequence[RowMapping]]:
    """The rows of a table by id, some at a time, never all of them in memory."""
    query = select(table).order_by(table.c.id).execution_options(yield_per=BATCH)
    with connection.execute(query) as found:
        yield from found.mappings().partitions()


def _get_going(writing: Connection) -> None:
    """Have PostgreSQL number the next rows after those that were copied, and plan by what there is."""
    for table in metadata.sorted_tables:
        last = writing.execute(select(func.max(table.c.id))).scalar_one()
        if last is not None:
            # A part of the transaction, which setval() is not.
            writing.execute(text(f"ALTER TABLE {table.name} ALTER COLUMN id RESTART WITH {last + 1}"))
        writing.execute(text(f"ANALYZE {table.name}"))


class _Digest:
    """Sums up rows, by the values that either database gives for them."""

    def __init__(self) -> None:
        self.rows = 0
        self._hash = hashlib.sha256()

    def add(self, rows: Sequence[RowMapping]) -> None:
        self.rows += len(rows)
        for row in rows:
            for value in row.values():
                self._hash.update(_encoded(value))

    def content(self) -> Content:
        return Content(self.rows, self._hash.hexdigest())


def _encoded(value: object) -> bytes:
    """A value with its type and length, so that no two rows of different values read the same."""
    raw = value if isinstance(value, bytes) else repr(value).encode("utf-8", "surrogatepass")
    return f"{type(value).__name__} {len(raw)} ".encode() + raw
