"""Each migration over a ledger with rows, on both databases: they stay, and the version before goes on.

An upgrade begins while the version before runs, and that one runs until its last process is replaced. Its
statements name the columns that it knows. So do those here: the tables are as they were before the migration.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    event,
    insert,
    inspect,
    make_url,
    select,
    text,
    update,
)

from bridge.db import Ledger, LedgerNotMigratableError, Schema, engine
from tests.integration.ledger.test_plans import GROWING
from tests.support.servers import PostgresServer

SCRIPTS = Path(engine.__file__).with_name("migrations")
REVISIONS = [one.revision for one in reversed(list(ScriptDirectory(str(SCRIPTS)).walk_revisions()))]
STEPS = [pytest.param(before, after, id=after) for before, after in pairwise(REVISIONS)]
# Older than the first release, so that no ledger had rows yet.
FORGIVEN = {"0002": ["ix_issuances_due is made on issuances while nobody may write"]}
# Stores are added one by one, by an operator, whom the version before then tells of a fault.
NEWLY_UNIQUE = {"0008": {("stores", "woocommerce_id")}}

_INDEX = re.compile(r"CREATE (?:UNIQUE )?INDEX (CONCURRENTLY )?(?:IF NOT EXISTS )?(\w+) ON (\w+)")
_ALTERED = re.compile(r"ALTER TABLE (\w+) .*?(ADD CONSTRAINT|SET NOT NULL|TYPE)\b(.*)", re.DOTALL)
_HARMLESS = re.compile(r"NOT VALID|USING INDEX")


@contextmanager
def database_at(revision: str, url: str) -> Iterator[Engine]:
    """A database of this revision, opened as the bridge opens it."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        Path(parsed.database or "").parent.mkdir()
    with closing(Ledger(url)) as ledger:
        with ledger.write() as connection:
            database = connection.engine
        migrate(database, revision)
        yield database


def migrate(database: Engine, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    with database.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()


def known_tables(database: Engine) -> Sequence[Table]:
    """The tables as they are, without SQLAlchemy's own ideas of them; those that others refer to first."""
    metadata = MetaData()
    metadata.reflect(database)
    return [table for table in metadata.sorted_tables if table.name != "alembic_version"]


def fill(database: Engine, tables: Sequence[Table], numbers: Sequence[int]) -> None:
    """Add rows to each table, of the columns that are known of it: all of them, or those that it requires."""
    with database.begin() as connection:
        for table in tables:
            for number in numbers:
                row = {
                    column.name: value_of(column, number)
                    for column in table.columns
                    if not column.primary_key and (number % 2 or is_required(column))
                }
                assert connection.execute(insert(table).values(row)).inserted_primary_key == (number,)


def is_required(column: Column[Any]) -> bool:
    return not column.nullable and column.server_default is None


def value_of(column: Column[Any], number: int) -> object:
    """A value of the column's type, another one for each number."""
    match column.type:
        case Boolean():
            return number % 2 == 0
        case Integer():
            return number  # which, as a reference, is one to the row of that number
        case DateTime(timezone=has_zone):
            return datetime(2026, 11, 23, 12, 0, number, 123456, tzinfo=UTC if has_zone else None)
        case LargeBinary():
            return bytes([0, number])
        case JSON():
            return {"number": number}
    return f"text {number}"


def content(database: Engine, tables: Sequence[Table]) -> Mapping[str, Sequence[dict[str, Any]]]:
    """What is in each table, in the columns that are known of it."""
    with database.connect() as connection:
        return {
            table.name: [
                dict(row) for row in connection.execute(select(table).order_by(table.c.id)).mappings()
            ]
            for table in tables
        }


def uniques(database: Engine, tables: Sequence[Table]) -> set[tuple[str, ...]]:
    """Which of the known columns are unique together, in each table."""
    inspector = inspect(database)
    found = set()
    for table in tables:
        together = [one["column_names"] for one in inspector.get_unique_constraints(table.name)]
        indexes = [one for one in inspector.get_indexes(table.name) if one["unique"]]
        together += [[name or "" for name in one["column_names"]] for one in indexes]
        known = [columns for columns in together if set(columns) <= set(table.columns.keys())]
        found |= {(table.name, *sorted(columns)) for columns in known}
    return found


@pytest.mark.parametrize(("before", "after"), STEPS)
def test_rows_stay_and_the_version_before_goes_on_writing(database_url: str, before: str, after: str) -> None:
    with database_at(before, database_url) as database:
        tables = known_tables(database)
        assert len(tables) >= 5
        fill(database, tables, [1, 2])
        rows, unique = content(database, tables), uniques(database, tables)
        migrate(database, after)
        assert content(database, tables) == rows
        # ON CONFLICT names columns that have to be unique; if more are, what it adds may be refused.
        assert uniques(database, tables) - unique == NEWLY_UNIQUE.get(after, set())
        assert unique <= uniques(database, tables)
        fill(database, tables, [3, 4])
        rows = content(database, tables)
        with database.begin() as connection:
            for table in tables:
                for row in rows[table.name]:
                    changed = connection.execute(update(table).where(table.c.id == row["id"]).values(row))
                    assert changed.rowcount == 1
            if connection.dialect.name == "sqlite":
                assert connection.execute(text("PRAGMA foreign_key_check")).all() == []


@pytest.mark.parametrize(("before", "after"), STEPS)
def test_nobody_is_kept_from_a_table_that_grows_for_as_long_as_it_takes_to_read_it(
    postgres_server: PostgresServer, before: str, after: str
) -> None:
    with database_at(before, postgres_server.new_database("growing")) as database:
        fill(database, known_tables(database), [1])
        files = files_of(database)
        statements: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_: object) -> None:
            statements.append(statement)

        event.listen(database, "before_cursor_execute", note)
        migrate(database, after)
        event.remove(database, "before_cursor_execute", note)
        found = [fault for statement in statements for fault in faults(statement)]
        found += [
            f"{name} is written anew" for name, file in files_of(database).items() if file != files[name]
        ]
        assert found == FORGIVEN.get(after, [])


