"""Claims and outcomes that threads write together: each order is sent once, and each for itself."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from zlib import error as ZlibError  # noqa: N812

import pytest
from sqlalchemy import select, update

from bridge.db import tables
from bridge.ledger import issuances, orders
from bridge.pipeline.context import Context
from bridge.pipeline.dispatch import drain_store
from bridge.pipeline.send import DEFER_BY
from bridge.pipeline.store_queues import Lanes
from tests.api import Api, failing_api
from tests.integration.ledger.crowds import Other, held_up, wait_until_queued
from tests.servers import wait_until
from tests.shop import Shop, at, forward_issuance


def forwarding(context: Context, *issuance_ids: int) -> list[Other[bool]]:
    """A thread for each of these, each of which waits in the queue before the next one comes."""
    others: list[Other[bool]] = []
    for one in issuance_ids:
        others.append(Other(partial(_forward, context, one)))
        wait_until_queued(len(others))
    return others


def _forward(context: Context, issuance_id: int) -> bool:
    try:
        return forward_issuance(context, issuance_id)
    finally:
        context.close()


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


def test_what_eight_threads_claim_and_record_together_is_sent_once_each(
    shop: Shop, answering: tuple[Api, Context]
) -> None:
    api, context = answering
    due = [shop.paid(number) for number in range(1, 25)]
    ticks = itertools.count()  # each transaction has a moment of its own
    context = replace(context, now=lambda: shop.clock.now() + timedelta(microseconds=next(ticks)))
    may_answer = threading.Event()
    api.before_answer = lambda: may_answer.wait(30)

    def forward_three(first: int) -> list[bool]:
        return [_forward(context, one) for one in due[first::8]]

    with held_up(shop.context.ledger, *due):
        threads = [Other(partial(forward_three, first)) for first in range(8)]
        wait_until_queued(8)
    wait_until(lambda: len(api.orders) == 8, "eight requests")
    # One was claimed by whoever came first, and those that waited meanwhile in one transaction.
    assert sorted(Counter(column(shop, "attempts", "started_at")).values()) == [1, 7]
    with held_up(shop.context.ledger, *due):
        may_answer.set()
        wait_until_queued(8)
    assert [one.result() for one in threads] == [[True] * 3] * 8
    assert sorted(api.orders) == list(range(1, 25))
    assert column(shop, "attempts", "outcome") == ["issued"] * 24
    assert sorted(column(shop, "attempts", "issuance_id")) == sorted(due)
    assert {(one.state, one.attempts) for one in map(shop.issuance, due)} == {("issued", 1)}
    assert max(Counter(column(shop, "issuances", "settled_at")).values()) >= 7
    assert column(shop, "orders", "decision") == ["done"] * 24


def test_one_that_cannot_be_composed_defers_only_itself(shop: Shop, answering: tuple[Api, Context]) -> None:
    api, context = answering
    due = [shop.paid(number) for number in range(1, 9)]
    broken = due[3]
    with held_up(shop.context.ledger, *due) as connection:
        threads = forwarding(context, *due)
        order = orders.lock(connection, shop.issuance(broken).order_id)
        row = update(tables.deliveries).where(tables.deliveries.c.id == order.delivery_id)
        connection.execute(row.values(body=b"not what zlib has written"))
    failed = threads.pop(3)
    assert [one.result() for one in threads] == [True] * 7
    with pytest.raises(ZlibError):
        failed.result()
    assert sorted(api.orders) == [1, 2, 3, 5, 6, 7, 8]
    assert {shop.issuance(one).state for one in due if one != broken} == {"issued"}
    left = shop.issuance(broken)
    assert (left.state, left.attempts, left.next_attempt_at) == ("due", 0, shop.clock.now() + DEFER_BY)
    assert (left.last_error or "").startswith("error: ")
    assert broken not in column(shop, "attempts", "issuance_id")


def test_two_threads_that_want_the_same_issuance_at_the_same_time_send_it_once(
    shop: Shop, answering: tuple[Api, Context]
) -> None:
    api, context = answering
    first, wanted = shop.paid(1), shop.paid(2)
    with held_up(shop.context.ledger, first, wanted):
        threads = forwarding(context, first, wanted, wanted)
    assert [one.result() for one in threads] == [True] * 3
    assert sorted(api.orders) == [1, 2]
    assert (shop.issuance(wanted).state, shop.issuance(wanted).attempts) == ("issued", 1)


@pytest.mark.parametrize("comes_first", ["the estimate", "the invoice"])
def test_of_two_documents_of_an_order_that_are_wanted_together_one_goes_and_the_other_waits(
    shop: Shop, answering: tuple[Api, Context], comes_first: str
) -> None:
    api, context = answering
    estimate, invoice = both_due(shop)
    first = shop.paid(2)
    states: list[set[str]] = []
    api.before_answer = lambda: states.append({shop.issuance(one).state for one in (estimate, invoice)})
    wanted = [estimate, invoice] if comes_first == "the estimate" else [invoice, estimate]
    with held_up(shop.context.ledger, first, *wanted):
        threads = forwarding(context, first, *wanted)
    assert [one.result() for one in threads] == [True] * 3
    assert sorted(api.orders) == [1, 2]
    assert {"sending", "due"} in states
    assert {"sending"} not in states
    # The estimate goes first whoever comes first, since it may not come after the invoice.
    assert (shop.issuance(estimate).state, shop.issuance(invoice).state) == ("issued", "due")
    assert forward_issuance(context, invoice)
    assert sorted(api.orders) == [1, 1, 2]
    assert shop.states() == {"estimate": "issued", "invoice": "issued"}


def test_a_token_that_is_changed_meanwhile_is_not_used_any_more_by_what_was_on_its_way(
    shop: Shop, answering: tuple[Api, Context]
) -> None:
    api, context = answering
    due = [shop.paid(number) for number in (1, 2, 3)]
    with held_up(shop.context.ledger, *due) as connection:
        threads = forwarding(context, *due)
        shop.change_token(connection, "another-token")
    assert [one.result() for one in threads] == [True] * 3
    assert (api.orders, column(shop, "attempts", "id")) == ([], [])
    assert {(one.state, one.attempts) for one in map(shop.issuance, due)} == {("due", 0)}
    for one in due:
        assert forward_issuance(context, one)
    assert (sorted(api.orders), api.tokens) == ([1, 2, 3], ["another-token"] * 3)


def test_outcomes_that_are_recorded_together_are_each_of_their_own_order(
    shop: Shop, answering: tuple[Api, Context]
) -> None:
    api, context = answering
    due = [shop.paid(number) for number in range(1, 6)]
    by_order = dict(zip(range(1, 6), [200, 422, 503, 502, 200], strict=True))
    may_answer = threading.Event()
    api.before_answer = lambda: may_answer.wait(30)
    api.status_of = by_order.get
    threads = [Other(partial(_forward, context, one)) for one in due]
    wait_until(lambda: len(api.orders) == 5, "five requests")
    with held_up(shop.context.ledger, *due):
        may_answer.set()
        wait_until_queued(5)
    assert [one.result() for one in threads] == [True] * 5
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
    drain_store(shop.context, Lanes(1, clock=lambda: 0.0), shop.store_id, call=lambda _: None)
    assert shop.documents() == ["invoice", "invoice"]
    assert [shop.issuance(one).state for one in (first, second)] == ["sending", "issued"]
