"""Statements of a transaction: each is carried out or raised, and no error quotes what it was given."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import DBAPIError

from bridge.db import Ledger, LedgerFaultError, LedgerUnavailableError, tables
from bridge.db.lists import in_list
from bridge.ledger import stores
from tests.support.books import NOW, Books

SECRET_NAME = "a name that no error may tell"


def act(connection: Connection, *store_ids: int, who: str = "maja", at: datetime = NOW) -> None:
    """An action of each of these stores, which have to be there."""
    actions = [{"at": at, "who": who, "verb": "?", "result": "done", "store_id": one} for one in store_ids]
    connection.execute(insert(tables.actions), actions)


@pytest.mark.parametrize("ids", [[1], [2, 1, 99], [], {1, 2}, {2: "a key"}, [2**62, 1], list(range(1, 500))])
def test_of_a_list_of_ids_those_that_are_there_are_found(books: Books, ids: Collection[int]) -> None:
    with books.ledger.write() as connection:
        act(connection, books.store_id, books.store_id)
        query = select(tables.actions.c.id).where(in_list(tables.actions.c.id, "ids"))
        found = connection.execute(query, {"ids": ids}).scalars()
        assert sorted(found) == sorted({1, 2} & set(ids))


AFTER: dict[str, Callable[[Connection], object]] = {
    "nothing": lambda connection: None,
    "another": lambda connection: act(connection, 1),
    "a question": lambda connection: stores.get(connection, 1),
}


def _fail_and_go_on(connection: Connection, go_on: Callable[[Connection], object]) -> None:
    act(connection, 1)
    act(connection, 99, who=SECRET_NAME)
    go_on(connection)


@pytest.mark.parametrize("after", AFTER)
def test_one_that_fails_leaves_nothing_of_its_transaction(books: Books, after: str) -> None:
    with pytest.raises(LedgerFaultError) as raised:
        books.write(_fail_and_go_on, AFTER[after])
    assert SECRET_NAME not in str(raised.value)
    assert raised.value.__cause__ is None
    assert books.count(tables.actions) == 0


def test_a_failure_that_is_caught_is_no_commit_that_writes_nothing(books: Books) -> None:
    """In SQLite the transaction goes on, and is committed; in PostgreSQL it is not, and says so."""
    failure = None
    try:
        with books.ledger.write() as connection:
            act(connection, 1)
            with suppress(DBAPIError):
                act(connection, 99)
    except LedgerFaultError as error:
        failure = error
    assert books.count(tables.actions) == (1 if failure is None else 0)


def test_the_connection_of_one_that_failed_is_as_good_as_before(books: Books) -> None:
    ledger = Ledger(books.url, pool_size=1)
    for _ in range(3):
        with pytest.raises(LedgerFaultError), ledger.write() as connection:
            act(connection, 99)
        with suppress(ZeroDivisionError), ledger.write() as connection:
            act(connection, books.store_id)
            raise ZeroDivisionError
        with ledger.write() as connection:
            act(connection, books.store_id)
            assert stores.get(connection, books.store_id).name == "shop"
        with ledger.read() as connection:
            assert stores.get(connection, books.store_id).name == "shop"
    ledger.close()
    assert books.count(tables.actions) == 3


@pytest.mark.parametrize(
    ("who", "store_id", "at"),
    [
        pytest.param("maja", 2**63, NOW, id="a number beyond 64 bits"),
        pytest.param("half a pair: \ud800", 1, NOW, id="half a surrogate pair"),
        pytest.param("maja", 1, NOW.replace(tzinfo=None), id="a moment without a zone"),
    ],
)
@pytest.mark.parametrize("number", [1, 2])
def test_a_value_that_no_database_could_hold_is_a_fault_and_not_quoted(
    books: Books, who: str, store_id: int, at: datetime, number: int
) -> None:
    with pytest.raises(LedgerFaultError) as raised, books.ledger.write() as connection:
        act(connection, *[store_id] * number, who=who, at=at)
    assert not re.search(r"9223372036854775808|half a pair|maja", str(raised.value))
    assert books.count(tables.actions) == 0


def test_rows_come_back_as_they_were_given(books: Books) -> None:
    names = ['"quoted", {braced}', "NULL", "", "back\\slash\nand a new line", "ž 漢 🙂"]
    moment = datetime(2026, 11, 24, 1, 2, 3, 456789, tzinfo=UTC)
    with books.ledger.write() as connection:
        for one in names:
            act(connection, books.store_id, who=one, at=moment)
    with books.ledger.read() as connection:
        found = connection.execute(select(tables.actions).order_by(tables.actions.c.id)).all()
    assert [(row.at, row.who, row.store_id) for row in found] == [(moment, one, 1) for one in names]


def _lose_the_server(connection: Connection, books: Books, looks: bool) -> None:
    act(connection, books.store_id)
    pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    act(connection, books.store_id)
    with books.ledger.write() as another:
        another.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    if looks:
        stores.get(connection, books.store_id)


@pytest.mark.parametrize("looks", [True, False])
def test_a_server_that_goes_before_the_commit_has_written_nothing_and_is_found_again(
    books: Books, looks: bool
) -> None:
    if books.url.startswith("sqlite"):
        return  # which has none
    with pytest.raises(LedgerUnavailableError):
        books.write(_lose_the_server, books, looks)
    assert books.count(tables.actions) == 0
    books.write(act, books.store_id)
    assert books.count(tables.actions) == 1