def files_of(database: Engine) -> Mapping[str, int]:
    """The number of the file that holds each table that grows: another one if it is written anew."""
    query = text("SELECT relname, relfilenode FROM pg_class WHERE relname = ANY(:names)")
    with database.connect() as connection:
        return {row.relname: row.relfilenode for row in connection.execute(query, {"names": sorted(GROWING)})}


def faults(statement: str) -> Iterator[str]:
    """What in a statement reads through a table that grows, and keeps others from it meanwhile."""
    if (index := _INDEX.search(statement)) and not index[1] and index[3] in GROWING:
        yield f"{index[2]} is made on {index[3]} while nobody may write"
    altered = _ALTERED.search(statement)
    if altered and altered[1] in GROWING and not _HARMLESS.search(altered[3]):
        yield f"{altered[2]} reads all of {altered[1]}"


def test_two_stores_for_one_woocommerce_object_stop_the_migration_with_what_to_do(database_url: str) -> None:
    before = REVISIONS[REVISIONS.index("0008") - 1]
    with database_at(before, database_url) as database:
        tables = known_tables(database)
        fill(database, tables, [1, 2, 3])
        stores = next(table for table in tables if table.name == "stores")
        with database.begin() as connection:
            connection.execute(
                update(stores).where(stores.c.id != 3).values(woocommerce_id="w", removed_at=None)
            )
        rows = content(database, tables)
        with closing(Ledger(database_url)) as ledger:
            with pytest.raises(
                LedgerNotMigratableError, match=r"The stores text 1 and text 2 .* stores remove NAME"
            ):
                ledger.upgrade()
            assert ledger.schema() is Schema.OLD
            assert content(database, tables) == rows
            with database.begin() as connection:
                connection.execute(
                    update(stores)
                    .where(stores.c.id == 2)
                    .values(removed_at=datetime(2026, 11, 1, tzinfo=UTC))
                )
            ledger.upgrade()
            assert ledger.schema() is Schema.CURRENT
