"""Orders: one row for each identity, which whoever decides on it has to themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from bridge.db import Ledger, tables
from bridge.issuance import Decision, Kind, Order, Verdict
from bridge.ledger import orders, processing
from bridge.ledger.orders import KnownOrder, Resource
from tests.support.books import (
    NOW,
    Books,
    add_order,
    add_store,
    delivery_of,
    insert_delivery,
    lock_or_add,
    save_deletion,
    save_snapshot,
    save_verdict,
    snapshot_of,
)
from tests.support.crowds import Crew, Other, at_once

TEXT = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=200)
SNAPSHOTS = st.builds(
    Order,
    resource_id=st.just(1),
    order_key=st.just("wc_order_1"),
    number=TEXT,
    status=TEXT,
    payment_method=TEXT,
    total=TEXT,
    currency=TEXT,
    modified=st.datetimes(timezones=st.just(UTC)),
    has_date_paid=st.booleans(),
    has_refunds=st.booleans(),
)


def test_an_order_that_is_new_is_added_without_a_snapshot(books: Books) -> None:
    added = books.write(lock_or_add, books.store_id, 7, "wc_order_7")
    assert added == KnownOrder(
        id=added.id,
        store_id=books.store_id,
        store="shop",
        resource_id=7,
        order_key="wc_order_7",
        snapshot=None,
        delivery_id=None,
        deleted_at=None,
        decision=None,
        reason=None,
        decided_version=0,
    )
    assert books.order(added.id) == added


def test_an_order_is_its_store_its_id_and_its_key(books: Books) -> None:
    other = books.write(add_store, "other")
    identities = [
        (books.store_id, 1, "a"),
        (books.store_id, 1, "b"),
        (books.store_id, 2, "a"),
        (other, 1, "a"),
    ]
    ids = [books.write(lock_or_add, *identity).id for identity in identities]
    assert len(set(ids)) == 4
    assert [books.order(one).identity for one in ids] == identities
    assert [books.write(lock_or_add, *identity).id for identity in identities] == ids
    assert [one.id for one in books.read(orders.of_resource, books.store_id, 1)] == ids[:2]


def test_a_key_counts_to_the_letter(books: Books) -> None:
    keys = ["wc_order_a", "wc_order_A", "wc_order_a ", "wc_order_ä", "wc_order_a\u0308"]
    assert len({books.write(lock_or_add, books.store_id, 1, key).id for key in keys}) == len(keys)


def test_the_orders_of_an_id_are_told_from_the_oldest(books: Books) -> None:
    other = books.write(add_store, "other")
    here, there, nowhere = (books.store_id, 1), (other, 3), (books.store_id, 3)
    assert books.write(orders.lock_of_resources, [here]) == {}
    first, second = (books.known(1, order_key=key) for key in ("z_before", "a_after"))
    books.known(2)
    elsewhere = books.known(3, store_id=other)
    books.known(1, store_id=other)
    assert first < second < elsewhere
    found = books.write(orders.lock_of_resources, [there, nowhere, here])
    assert list(found.values()) == [books.order(one) for one in (first, second, elsewhere)]
    assert books.write(orders.lock_of_resources, []) == {}


def test_orders_are_added_together_and_those_that_are_there_stay_as_they_are(books: Books) -> None:
    known = books.order(books.known(2))
    identities = [(books.store_id, number, f"wc_order_{number}") for number in (3, 2, 1, 2)]
    books.write(orders.add, identities)
    books.write(orders.add, identities)
    books.write(orders.add, [])
    found = books.read(orders.listed)
    assert sorted(one.identity for one in found) == sorted(set(identities))
    assert books.order(known.id) == known


def test_of_orders_of_one_id_that_are_added_together_the_last_is_the_youngest(books: Books) -> None:
    keys = ["wc_order_z", "wc_order_a", "wc_order_k"]
    books.write(orders.add, [(books.store_id, number, key) for key in keys for number in (2, 1)])
    for number in (1, 2):
        found = books.read(orders.of_resource, books.store_id, number)
        assert [one.order_key for one in found] == keys


def test_what_is_known_of_several_orders_is_kept_together(books: Books) -> None:
    ids = [books.known(number) for number in (1, 2, 3)]
    locked = books.write(orders.lock_each, [ids[2], ids[0], 99])
    assert set(locked) == {ids[0], ids[2]}
    untouched = books.order(ids[1])
    changed = [
        replace(locked[ids[0]], deleted_at=NOW, decision="skip", reason="deleted", decided_version=1),
        replace(locked[ids[2]], snapshot=snapshot_of(3, status="completed"), decision="done", reason="?"),
    ]
    books.write(orders.save, changed)
    books.write(orders.save, [])
    assert [books.order(ids[0]), books.order(ids[2])] == changed
    assert books.order(ids[1]) == untouched


def test_eight_threads_that_add_the_same_order_add_it_once(books: Books) -> None:
    ids = at_once(8, lambda _: books.write(lock_or_add, books.store_id, 1, "wc_order_1").id)
    assert len(set(ids)) == 1
    assert books.count(tables.orders) == 1


def test_two_processes_that_add_the_same_orders_add_each_once(books: Books, crew: Crew) -> None:
    added = crew.at_once(books.url, _add_orders)
    assert [len(set(of_one_order)) for of_one_order in zip(*added, strict=True)] == [1] * 12
    assert books.count(tables.orders) == 12


def _add_orders(ledger: Ledger, number: int) -> list[int]:
    """Each thread begins with another one."""
    found = {}
    for step in range(12):
        resource_id = 1 + (number + step) % 12
        with ledger.write() as connection:
            found[resource_id] = lock_or_add(connection, 1, resource_id, f"key {resource_id}").id
    return [found[resource_id] for resource_id in sorted(found)]


LOCKS: dict[str, Callable[[Books, int], KnownOrder]] = {
    "lock": lambda books, order_id: books.write(orders.lock, order_id),
    "lock_or_add": lambda books, _: books.write(lock_or_add, books.store_id, 1, "wc_order_1"),
}


@pytest.mark.parametrize("first", LOCKS)
@pytest.mark.parametrize("second", LOCKS)
def test_the_second_waits_for_the_first_and_sees_what_it_wrote(books: Books, first: str, second: str) -> None:
    order_id = books.known()
    with books.ledger.write() as connection:
        if first == "lock":
            orders.lock(connection, order_id)
        else:
            lock_or_add(connection, books.store_id, 1, "wc_order_1")
        other = Other(lambda: LOCKS[second](books, order_id))
        other.wait_until_it_waits(books.ledger)
        newer = snapshot_of(status="completed")
        recorded = insert_delivery(connection, **delivery_of(books.store_id, b"newer"))
        save_snapshot(connection, order_id, newer, recorded.delivery_id)
        save_verdict(connection, order_id, Verdict(Decision.DONE, "issued", "a_rule"), 3)
    found = other.result()
    assert (found.id, found.snapshot, found.delivery_id) == (order_id, newer, recorded.delivery_id)
    assert (found.decision, found.reason, found.decided_version) == ("done", "issued", 3)


def test_who_adds_an_order_that_another_is_just_adding_waits_and_finds_it_there(books: Books) -> None:
    with books.ledger.write() as connection:
        added = lock_or_add(connection, books.store_id, 1, "wc_order_1")
        other = Other(lambda: LOCKS["lock_or_add"](books, 0))
        other.wait_until_it_waits(books.ledger)
        save_deletion(connection, added.id, NOW)
    assert other.result() == replace(added, deleted_at=NOW)


def test_who_waited_for_another_that_failed_adds_the_order(books: Books) -> None:
    with suppress(ZeroDivisionError), books.ledger.write() as connection:
        lock_or_add(connection, books.store_id, 1, "wc_order_1")
        other = Other(lambda: LOCKS["lock_or_add"](books, 0))
        other.wait_until_it_waits(books.ledger)
        raise ZeroDivisionError
    assert books.order(other.result().id).snapshot is None
    assert books.count(tables.orders) == 1


def test_an_order_that_is_not_there_yet_can_be_kept_from_others_by_its_id(books: Books) -> None:
    _deliver_about(books, 1)
    with books.ledger.write() as connection:
        processing.lock_resources_of(connection, [1])
        other = Other(lambda: books.write(_ids_of_locked, (books.store_id, 1)))
        other.wait_until_it_waits(books.ledger)
        order_id = add_order(connection, books.store_id)
    assert other.result() == [order_id]


def test_who_locks_several_ids_waits_for_whoever_has_one_of_them(books: Books) -> None:
    _deliver_about(books, 1, 2, 3, 4, 5)
    with books.ledger.write() as connection:
        processing.lock_resources_of(connection, [2, 3])
        others = [
            Other(lambda: books.write(_ids_of_locked, (books.store_id, 1), (books.store_id, 3))),
            Other(lambda: books.write(_ids_of_locked, (books.store_id, 2), (books.store_id, 5))),
        ]
        for other in others:
            other.wait_until_it_waits(books.ledger)
        ids = [add_order(connection, books.store_id, number) for number in (2, 3)]
    assert [other.result() for other in others] == [[ids[1]], [ids[0]]]


def test_those_who_lock_the_same_ones_in_other_orders_never_wait_in_a_circle(
    books: Books, crew: Crew
) -> None:
    _deliver_about(books, *range(1, 13))
    with books.ledger.write() as connection:
        for number in range(1, 13):
            add_order(connection, books.store_id, number)
    crew.at_once(books.url, _lock_all)
    decided = {one.decided_version for one in books.read(orders.listed)}
    assert decided == {8 * 5 * 3}


def _lock_all(ledger: Ledger, number: int) -> None:
    """Each thread names them in another order, and has one more decided in each by either way to lock."""
    resources = [(1, 1 + (number + step) % 12) for step in range(12)]
    for _ in range(5):
        with ledger.write() as connection:
            processing.lock_resources_of(connection, [about for _, about in resources])
            _count_in(connection, orders.lock_of_resources(connection, resources).values())
        with ledger.write() as connection:
            locked = orders.lock_of_resources(connection, resources)
            _count_in(connection, locked.values())
        with ledger.write() as connection:
            ids = list(locked)
            _count_in(connection, orders.lock_each(connection, ids[number:] + ids[:number]).values())


def _count_in(connection: Connection, locked: Iterable[KnownOrder]) -> None:
    orders.save(connection, [replace(one, decided_version=one.decided_version + 1) for one in locked])


def test_other_orders_wait_only_where_there_is_but_one_writer(books: Books) -> None:
    """That is, in SQLite."""
    _deliver_about(books, *range(1, 6))
    order_id, another = books.known(1), books.known(2)
    with books.ledger.write() as connection:
        orders.lock(connection, order_id)
        processing.lock_resources_of(connection, [3])
        others: list[Other[list[int]]] = [
            Other(lambda: [books.order(another).id]),
            Other(lambda: [books.write(lock_or_add, books.store_id, 4, "wc_order_4").id]),
            Other(lambda: books.write(_ids_of_locked, (books.store_id, 5))),
        ]
        for other in others:
            if connection.dialect.name == "sqlite":
                other.wait_until_it_waits(books.ledger)
            else:
                other.result()
    assert [other.result() for other in others] == [[another], [another + 1], []]


def _deliver_about(books: Books, *numbers: int) -> None:
    """Record a delivery about each of these WooCommerce ids, which are from 1 on: it has the same id."""
    for number in numbers:
        recorded = books.deliver(b"about %d" % number, resource_id=number)
        assert recorded.delivery_id == number


def _ids_of_locked(connection: Connection, *resources: Resource) -> list[int]:
    """Lock the WooCommerce ids, by the deliveries of the same ids, and their orders."""
    processing.lock_resources_of(connection, [about for _, about in resources])
    return list(orders.lock_of_resources(connection, resources))


def test_counting_in_an_order_by_many_at_once_loses_nothing(books: Books, crew: Crew) -> None:
    books.known()
    crew.at_once(books.url, _count_up)
    (order,) = books.read(orders.of_resource, books.store_id, 1)
    assert order.decided_version == 8 * 5


def _count_up(ledger: Ledger, _number: int) -> None:
    """Reads what is decided, and decides one more."""
    for _ in range(5):
        with ledger.write() as connection:
            order = lock_or_add(connection, 1, 1, "wc_order_1")
            save_verdict(
                connection, order.id, Verdict(Decision.WAIT, "for more", "a_rule"), order.decided_version + 1
            )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(snapshot=SNAPSHOTS)
def test_a_snapshot_comes_back_as_it_was(books: Books, snapshot: Order) -> None:
    delivery_id = books.deliver().delivery_id
    order_id = books.write(lock_or_add, books.store_id, 1, "wc_order_1").id
    books.write(save_snapshot, order_id, snapshot, delivery_id)
    found = books.order(order_id)
    assert (found.snapshot, found.delivery_id) == (snapshot, delivery_id)


@pytest.mark.parametrize("resource_id", [1, 2**31, 2**53 + 1, 2**63 - 1])
def test_ids_of_any_size_are_kept_exactly(books: Books, resource_id: int) -> None:
    order_id = books.known(resource_id)
    delivery_id = books.order(order_id).delivery_id
    assert books.order(order_id).resource_id == resource_id
    assert delivery_id is not None
    assert books.delivery(delivery_id).resource_id == resource_id


def test_a_deletion_and_its_end_are_kept(books: Books) -> None:
    order_id = books.known()
    books.write(save_deletion, order_id, NOW)
    assert books.order(order_id).deleted_at == NOW
    books.write(save_deletion, order_id, None)
    assert books.order(order_id).deleted_at is None


def test_a_verdict_replaces_the_one_before(books: Books) -> None:
    order_id = books.known()
    books.write(save_verdict, order_id, Verdict(Decision.WAIT, "not paid", "a_rule"), 1)
    books.write(save_verdict, order_id, Verdict.issue(Kind.INVOICE, "paid", "received"), 2)
    found = books.order(order_id)
    assert (found.decision, found.reason, found.decided_version) == ("invoice", "paid", 2)


@pytest.mark.parametrize("decision", Decision)
def test_what_was_decided_by_older_rules_is_decided_again_unless_it_is_done(
    books: Books, decision: Decision
) -> None:
    kind = Kind.ESTIMATE if decision is Decision.ISSUE else None
    older, current = books.known(1), books.known(2)
    books.write(save_verdict, older, Verdict(decision, "by the old rules", "a_rule", kind), 2)
    books.write(save_verdict, current, Verdict(decision, "by the new rules", "a_rule", kind), 3)
    found = books.read(orders.to_redecide, books.store_id, 3, limit=9)
    assert found == ([] if decision is Decision.DONE else [older])


def test_orders_are_decided_anew_store_by_store_and_so_many_at_a_time(books: Books) -> None:
    other = books.write(add_store, "other")
    ids = [books.known(number) for number in range(1, 6)]
    elsewhere = books.known(1, store_id=other)
    for order_id in [*ids, elsewhere]:
        books.write(save_verdict, order_id, Verdict(Decision.WAIT, "not paid", "a_rule"), 1)
    assert sorted(books.read(orders.to_redecide, books.store_id, 2, limit=9)) == ids
    assert books.read(orders.to_redecide, other, 2, limit=9) == [elsewhere]
    seen: set[int] = set()
    for _ in range(3):
        some = books.read(orders.to_redecide, books.store_id, 2, limit=2)
        for order_id in some:
            books.write(save_verdict, order_id, Verdict(Decision.WAIT, "not paid", "a_rule"), 2)
        seen.update(some)
    assert sorted(seen) == ids
    assert books.read(orders.to_redecide, books.store_id, 2, limit=2) == []


def test_orders_are_listed_from_the_youngest(books: Books) -> None:
    other = books.write(add_store, "other")
    ids = [books.known(number, modified=NOW - timedelta(days=number)) for number in range(1, 5)]
    elsewhere = books.known(1, store_id=other)
    books.write(save_verdict, ids[2], Verdict(Decision.SKIP, "deleted", "a_rule"), 1)
    assert [one.id for one in books.read(orders.listed)] == [elsewhere, *reversed(ids)]
    assert [one.id for one in books.read(orders.listed, store="shop", limit=2)] == [ids[3], ids[2]]
    assert [one.id for one in books.read(orders.listed, decision="skip")] == [ids[2]]
