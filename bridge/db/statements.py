"""Statements that are carried out for each order: made once, and handed to the driver.

SQLAlchemy writes their text and converts their values. To have it carry them out, too, would take longer than
most of them take the database. In PostgreSQL, what gives no answer is not waited for, either: it is sent at
once, and what the database has to say of it is heard with the next answer, or at the end of the transaction.
"""

from __future__ import annotations

import json
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any, Generic, NamedTuple, TypeVar

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

_Result = TypeVar("_Result")

_PIPELINE = "spacebridge: pipeline"  # in the notes that SQLAlchemy keeps with a connection


class Sql:
    """What of SQL each database has of its own."""

    def __init__(self, dialect: str) -> None:
        self.is_sqlite = dialect == "sqlite"
        self.insert: Any = sqlite.insert if self.is_sqlite else postgresql.insert
        self.columns_of: dict[str, Sequence[str]] = {}  # parameters that are given column by column

    def among(self, of: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Whether a column is in the list that is the parameter of this name."""
        return of.in_(self.listed(of, name))

    def listed(self, of: ColumnElement[Any], name: str) -> Select[Any]:
        """The values of the list that is the parameter of this name, which are such as this column's."""
        if self.is_sqlite:
            return select(func.json_each(bindparam(name, type_=_Rows())).table_valued("value").c.value)
        return select(func.unnest(bindparam(name, type_=ARRAY(of.type))))

    def rows(self, name: str, *columns: ColumnElement[Any]) -> FromClause:
        """The rows of the parameter of this name, a list of lists of values, such as these columns have."""
        if self.is_sqlite:
            given = bindparam(name, type_=_Rows(*(one.type for one in columns)))
            value = func.json_each(given).table_valued("value").c.value
            typed = [
                func.json_extract(value, f"$[{place}]", type_=one.type) for place, one in enumerate(columns)
            ]
            labelled = [one.label(of.name) for one, of in zip(typed, columns, strict=True)]
            return select(*labelled).subquery(name)
        # Arrays, of which PostgreSQL's planner expects ten rows. Of JSON, it would expect a hundred, and
        # rather read through a table.
        names = self.columns_of[name] = [f"{name}_{one.name}" for one in columns]
        arrays = [bindparam(each, type_=ARRAY(one.type)) for each, one in zip(names, columns, strict=True)]
        derived = [column(one.name, one.type) for one in columns]
        return func.unnest(*arrays).table_valued(*derived, name=name).render_derived()


class _Rows(TypeDecorator[Any]):
    """A list as JSON: of rows with values of these types, or of bare values."""

    impl = Text
    cache_ok = True

    def __init__(self, *types: TypeEngine[Any]) -> None:
        super().__init__()
        self._types = types

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        converters = [one.dialect_impl(dialect).bind_processor(dialect) for one in self._types]
        if any(converters):
            value = [
                [convert(one) if convert else one for one, convert in zip(row, converters, strict=True)]
                for row in value
            ]
        return json.dumps(value, ensure_ascii=False)  # what the driver cannot send, no escape may hide


class Statement:
    """A statement whose text is made once for each kind of database."""

    def __init__(self, make: Callable[[Sql], Any]) -> None:
        """`make` writes it. What differs is a parameter, by name; lists are those of `Sql`."""
        self._make = make
        self._forms: dict[str, Form] = {}

    def query(
        self, connection: Connection, read: Callable[[Sequence[Any]], _Result], /, **parameters: Any
    ) -> Pending[_Result]:
        """Carry it out. `read` makes the answer of the rows, which have the columns as attributes."""
        form = self.form(connection.dialect)
        cursor = form.send(connection, parameters)
        pending = Pending(lambda: form.rows(_rows_of(connection, cursor)), read)
        if connection.dialect.name == "sqlite":
            _ = pending.result  # there is nobody to wait for, and whoever writes next would break it off
        return pending

    def execute(self, connection: Connection, /, **parameters: Any) -> None:
        """Carry it out. In PostgreSQL, that it fails may be raised later."""
        self.form(connection.dialect).send(connection, parameters)

    def form(self, dialect: Dialect) -> Form:
        """The statement as this database's driver takes it."""
        form = self._forms.get(dialect.name)
        if form is None:
            form = self._forms[dialect.name] = Form(self._make, dialect)
        return form


class Pending(Generic[_Result]):
    """What the database was asked: in PostgreSQL, the answer is waited for when it is first looked at.

    With it come all other answers, so what can be asked before any is looked at costs no waiting of its own.
    """

    def __init__(self, fetch: Callable[[], Sequence[Any]], read: Callable[[Sequence[Any]], _Result]) -> None:
        """`fetch` waits for the rows, of which `read` makes the answer."""
        self._fetch = fetch
        self._read = read
        self._result: tuple[_Result] | None = None

    @property
    def result(self) -> _Result:
        """The answer; raises what is wrong with it, or with anything else that was asked or told by now."""
        # No cached_property: in Python 3.11, all threads that wait for one wait for each other.
        if self._result is None:
            self._result = (self._read(self._fetch()),)
        return self._result[0]


class Form:
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
            for given, name in compiled.bind_names.items()
            if (convert := given.type.dialect_impl(dialect).bind_processor(dialect)) is not None
        }
        self._constants = {
            name: value if value is None else self._converted(name, value)
            for name, value in compiled.params.items()
        }
        columns = list(statement.exported_columns) if isinstance(statement, ReturnsRows) else []
        row: Any = namedtuple("row", [one.name for one in columns])  # type: ignore[misc]  # its names are known now
        self._make_row = row._make
        processors = [one.type.dialect_impl(dialect).result_processor(dialect, None) for one in columns]
        self._from_driver = [(place, convert) for place, convert in enumerate(processors) if convert]

    def send(self, connection: Connection, parameters: Mapping[str, Any]) -> Any:
        """Hand it to the driver, without waiting for it; returns the driver's cursor."""
        _enter_pipeline(connection)
        cursor = _cursor(connection)
        try:
            self.execute(cursor, parameters)
        except (ValueError, OverflowError) as error:  # half a surrogate pair, a number beyond 64 bits
            raise value_refused(error) from None
        _let_idle(connection)
        return cursor

    def execute(self, cursor: Any, parameters: Mapping[str, Any]) -> Any:
        """Carry it out with this cursor of the driver's; returns the cursor."""
        return cursor.execute(self.text, self._values(parameters))

    def _values(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """All parameters, as the driver takes them."""
        values = dict(self._constants)
        for name, value in parameters.items():
            if (names := self._columns_of.get(name)) is None:
                values[name] = self._converted(name, value)
            else:
                for place, each in enumerate(names):
                    values[each] = self._converted(each, [row[place] for row in value])
        return values

    def _converted(self, name: str, value: Any) -> Any:
        convert = self._to_driver.get(name)
        return value if convert is None else convert(value)

    def rows(self, found: Iterable[Sequence[Any]]) -> Sequence[Any]:
        """The driver's rows, as SQLAlchemy would return them."""
        make, conversions = self._make_row, self._from_driver
        if not conversions:
            return [make(row) for row in found]
        rows = []
        for row in found:
            values = list(row)
            for place, convert in conversions:
                values[place] = convert(values[place])
            rows.append(make(values))
        return rows


def begin(connection: Connection, **timeouts: float) -> None:
    """Begin a transaction in PostgreSQL, without waiting for it, with these of its settings, in seconds.

    They are set for the transaction, so that a pooler, which drops start-up options, has them as well.
    """
    _enter_pipeline(connection)
    # Whatever the server's default: who has waited for a row sees what the one before has written.
    _cursor(connection).execute("BEGIN ISOLATION LEVEL READ COMMITTED")
    if not _ends_transactions(connection):
        timeouts.pop("transaction_timeout", None)
    settings = ", ".join(f"set_config('{name}', %s, true)" for name in timeouts)
    _cursor(connection).execute(
        f"SELECT {settings}", [f"{seconds * 1000:.0f}" for seconds in timeouts.values()]
    )
    _let_idle(connection)


def commit(connection: Connection) -> None:
    """Commit that, when all that was told has been carried out.

    Raises LedgerFaultError if a statement has failed and nobody minded: PostgreSQL undoes such a transaction
    when it is told to commit it, and does not call that an error.
    """
    cursor = _cursor(connection)
    cursor.execute("COMMIT")
    leave_pipeline(connection)
    if cursor.statusmessage != "COMMIT":
        raise LedgerFaultError("a statement of the transaction has failed, so nothing of it is written")


def abandon(connection: Connection) -> None:
    """Leave it as it is, whatever is wrong with it; closing it undoes the transaction."""
    if connection.invalidated:
        return
    with suppress(connection.dialect.loaded_dbapi.Error):
        leave_pipeline(connection)


def leave_pipeline(connection: Connection) -> None:
    """Wait until all that was told has been carried out; raises what is wrong with it."""
    pipeline: _Pipeline | None = connection.info.pop(_PIPELINE, None)
    if pipeline is not None:
        pipeline.stack.close()


def _enter_pipeline(connection: Connection) -> None:
    """Unless there is one, or the driver itself begins this transaction: then, nothing is told in it."""
    driver = _driver(connection)
    if connection.dialect.name == "postgresql" and driver.autocommit and _PIPELINE not in connection.info:
        stack = ExitStack()
        connection.info[_PIPELINE] = _Pipeline(stack, stack.enter_context(driver.pipeline()))


class _Pipeline(NamedTuple):
    """The driver's pipeline, and what leaves it."""

    stack: ExitStack
    of_driver: Any


def _ends_transactions(connection: Connection) -> bool:
    """Whether this is a PostgreSQL that has `transaction_timeout`."""
    return bool(_driver(connection).info.server_version >= 170000)


def _let_idle(connection: Connection) -> None:
    """Have a server that does not end transactions take itself for idle when it has carried all of this out.

    Within a pipeline, it does so only at a Sync; its timeout for an idle transaction would not run. psycopg
    sends one only where it waits for it as well.
    """
    pipeline: _Pipeline | None = connection.info.get(_PIPELINE)
    if pipeline is not None and not _ends_transactions(connection):
        pipeline.of_driver.pgconn.pipeline_sync()
        pipeline.of_driver.result_queue.append(None)


def _rows_of(connection: Connection, cursor: Any) -> Sequence[Any]:
    """The rows that a cursor was asked for."""
    pipeline: _Pipeline | None = None if connection.closed else connection.info.get(_PIPELINE)
    if pipeline is not None and not _ends_transactions(connection):
        # The driver's own way ends with a Flush, after which the server is not idle.
        pipeline.of_driver.sync()
    rows: Sequence[Any] = cursor.fetchall()
    return rows


def _cursor(connection: Connection) -> Any:
    return _driver(connection).cursor()


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection


def value_refused(error: BaseException | None) -> LedgerFaultError:
    """The fault of a value that the driver cannot even send, without the value in its text."""
    return LedgerFaultError(f"the ledger refused a value: {type(error).__name__}")
