"""Closes a ledger that was copied to another database: it refuses every change, by any version of the bridge.

A note in a table of its own says so; the table is created when the ledger is closed. Triggers refuse the
changes, so that a forgotten process cannot acknowledge a delivery or claim a document unknown to the copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Column, Connection, MetaData, Table, Text, delete, insert, inspect, select, text

from bridge.db.tables import UTCDateTime, metadata

SQLSTATE = "SB001"  # PostgreSQL's code for a refused change; SQLite has a name of its own for it
SQLITE_ERROR = "SQLITE_CONSTRAINT_TRIGGER"
REFUSAL = "this ledger is closed: it was copied to another database"
FUNCTION = "spacebridge_ledger_is_closed"

NOTE = Table(
    "closed_ledger",
    MetaData(),
    Column("state", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("copy_id", Text, nullable=False),
    Column("at", UTCDateTime, nullable=False),
)


class State(StrEnum):
    """Why a ledger is closed."""

    MOVED = "moved"  # it was copied, and the copy is used in its place
    ARRIVING = "arriving"  # it is the copy, and the original may not be closed yet


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed ledger's note: why, the `place` of the other ledger, the id of the copy, and the time."""

    state: State
    place: str
    copy_id: str
    at: datetime

    def explanation(self, place: str) -> str:
        """Why the ledger at `place` is closed, and what to do, for people."""
        day = f"{self.at:%Y-%m-%d}"
        if self.state is State.ARRIVING:
            return (
                f"This ledger ({place}) is a copy of {self.place}, made on {day}, that was not brought to "
                "its end: type the same `spacebridge db copy` again."
            )
        return (
            f"This ledger ({place}) was copied to {self.place} on {day}, and is closed: have the settings of "
            "every process name that one (SPACEBRIDGE_DATABASE_URL, or SPACEBRIDGE_DATA_DIR); or, if nothing "
            "has run over that one and nothing ever will, type `spacebridge db reopen`."
        )


def closed(connection: Connection) -> Closed | None:
    """Why the ledger is closed; None if it is open."""
    if not inspect(connection).has_table(NOTE.name):
        return None
    row = connection.execute(select(NOTE)).one_or_none()
    return None if row is None else Closed(State(row.state), row.place, row.copy_id, row.at)


def close(connection: Connection, note: Closed) -> None:
    """Make the ledger refuse every change from this transaction's commit on."""
    NOTE.create(connection, checkfirst=True)
    connection.execute(
        insert(NOTE).values(state=note.state, place=note.place, copy_id=note.copy_id, at=note.at)
    )
    for statement in _create_triggers(connection.dialect.name):
        connection.execute(text(statement))


def reopen(connection: Connection) -> None:
    """Let the ledger take changes again."""
    connection.execute(delete(NOTE))
    for table in metadata.sorted_tables:
        for name in _triggers(connection.dialect.name, table):
            on = f" ON {table.name}" if connection.dialect.name == "postgresql" else ""
            connection.execute(text(f"DROP TRIGGER IF EXISTS {name}{on}"))


def _create_triggers(dialect: str) -> Iterator[str]:
    if dialect == "postgresql":
        yield (
            f"CREATE OR REPLACE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = '{SQLSTATE}'; END $$"
        )
    for table in metadata.sorted_tables:
        for name, change in _triggers(dialect, table).items():
            yield f"CREATE TRIGGER {name} BEFORE {change} ON {table.name} " + (
                f"FOR EACH ROW EXECUTE FUNCTION {FUNCTION}()"
                if dialect == "postgresql"
                else f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
            )


def _triggers(dialect: str, table: Table) -> dict[str, str]:
    """The names of a table's triggers, each with the changes that it refuses."""
    if dialect == "postgresql":
        return {f"closed_{table.name}": "INSERT OR UPDATE OR DELETE"}
    return {f"closed_{table.name}_{change.lower()}": change for change in ("INSERT", "UPDATE", "DELETE")}
