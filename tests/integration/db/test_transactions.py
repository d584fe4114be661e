"""Transactions: one state is read, all or nothing is written, and nobody is in the way for good."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.synchronize import Event
from typing import Any

import pytest
from sqlalchemy import Connection, delete, event, insert, text, update
from sqlalchemy.exc import IntegrityError

from bridge.db import Ledger, LedgerFaultError, LedgerUnavailableError, tables
from bridge.ledger import deliveries, orders, store_pauses, stores
from tests.support.books import (
    LATER,
    NOW,
    Books,
    add_store,
    delivery_of,
    insert_delivery,
    lock_or_add,
    save_deletion,
)
from tests.support.crowds import Crew, Other
from tests.support.servers import START_WITHIN

ORDER_OF_NO_STORE = insert(tables.orders).values(store_id=99, resource_id=1, order_key="")
CHANGES: dict[str, Callable[[Connection], object]] = {
    "an insert": lambda connection: insert_delivery(connection, **delivery_of(1, b"new")),
    "an update": lambda connection: stores.record_ping(connection, 1, LATER),
    "an update of nothing": lambda connection: connection.execute(
        update(tables.stores).where(tables.stores.c.id == 99).values(failures=1)
    ),
    "a deletion": lambda connection: connection.execute(delete(tables.deliveries)),
    "another table": lambda connection: connection.execute(text("CREATE TABLE more (id BIGINT)")),
}


def test_a_read_sees_one_state_while_others_write(books: Books) -> None:
    with books.ledger.read() as connection:
        store = stores.get(connection, books.store_id)
        recorded = books.deliver()
        books.write(stores.record_ping, books.store_id, NOW)
        assert stores.get(connection, books.store_id) == store
        assert deliveries.get(connection, recorded.delivery_id) is None
    with books.ledger.read() as connection:
        assert stores.get(connection, books.store_id).last_ping_at == NOW
        assert deliveries.get(connection, recorded.delivery_id) is not None


def test_what_is_read_while_others_write_adds_up(books: Books, crew: Crew) -> None:
    """Each transaction counts up in two tables: no read finds one ahead of the other."""
    delivery_id = books.deliver().delivery_id
    crowd = Other(lambda: crew.at_once(books.url, _count_in_two_tables))
    while not crowd.has_ended():
        with books.ledger.read() as connection:
            failures = stores.get(connection, books.store_id).failures
            delivery = deliveries.get(connection, delivery_id)
            assert delivery is not None
            assert delivery.duplicates == failures
    crowd.result()
    assert books.store().failures == 8 * 10


def _count_in_two_tables(ledger: Ledger, _number: int) -> None:
    for _ in range(10):
        with ledger.write() as connection:
            store_pauses.count_failure(connection, 1)
            insert_delivery(connection, **delivery_of(1, b'{"id": 1}'))


@pytest.mark.parametrize("change", CHANGES)
def test_a_read_is_refused_any_change(books: Books, change: str) -> None:
    delivery_id = books.deliver().delivery_id
    before = [books.row(tables.stores, books.store_id), books.row(tables.deliveries, delivery_id)]
    with pytest.raises(LedgerUnavailableError):
        books.read(CHANGES[change])
    assert [books.row(tables.stores, books.store_id), books.row(tables.deliveries, delivery_id)] == before
    assert not books.deliver(b"new").is_duplicate


def test_reads_and_writes_may_follow_each_other_on_the_same_connections(books: Books) -> None:
    single = Ledger(books.url, pool_size=1)
    for number in range(3):
        with single.write() as connection:
            store_pauses.count_failure(connection, books.store_id)
        with single.read() as connection:
            assert stores.get(connection, books.store_id).failures == number + 1
    single.close()


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_a_write_that_raises_leaves_nothing_and_says_what_it_raised(
    books: Books, error: type[BaseException]
) -> None:
    raised = error()
    with pytest.raises(error) as caught:
        books.write(_write_and_raise, raised)
    assert caught.value is raised
    assert books.count(tables.deliveries) == 0
    assert books.store().last_ping_at is None
    books.deliver()


def _write_and_raise(connection: Connection, error: BaseException) -> None:
    insert_delivery(connection, **delivery_of(1, b"new"))
    stores.record_ping(connection, 1, NOW)
    raise error


def test_a_write_that_the_database_refuses_half_way_leaves_nothing(books: Books) -> None:
    with pytest.raises(LedgerFaultError):
        books.write(_write_and_refer_to_nothing)
    assert books.count(tables.deliveries) == 0
    books.deliver()


def _write_and_refer_to_nothing(connection: Connection) -> None:
    insert_delivery(connection, **delivery_of(1, b"new"))
    connection.execute(ORDER_OF_NO_STORE)


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_write_whose_block_ends_without_an_error_has_written_all_of_it(books: Books, goes_on: bool) -> None:
    """Though a fault was passed over in it: PostgreSQL undoes the transaction then, SQLite the statement."""
    try:
        books.write(_write_and_pass_over_a_fault, goes_on)
    except (LedgerFaultError, LedgerUnavailableError):
        expected = 0
    else:
        expected = 2 if goes_on else 1
    assert books.count(tables.deliveries) == expected


def _write_and_pass_over_a_fault(connection: Connection, goes_on: bool) -> None:
    insert_delivery(connection, **delivery_of(1, b"1"))
    with suppress(IntegrityError):
        connection.execute(ORDER_OF_NO_STORE)
    if goes_on:
        insert_delivery(connection, **delivery_of(1, b"2"))


def test_who_reads_does_not_wait_for_who_writes(books: Books) -> None:
    order_id = books.known()
    with books.ledger.write() as connection:
        orders.lock(connection, order_id)
        save_deletion(connection, order_id, NOW)
        insert_delivery(connection, **delivery_of(books.store_id, b"new"))
        (seen,) = books.read(orders.of_resource, books.store_id, 1)
        assert (seen.deleted_at, books.count(tables.deliveries)) == (None, 1)
    (seen,) = books.read(orders.of_resource, books.store_id, 1)
    assert (seen.deleted_at, books.count(tables.deliveries)) == (NOW, 2)


def test_who_writes_does_not_wait_for_who_reads(books: Books) -> None:
    order_id = books.known()
    with books.ledger.read() as connection:
        (before,) = orders.of_resource(connection, books.store_id, 1)
        books.write(save_deletion, order_id, NOW)
        assert orders.of_resource(connection, books.store_id, 1) == [before]


def test_a_writer_that_is_killed_half_way_leaves_nothing_and_holds_up_nobody(books: Books) -> None:
    order_id = books.known()
    context = multiprocessing.get_context("spawn")
    is_half_way = context.Event()
    writer = context.Process(target=_stay_half_way, args=(books.url, order_id, is_half_way))
    writer.start()
    assert is_half_way.wait(START_WITHIN)
    other = Other(lambda: books.order(order_id))
    other.wait_until_it_waits(books.ledger)
    writer.kill()
    writer.join(START_WITHIN)
    assert writer.exitcode == -signal.SIGKILL
    assert other.result().deleted_at is None
    assert books.count(tables.deliveries) == 1
    assert not books.deliver(b"new").is_duplicate


def _stay_half_way(url: str, order_id: int, is_half_way: Event) -> None:
    with Ledger(url).write() as connection:
        orders.lock(connection, order_id)
        save_deletion(connection, order_id, NOW)
        insert_delivery(connection, **delivery_of(1, b"new"))
        is_half_way.set()
        signal.pause()


@pytest.mark.parametrize("shares_the_ledger", [True, False])
def test_who_waits_for_too_long_gives_up_and_is_in_nobodys_way(books: Books, shares_the_ledger: bool) -> None:
    order_id = books.known()
    impatient = Ledger(books.url, lock_timeout=0.1)
    holder = impatient if shares_the_ledger else books.ledger
    with holder.write() as connection:
        orders.lock(connection, order_id)
        hasty = Other(lambda: _lock(impatient, order_id))
        patient = Other(lambda: _lock(books.ledger, order_id))
        with pytest.raises(LedgerUnavailableError):
            hasty.result()
        patient.wait_until_it_waits(books.ledger)
        save_deletion(connection, order_id, NOW)
    assert patient.result().deleted_at == NOW
    assert _lock(impatient, order_id).deleted_at == NOW
    impatient.close()


def _lock(ledger: Ledger, order_id: int) -> orders.KnownOrder:
    with ledger.write() as connection:
        return orders.lock(connection, order_id)


def _drop_options(_dialect: object, _record: object, _arguments: object, parameters: dict[str, Any]) -> None:
    """Connect as through a pooler, which passes over start-up options."""
    parameters.pop("options", None)


@pytest.mark.parametrize("behind_a_pooler", [False, True])
@pytest.mark.parametrize("default", ["serializable", "repeatable read"])
def test_a_ledger_on_a_server_with_stricter_defaults_works_as_on_any_other(
    database_url: str, default: str, behind_a_pooler: bool
) -> None:
    """Under these, who has waited for a row would not see what the one before wrote, or fail."""
    strict = Ledger(database_url)
    if database_url.startswith("postgresql"):
        with strict.write() as connection:
            connection.execute(text(f"ALTER DATABASE test SET default_transaction_isolation = '{default}'"))
        strict.close()
        strict = Ledger(database_url)
        if behind_a_pooler:
            event.listen(strict._writer, "do_connect", _drop_options)
    strict.upgrade()
    with strict.write() as connection:
        add_store(connection)
    with strict.write() as connection:
        added = lock_or_add(connection, 1, 1, "wc_order_1")
        other = Other(lambda: Books(strict, database_url, 1).write(lock_or_add, 1, 1, "wc_order_1"))
        other.wait_until_it_waits(strict)
        save_deletion(connection, added.id, NOW)
    assert other.result().deleted_at == NOW
    strict.close()
