"""Statements that are executed for each order: compiled once, and executed by the driver.

SQLAlchemy writes their text and converts their values. If it executed them, too, that would take longer than
most of them take the database. In PostgreSQL they are sent in a pipeline: a statement that returns nothing is
not waited for, and its error is raised with the next result, or at the end of the transaction.
"""

from __future__ import annotations

import json
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Dialect,
    FromClause,
    Select,
    Text,
    bindparam,
    column,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.selectable import ReturnsRows
from sqlalchemy.types import TypeDecorator, TypeEngine

from bridge.db.errors import LedgerFaultError
from bridge.db.pipelining import cursor_of, enter_pipeline, fetch_all, sync_if_needed

_Result = TypeVar("_Result")


class Sql:
    """The parts of SQL that differ between the databases."""

    def __init__(self, dialect: str) -> None:
        self.is_sqlite = dialect == "sqlite"
        self.insert: Any = sqlite.insert if self.is_sqlite else postgresql.insert
        self.columns_of: dict[str, Sequence[str]] = {}  # a parameter of rows: one parameter for each column

    def in_list(self, tested: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Whether a column's value is in the list that is the parameter `name`."""
        return tested.in_(self.list_values(tested, name))

    def list_values(self, like: ColumnElement[Any], name: str) -> Select[Any]:
        """The values in the list that is the parameter `name`; they have the type of the column `like`."""
        if self.is_sqlite:
            return select(func.json_each(bindparam(name, type_=_JsonList())).table_valued("value").c.value)
        return select(func.unnest(bindparam(name, type_=ARRAY(like.type))))

    def rows(self, name: str, *columns: ColumnElement[Any]) -> FromClause:
        """The rows in the parameter `name`: a list of lists of values for these columns."""
        if self.is_sqlite:
            rows = bindparam(name, type_=_JsonList(*(each.type for each in columns)))
            row = func.json_each(rows).table_valued("value").c.value
            values = [
                func.json_extract(row, f"$[{place}]", type_=each.type).label(each.name)
                for place, each in enumerate(columns)
            ]
            return select(*values).subquery(name)
        # Arrays, for which PostgreSQL's planner expects ten rows. For JSON it would expect a hundred, and
        # would rather scan a table.
        names = self.columns_of[name] = [f"{name}_{each.name}" for each in columns]
        arrays = [
            bindparam(array, type_=ARRAY(each.type)) for array, each in zip(names, columns, strict=True)
        ]
        derived = [column(each.name, each.type) for each in columns]
        return func.unnest(*arrays).table_valued(*derived, name=name).render_derived()


class _JsonList(TypeDecorator[Any]):
    """A list as JSON: of rows with values of these types, or of plain values."""

    impl = Text
    cache_ok = True

    def __init__(self, *types: TypeEngine[Any]) -> None:
        super().__init__()
        self._types = types

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        converters = [kind.dialect_impl(dialect).bind_processor(dialect) for kind in self._types]
        if any(converters):
            value = [
                [convert(item) if convert else item for item, convert in zip(row, converters, strict=True)]
                for row in value
            ]
        # Not escaped, so that the driver refuses the text that it cannot send.
        return json.dumps(value, ensure_ascii=False)


class Statement:
    """A statement that is compiled once for each kind of database."""

    def __init__(self, make: Callable[[Sql], Any]) -> None:
        """`make` builds it. What differs between executions is a named parameter; lists are made by `Sql`."""
        self._make = make
        self._compiled: dict[str, CompiledStatement] = {}

    def query(
        self, connection: Connection, read: Callable[[Sequence[Any]], _Result], /, **parameters: Any
    ) -> Pending[_Result]:
        """Execute it. `read` makes the result from the rows, which have the columns as attributes."""
        compiled = self.compile(connection.dialect)
        cursor = compiled.send(connection, parameters)
        pending = Pending(lambda: compiled.rows(fetch_all(connection, cursor)), read)
        if connection.dialect.name == "sqlite":
            _ = pending.result  # there is no round trip to save, and the next write would end an open cursor
        return pending

    def execute(self, connection: Connection, /, **parameters: Any) -> None:
        """Execute it. In PostgreSQL, its error may be raised later."""
        self.compile(connection.dialect).send(connection, parameters)

    def compile(self, dialect: Dialect) -> CompiledStatement:
        """The statement as this database's driver takes it."""
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = CompiledStatement(self._make, dialect)
        return compiled


class Pending(Generic[_Result]):
    """The result of a query: in PostgreSQL, the first use of it waits for the database.

    All results that are outstanding arrive together, so queries that are sent before any result is used cost
    one round trip.
    """

    def __init__(self, fetch: Callable[[], Sequence[Any]], read: Callable[[Sequence[Any]], _Result]) -> None:
        """`fetch` waits for the rows, and `read` makes the result from them."""
        self._fetch = fetch
        self._read = read
        self._result: tuple[_Result] | None = None

    @property
    def result(self) -> _Result:
        """The result; raises an error of this query, or of any statement that was sent before."""
        # No cached_property: in Python 3.11, all threads that wait for one wait for each other.
        if self._result is None:
            self._result = (self._read(self._fetch()),)
        return self._result[0]


class CompiledStatement:
    """A statement as one database's driver takes it."""

    def __init__(self, make: Callable[[Sql], Any], dialect: Dialect) -> None:
        if dialect.name == "sqlite":
            dialect = sqlite.dialect(paramstyle="named")
        sql = Sql(dialect.name)
        statement = make(sql)
        self._columns_of = sql.columns_of
        compiled = statement.compile(dialect=dialect)
        self.text = str(compiled)
        self._to_driver = {
            name: convert
            for parameter, name in compiled.bind_names.items()
            if (convert := parameter.type.dialect_impl(dialect).bind_processor(dialect)) is not None
        }
        self._constants = {
            name: value if value is None else self._converted(name, value)
            for name, value in compiled.params.items()
        }
        columns = list(statement.exported_columns) if isinstance(statement, ReturnsRows) else []
        row: Any = namedtuple("row", [each.name for each in columns])  # type: ignore[misc]  # its names are known now
        self._make_row = row._make
        processors = [each.type.dialect_impl(dialect).result_processor(dialect, None) for each in columns]
        self._from_driver = [(place, convert) for place, convert in enumerate(processors) if convert]

    def send(self, connection: Connection, parameters: Mapping[str, Any]) -> Any:
        """Send it to the database without waiting for it; returns the driver's cursor."""
        enter_pipeline(connection)
        cursor = cursor_of(connection)
        try:
            self.execute(cursor, parameters)
        except (ValueError, OverflowError) as error:  # half a surrogate pair, a number beyond 64 bits
            raise value_refused(error) from None
        sync_if_needed(connection)
        return cursor

    def execute(self, cursor: Any, parameters: Mapping[str, Any]) -> Any:
        """Execute it with this cursor of the driver's; returns the cursor."""
        return cursor.execute(self.text, self._values(parameters))

    def _values(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """All parameters, as the driver takes them."""
        values = dict(self._constants)
        for name, value in parameters.items():
            if (arrays := self._columns_of.get(name)) is None:
                values[name] = self._converted(name, value)
            else:
                for place, array in enumerate(arrays):
                    values[array] = self._converted(array, [row[place] for row in value])
        return values

    def _converted(self, name: str, value: Any) -> Any:
        convert = self._to_driver.get(name)
        return value if convert is None else convert(value)

    def rows(self, driver_rows: Iterable[Sequence[Any]]) -> Sequence[Any]:
        """The driver's rows, as SQLAlchemy would return them."""
        make, conversions = self._make_row, self._from_driver
        if not conversions:
            return [make(row) for row in driver_rows]
        rows = []
        for row in driver_rows:
            values = list(row)
            for place, convert in conversions:
                values[place] = convert(values[place])
            rows.append(make(values))
        return rows


def value_refused(error: BaseException | None) -> LedgerFaultError:
    """The error for a value that the driver cannot send, without the value in its text."""
    return LedgerFaultError(f"the ledger refused a value: {type(error).__name__}")
