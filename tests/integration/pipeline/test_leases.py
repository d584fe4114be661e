"""One request for each claim: whoever dies, however often it is announced, and whatever the clock does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from tests.support.api import failing_api
from tests.support.shop import Shop, forward, forward_issuance, maintain

STEPS = [{"hours": 3}, {"days": 400}, {"hours": -3}, {"days": -400}]


def test_a_worker_that_died_while_sending_leaves_held_when_its_lease_has_ended(shop: Shop) -> None:
    invoice = shop.paid(1)
    shop.claim(invoice, lease=40)
    shop.clock.advance(seconds=39)
    assert list(maintain(shop.context).due_stores) == []
    assert shop.states() == {"invoice": "sending"}
    shop.clock.advance(seconds=2)
    assert list(maintain(shop.context).due_stores) == []
    assert (shop.states(), shop.order().decision) == ({"invoice": "held"}, "attention")
    shop.clock.advance(days=30)
    assert list(maintain(shop.context).due_stores) == []
    forward_issuance(shop.context, invoice)
    assert shop.documents() == []


def test_a_worker_that_dies_before_its_claim_is_committed_leaves_due(shop: Shop) -> None:
    invoice = shop.paid(1)
    with suppress(KeyboardInterrupt), shop.context.ledger.write() as connection:
        shop.start_attempt(connection, invoice, lease=40)
        raise KeyboardInterrupt
    assert shop.issuance(invoice).state == "due"
    forward_issuance(shop.context, invoice)
    assert shop.documents() == ["invoice"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("status", "state"), [(200, "issued"), (422, "failed"), (503, "due"), (502, "held")])
def test_a_clock_that_steps_while_an_order_is_sent_changes_nothing_about_its_outcome(
    shop: Shop, step: dict[str, float], status: int, state: str
) -> None:
    invoice = shop.paid(1)
    with failing_api(shop) as (api, context):

        def step_and_sweep() -> None:
            shop.clock.advance(**step)
            assert list(maintain(context).due_stores) == []
            forward_issuance(context, invoice)

        api.order_status, api.before_answer = status, step_and_sweep
        forward_issuance(context, invoice)
        assert shop.issuance(invoice).state == state
        assert len(api.orders) == 1


@pytest.mark.parametrize("step", STEPS)
def test_a_clock_that_steps_between_two_attempts_neither_loses_the_order_nor_sends_it_twice(
    shop: Shop, step: dict[str, float]
) -> None:
    invoice = shop.paid(1)
    with failing_api(shop) as (api, context):
        forward_issuance(context, invoice)
        shop.clock.advance(**step)
        api.order_status = 200
        shop.clock.advance(minutes=1)
        assert list(maintain(context).due_stores) == [shop.store_id]
        forward(context, shop.store_id)
        assert (shop.issuance(invoice).state, len(api.orders)) == ("issued", 2)


@pytest.mark.parametrize("step", STEPS)
def test_a_worker_that_died_while_sending_leaves_held_whatever_the_clock_does(
    shop: Shop, step: dict[str, float]
) -> None:
    invoice = shop.paid(1)
    shop.claim(invoice, lease=40)
    shop.clock.advance(**step)
    maintain(shop.context)
    assert shop.issuance(invoice).state == "held"
    assert shop.documents() == []


def test_sweeps_and_lanes_of_many_workers_at_once_send_each_order_once(shop: Shop) -> None:
    due = [shop.paid(number) for number in range(1, 25)]
    before = shop.requests()

    def work(_: int) -> None:
        maintain(shop.context)  # of which one at a time is made
        forward(shop.context, shop.store_id)
        shop.context.close()

    with ThreadPoolExecutor(8) as workers:
        list(workers.map(work, range(24)))
    assert (shop.requests() - before, len(shop.documents())) == (24, 24)
    assert {shop.issuance(one).state for one in due} == {"issued"}
