"""Faults: what the database refuses to do is told without a word of what it was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, insert, text

from bridge.db import LedgerFaultError, LedgerUnavailableError, tables
from tests.support.books import (
    NOW,
    SECRET,
    TOKEN,
    Books,
    add_store,
    as_logged,
    delivery_of,
    insert_delivery,
)

PERSONAL = "Maja Novak <maja@example.com>"


def _insert(table: Any, **values: object) -> Callable[[Connection], object]:
    return lambda connection: connection.execute(insert(table).values(**values))


REFUSED: dict[str, Callable[[Connection], object]] = {
    "a row without what it needs": _insert(tables.orders, store_id=1, resource_id=1, number=PERSONAL),
    "a row that is there": _insert(
        tables.orders, store_id=1, resource_id=1, order_key="wc_order_1", number=PERSONAL
    ),
    "a delivery without a state": lambda connection: insert_delivery(
        connection, **delivery_of(1, PERSONAL.encode(), topic=PERSONAL, state=None)
    ),
    "a number beyond all": _insert(tables.orders, store_id=1, resource_id=2**70, order_key=PERSONAL),
    "text that is none": _insert(tables.orders, store_id=1, resource_id=1, order_key=PERSONAL + "\ud800"),
    "a truth that is none": _insert(
        tables.orders, store_id=1, resource_id=2, order_key=PERSONAL, has_refunds=PERSONAL
    ),
    "a moment that is none": _insert(
        tables.orders, store_id=1, resource_id=2, order_key=PERSONAL, deleted_at=NOW.replace(tzinfo=None)
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_row_that_is_refused_is_a_fault_that_quotes_nothing_of_it(books: Books, what: str) -> None:
    books.known()
    with pytest.raises(LedgerFaultError) as raised:
        books.write(REFUSED[what])
    logged = as_logged(raised.value)
    assert "Maja" not in logged
    assert "maja" not in logged


def test_a_statement_that_cannot_be_carried_out_is_told_without_its_values(books: Books) -> None:
    statement = text("INSERT INTO nowhere (name) VALUES (:name)")
    with pytest.raises(LedgerUnavailableError, match="nowhere") as raised:
        books.write(lambda connection: connection.execute(statement, {"name": PERSONAL}))
    assert "Maja" not in as_logged(raised.value)
    assert "\n" not in str(raised.value)


def test_statements_that_are_logged_are_logged_without_their_values(
    books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "sqlalchemy.engine"):
        books.write(_insert(tables.orders, store_id=1, resource_id=1, order_key=PERSONAL, number=PERSONAL))
    assert "INSERT INTO orders" in caplog.text
    assert "Maja" not in caplog.text


def test_a_store_that_is_refused_does_not_tell_its_secrets(books: Books) -> None:
    nameless: Any = None
    with pytest.raises(LedgerFaultError) as raised:
        books.write(add_store, nameless)
    assert TOKEN not in as_logged(raised.value)
    assert SECRET not in as_logged(raised.value)
