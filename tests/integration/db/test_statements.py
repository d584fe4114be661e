"""Statements that go to the driver: what is told is carried out or raised, and quotes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from psycopg import Pipeline
from sqlalchemy import Connection, insert, select, text, update

from bridge.db import Ledger, LedgerFaultError, LedgerUnavailableError, tables
from bridge.db.statements import Sql, Statement
from tests.support.books import NOW, Books

NAMES = Statement(lambda sql: select(tables.stores.c.name).where(sql.in_list(tables.stores.c.id, "ids")))
SECRET_NAME = "a name that no error may tell"


def _rename(sql: Sql) -> object:
    given = sql.rows("renamed", tables.stores.c.id, tables.stores.c.name)
    return update(tables.stores).where(tables.stores.c.id == given.c.id).values(name=given.c.name)


def _act(sql: Sql) -> object:
    """An action of a store, which has to be there."""
    names = ["at", "who", "verb", "result", "store_id"]
    given = sql.rows("actions", *(tables.actions.c[name] for name in names))
    return insert(tables.actions).from_select(names, select(given))


RENAME, ACT = Statement(_rename), Statement(_act)


def act(connection: Connection, *store_ids: int, who: str = "maja") -> None:
    for store_id in store_ids:
        ACT.execute(connection, actions=[(NOW, who, "renamed", "done", store_id)])


def names(connection: Connection, *ids: int) -> list[str]:
    return [row.name for row in NAMES.query(connection, list, ids=list(ids)).result]


def test_what_is_told_is_seen_by_what_is_asked_after_it(books: Books) -> None:
    with books.ledger.write() as connection:
        before = NAMES.query(connection, list, ids=[books.store_id])
        RENAME.execute(connection, renamed=[(books.store_id, "renamed")])
        after = NAMES.query(connection, list, ids=[books.store_id])
        assert [row.name for row in after.result] == ["renamed"]
        assert [row.name for row in before.result] == ["shop"]
        assert connection.execute(select(tables.stores.c.name)).scalar_one() == "renamed"


def test_an_answer_can_still_be_looked_at_when_the_transaction_is_over(books: Books) -> None:
    with books.ledger.write() as connection:
        asked = NAMES.query(connection, list, ids=[books.store_id])
    assert [row.name for row in asked.result] == ["shop"]


def test_what_is_told_for_many_at_once_is_done_for_each(books: Books) -> None:
    with books.ledger.write() as connection:
        rows = [(NOW, f"user {number}", "?", "done", books.store_id) for number in range(5)]
        ACT.execute(connection, actions=rows)
        ACT.execute(connection, actions=[])
    assert books.count(tables.actions) == 5


AFTER: dict[str, Callable[[Connection], object]] = {
    "nothing": lambda connection: None,
    "another that is told": lambda connection: act(connection, 1),
    "a question": lambda connection: names(connection, 1),
    "a question nobody looks at": lambda connection: NAMES.query(connection, list, ids=[1]),
    "one that SQLAlchemy carries out": lambda connection: connection.execute(select(tables.stores.c.id)),
}


def _fail_and_go_on(connection: Connection, go_on: Callable[[Connection], object]) -> None:
    act(connection, 1)
    act(connection, 99, who=SECRET_NAME)
    go_on(connection)


@pytest.mark.parametrize("after", AFTER)
def test_one_that_fails_leaves_nothing_of_its_transaction_whatever_follows(books: Books, after: str) -> None:
    with pytest.raises(LedgerFaultError) as raised:
        books.write(_fail_and_go_on, AFTER[after])
    assert SECRET_NAME not in str(raised.value)
    assert raised.value.__cause__ is None
    assert books.count(tables.actions) == 0


def test_the_connection_of_one_that_failed_is_as_good_as_before(books: Books) -> None:
    ledger = Ledger(books.url, pool_size=1)
    for _ in range(3):
        with pytest.raises(LedgerFaultError), ledger.write() as connection:
            act(connection, 99)
        with suppress(ZeroDivisionError), ledger.write() as connection:
            act(connection, books.store_id)
            NAMES.query(connection, list, ids=[1])
            raise ZeroDivisionError
        with ledger.write() as connection:
            act(connection, books.store_id)
            assert names(connection, books.store_id) == ["shop"]
        with ledger.read() as connection:
            assert names(connection, books.store_id) == ["shop"]
    ledger.close()
    assert books.count(tables.actions) == 3


def test_an_interrupt_as_a_transaction_ends_leaves_no_connection_that_others_stumble_over(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    ledger = Ledger(books.url, pool_size=1)
    with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
        patched.setattr(Pipeline, "_exit", interrupt)
        with ledger.write() as connection:
            act(connection, books.store_id)
    for _ in range(2):
        with ledger.write() as connection:
            assert connection.execute(select(tables.stores.c.name)).scalar_one() == "shop"
            assert names(connection, books.store_id) == ["shop"]
    ledger.close()


@pytest.mark.parametrize(
    "row",
    [
        pytest.param((NOW, "maja", "?", "done", 2**63), id="a number beyond 64 bits"),
        pytest.param((NOW, "half a pair: \ud800", "?", "done", 1), id="half a surrogate pair"),
        pytest.param((NOW.replace(tzinfo=None), "maja", "?", "done", 1), id="a moment without a zone"),
    ],
)
def test_a_value_that_no_database_could_hold_is_a_fault_and_not_quoted(
    books: Books, row: tuple[object, ...]
) -> None:
    with pytest.raises(LedgerFaultError) as raised:
        books.write(ACT.execute, actions=[row])
    assert not re.search(r"9223372036854775808|half a pair|maja", str(raised.value))
    assert books.count(tables.actions) == 0


def test_rows_come_back_as_they_were_told(books: Books) -> None:
    who = ['"quoted", {braced}', "NULL", "", "back\\slash\nand a new line", "ž 漢 🙂"]
    moment = datetime(2026, 11, 24, 1, 2, 3, 456789, tzinfo=UTC)
    with books.ledger.write() as connection:
        ACT.execute(connection, actions=[(moment, one, "?", "done", None) for one in who])
    listed = Statement(lambda _: select(tables.actions).order_by(tables.actions.c.id))
    with books.ledger.read() as connection:
        found = listed.query(connection, list).result
        by_sqlalchemy = connection.execute(select(tables.actions).order_by(tables.actions.c.id)).all()
    assert [(row.at, row.who, row.store_id) for row in found] == [(moment, one, None) for one in who]
    assert [tuple(row) for row in found] == [tuple(row) for row in by_sqlalchemy]


def _lose_the_server(connection: Connection, books: Books, looks: bool) -> None:
    act(connection, books.store_id)
    pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    act(connection, books.store_id)
    with books.ledger.write() as another:
        another.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    if looks:
        names(connection, books.store_id)


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
