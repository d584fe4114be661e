"""Claims and outcomes that are written together: each order is sent once, and each for itself."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from bridge.db import tables
from bridge.ledger import issuances, orders
from bridge.pipeline.context import Clients, Context
from bridge.pipeline.deferral import DEFER_BY
from tests.support.api import Api, failing_api
from tests.support.servers import wait_until
from tests.support.shop import Shop, at, dispatching, forward


def column(shop: Shop, table: str, name: str) -> Sequence[Any]:
    """A column's values, in the order of the rows' ids."""
    of = tables.metadata.tables[table].c
    with shop.context.ledger.read() as connection:
        return connection.execute(select(of[name]).order_by(of.id)).scalars().all()


def both_due(shop: Shop) -> tuple[int, int]:
    """The estimate and the invoice of order 1, of which an operator has the former sent again."""
    (estimate,) = shop.process(shop.receive(at(1, status="on-hold", payment_method="bacs")))
    attempt = shop.claim(estimate, lease=40)
    with shop.context.ledger.write() as connection:
        assert issuances.mark_failed(connection, attempt, error="refused", now=shop.clock.now())
    (invoice,) = shop.process(shop.receive(at(2, status="processing", payment_method="bacs")))
    with shop.context.ledger.write() as connection:
        assert issuances.send_again(connection, estimate, shop.clock.now())
    return estimate, invoice


@pytest.fixture
def answering(shop: Shop) -> Iterator[tuple[Api, Context]]:
    """An API that takes whatever comes."""
    with failing_api(shop) as (api, context):
        api.order_status = 200
        yield api, context


def test_what_is_due_is_claimed_for_all_idle_threads_in_one_transaction(
    shop: Shop, answering: tuple[Api, Context]
) -> None:
    api, context = answering
    due = [shop.paid(number) for number in range(1, 25)]
    ticks = itertools.count()  # each transaction has a moment of its own
    context = replace(context, now=lambda: shop.clock.now() + timedelta(microseconds=next(ticks)))
    may_answer = threading.Event()
    api.before_answer = lambda: may_answer.wait(30)
    with dispatching(context, threads=12) as dispatcher:
        dispatcher.wake([shop.store_id])
        wait_until(lambda: len(api.orders) == 9, "nine requests")
        assert list(Counter(column(shop, "attempts", "started_at")).values()) == [9]
        may_answer.set()
        wait_until(lambda: dispatcher.is_idle, "an idle dispatcher")
    assert sorted(api.orders) == list(range(1, 25))
    assert column(shop, "attempts", "outcome") == ["issued"] * 24
    assert sorted(column(shop, "attempts", "issuance_id")) == sorted(due)
    assert {(one.state, one.attempts) for one in map(shop.issuance, due)} == {("issued", 1)}
    assert column(shop, "orders", "decision") == ["done"] * 24


def test_two_processes_that_are_woken_at_once_send_each_order_once(
    shop: Shop, answering: tuple[Api, Context]
) -> None:
    api, context = answering
    due = [shop.paid(number) for number in range(1, 41)]
    both = [replace(context, _clients=Clients()) for _ in range(2)]
    with dispatching(both[0], threads=8) as one, dispatching(both[1], threads=8) as other:
        for dispatcher in (one, other):
            dispatcher.wake([shop.store_id])
        wait_until(lambda: one.is_idle and other.is_idle, "two idle dispatchers")
    assert sorted(api.orders) == list(range(1, 41))
    assert {(one.state, one.attempts) for one in map(shop.issuance, due)} == {("issued", 1)}


def test_one_that_cannot_be_composed_defers_only_itself(shop: Shop, answering: tuple[Api, Context]) -> None:
    api, context = answering
    due = [shop.paid(number) for number in range(1, 9)]
    broken = due[3]
    with shop.context.ledger.write() as connection:
        order = orders.lock(connection, shop.issuance(broken).order_id)
        row = update(tables.deliveries).where(tables.deliveries.c.id == order.delivery_id)
        connection.execute(row.values(body=b"not what zlib has written"))
    forward(context, shop.store_id, threads=12)
    assert sorted(api.orders) == [1, 2, 3, 5, 6, 7, 8]
    assert {shop.issuance(one).state for one in due if one != broken} == {"issued"}
    left = shop.issuance(broken)
    assert (left.state, left.attempts, left.next_attempt_at) == ("due", 0, shop.clock.now() + DEFER_BY)
    assert (left.last_error or "").startswith("error: ")
    assert broken not in column(shop, "attempts", "issuance_id")


def test_of_two_documents_of_an_order_that_are_due_together_the_first_goes_and_then_the_other(
    shop: Shop, answering: tuple[Api, Context]
) -> None:
    api, context = answering
    estimate, invoice = both_due(shop)
    states: list[set[str]] = []
    api.before_answer = lambda: states.append({shop.issuance(one).state for one in (estimate, invoice)})
    forward(context, shop.store_id)
    assert states[0] == {"sending", "due"}
    forward(context, shop.store_id)
    assert shop.states() == {"estimate": "issued", "invoice": "issued"}
    assert api.orders == [1, 1]


def test_outcomes_that_are_recorded_together_are_each_of_their_own_order(
    shop: Shop, answering: tuple[Api, Context]
) -> None:
    api, context = answering
    due = [shop.paid(number) for number in range(1, 6)]
    by_order = dict(zip(range(1, 6), [200, 422, 503, 502, 200], strict=True))
    may_answer = threading.Event()
    api.before_answer = lambda: may_answer.wait(30)
    api.status_of = by_order.get
    with dispatching(context, threads=8) as dispatcher:
        dispatcher.wake([shop.store_id])
        wait_until(lambda: len(api.orders) == 5, "five requests")
        may_answer.set()
        wait_until(lambda: dispatcher.is_idle, "an idle dispatcher")
    assert [shop.issuance(one).state for one in due] == ["issued", "failed", "due", "held", "issued"]
    ended = zip(column(shop, "attempts", "issuance_id"), column(shop, "attempts", "status"), strict=True)
    assert sorted(ended) == list(zip(due, by_order.values(), strict=True))
    assert column(shop, "orders", "decision") == ["done", "attention", "invoice", "attention", "done"]


REFUSING = {
    "sqlite": [
        "CREATE TRIGGER refusing BEFORE UPDATE ON attempts WHEN NEW.issuance_id = {0} "
        "BEGIN SELECT RAISE(ABORT, 'refused'); END"
    ],
    "postgresql": [
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE check_violation; END $$",
        "CREATE TRIGGER refusing BEFORE UPDATE ON attempts FOR EACH ROW WHEN (NEW.issuance_id = {0}) "
        "EXECUTE FUNCTION refuse()",
    ],
}


def test_an_outcome_that_the_ledger_refuses_is_no_fault_of_the_next_order(shop: Shop) -> None:
    first, second = shop.paid(1), shop.paid(2)
    with shop.context.ledger.write() as connection:
        for statement in REFUSING[connection.dialect.name]:
            connection.exec_driver_sql(statement.format(first))
    forward(shop.context, shop.store_id)
    assert shop.documents() == ["invoice", "invoice"]
    assert [shop.issuance(one).state for one in (first, second)] == ["sending", "issued"]
