"""A store whose account takes no orders: paused, probed at little cost, and resumed by itself."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.ledger import orders, store_pauses
from bridge.pipeline.circuit_breaker import PAUSE_AFTER
from bridge.pipeline.complete import Completed, record
from bridge.pipeline.rate_limiter import RateLimiter
from bridge.spaceinvoices import Effect, Outcome
from tests.support.api import failing_api
from tests.support.servers import wait_until
from tests.support.shop import TOKEN, Shop, dispatching, forward_issuance, maintain


def spent(shop: Shop, ids: list[int]) -> list[int]:
    """The attempts that each issuance has spent."""
    return [shop.issuance(one).attempts for one in ids]


def test_a_refused_token_pauses_the_store_spends_no_attempt_and_a_probe_resumes_it(shop: Shop) -> None:
    due = [shop.paid(number) for number in (1, 2, 3)]
    shop.set_token("wrong")
    forward_issuance(shop.context, due[0])
    refused = shop.store()
    assert refused.paused_at is not None
    assert "401" in (refused.pause_reason or "")
    assert (shop.issuance(due[0]).state, shop.issuance(due[0]).attempts) == ("due", 0)
    assert list(maintain(shop.context).due_stores) == []
    forward_issuance(shop.context, due[1])
    shop.clock.advance(minutes=1)  # the probe asks for the config, and sends no order
    before = shop.requests()
    forward_issuance(shop.context, due[1])
    assert shop.requests() - before == 1
    assert spent(shop, due) == [0, 0, 0]
    shop.set_token(TOKEN)
    shop.clock.advance(days=4)  # longer than an order is retried for
    assert list(maintain(shop.context).due_stores) == [shop.store_id]
    for one in due:
        forward_issuance(shop.context, one)
    assert shop.documents() == ["invoice"] * 3
    assert (shop.store().paused_at, shop.store().failures) == (None, 0)


@pytest.mark.parametrize("status", [500, 503, 429, 502])
def test_a_store_that_only_fails_is_probed_with_one_order_at_a_time(shop: Shop, status: int) -> None:
    due = [shop.paid(number) for number in range(1, 13)]
    with failing_api(shop) as (api, context):
        api.order_status = status
        for one in due:
            forward_issuance(context, one)
        assert len(api.orders) == PAUSE_AFTER
        assert f"Space Invoices answered {status}" in (shop.store().pause_reason or "")
        assert list(maintain(context).due_stores) == []
        shop.clock.advance(minutes=5)
        assert list(maintain(context).due_stores) == [shop.store_id]
        for one in due:
            forward_issuance(context, one)
        assert len(api.orders) == PAUSE_AFTER + 1
        assert spent(shop, due[PAUSE_AFTER:]).count(0) >= len(due) - PAUSE_AFTER - 1


@pytest.mark.parametrize("page", ["<!doctype html><title>Back soon</title>", ""])
def test_orders_that_a_maintenance_page_takes_are_held_and_the_store_is_paused(shop: Shop, page: str) -> None:
    due = [shop.paid(number) for number in range(1, 9)]
    with failing_api(shop) as (api, context):
        api.order_status, api.order_answer = 200, page
        for one in due:
            forward_issuance(context, one)
    states = [shop.issuance(one).state for one in due]
    assert states == ["held"] * PAUSE_AFTER + ["due"] * (len(due) - PAUSE_AFTER)
    assert "no JSON object" in (shop.issuance(due[0]).last_error or "")
    assert "no JSON object" in (shop.store().pause_reason or "")


@pytest.mark.parametrize("effect", [Effect.UNKNOWN, Effect.NOT_TAKEN])
def test_failures_that_are_recorded_together_count_as_one_after_the_other(shop: Shop, effect: Effect) -> None:
    started = [shop.claim(shop.paid(number), lease=90) for number in range(1, 25)]
    ended = [Completed(one, Outcome(effect, "cut off"), duration=0.1) for one in started]
    with shop.context.ledger.write() as connection:
        locked = orders.lock_each(connection, {one.order_id for one in started})
        record(shop.context, connection, ended, locked)
    store = shop.store()
    assert store.failures == PAUSE_AFTER
    assert store.next_probe_at is not None
    assert store.next_probe_at - shop.clock.now() <= timedelta(seconds=5)


def test_an_order_that_is_taken_lets_a_store_go_on_that_the_one_before_has_paused(shop: Shop) -> None:
    started = [shop.claim(shop.paid(number), lease=90) for number in range(1, 7)]
    effects = [Effect.NOT_TAKEN] * 5 + [Effect.ISSUED]
    ended = [
        Completed(one, Outcome(effect, "so it went"), duration=0.1)
        for one, effect in zip(started, effects, strict=True)
    ]
    with shop.context.ledger.write() as connection:
        locked = orders.lock_each(connection, {one.order_id for one in started})
        record(shop.context, connection, ended, locked)
    assert (shop.store().paused_at, shop.store().failures) == (None, 0)


def test_while_the_api_is_away_altogether_a_probe_costs_no_order_anything(shop: Shop) -> None:
    due = [shop.paid(number) for number in range(1, 10)]
    with failing_api(shop) as (api, context):
        for one in due:
            forward_issuance(context, one)
        before = spent(shop, due)
        api.find_status = 503
        for _ in range(20):
            shop.clock.advance(minutes=2)
            for one in due:
                forward_issuance(context, one)
        assert spent(shop, due) == before
        assert len(api.orders) == PAUSE_AFTER
        assert api.found == 20
        assert "503" in (shop.store().pause_reason or "")


def test_two_workers_that_come_upon_a_due_probe_make_one(shop: Shop) -> None:
    due = [shop.paid(number) for number in range(1, 9)]
    with failing_api(shop) as (api, context):
        for one in due:
            forward_issuance(context, one)
        shop.clock.advance(minutes=2)
        with ExitStack() as stack:
            dispatchers = [stack.enter_context(dispatching(context)) for _ in range(4)]
            for dispatcher in dispatchers:
                dispatcher.wake([shop.store_id])
            wait_until(lambda: all(one.is_idle for one in dispatchers), "idle dispatchers")
        assert (api.found, len(api.orders)) == (1, PAUSE_AFTER + 1)


def test_the_time_a_store_was_paused_counts_against_none_of_its_orders(shop: Shop) -> None:
    due = [shop.paid(number) for number in range(1, 16)]
    with failing_api(shop) as (api, context):
        for _ in range(10):  # each of the first five is tried ten times
            for one in due[:PAUSE_AFTER]:
                forward_issuance(context, one)
            with context.ledger.write() as connection:
                store_pauses.resume(connection, shop.store_id, shop.clock.now(), by_operator=True)
            shop.clock.advance(hours=1)
        for one in due[:PAUSE_AFTER]:
            forward_issuance(context, one)
        assert shop.store().paused_at is not None
        shop.clock.advance(days=4)
        api.order_status = 200
        forward_issuance(context, due[-1])
        assert shop.store().paused_at is None
        api.order_status = 503
        forward_issuance(context, due[0])
        assert (shop.issuance(due[0]).state, shop.issuance(due[0]).attempts) == ("due", 12)


def test_a_success_between_failures_keeps_the_store_going(shop: Shop) -> None:
    due = [shop.paid(number) for number in range(1, 11)]
    with failing_api(shop) as (api, context):
        for number, one in enumerate(due):
            api.order_status = 200 if number % PAUSE_AFTER == PAUSE_AFTER - 1 else 503
            forward_issuance(context, one)
        assert len(api.orders) == len(due)
        assert shop.store().paused_at is None


def test_an_order_that_is_refused_tells_that_the_account_is_well(shop: Shop) -> None:
    due = [shop.paid(number) for number in range(1, 10)]
    with failing_api(shop) as (api, context):
        for one in due:
            forward_issuance(context, one)
        assert shop.store().paused_at is not None
        api.order_status = 422
        shop.clock.advance(minutes=5)
        forward_issuance(context, due[-1])
        assert shop.issuance(due[-1]).state == "failed"
        assert shop.store().paused_at is None


def test_the_time_to_wait_that_the_api_asks_for_delays_the_probe(shop: Shop) -> None:
    due = [shop.paid(number) for number in range(1, 7)]
    with failing_api(shop) as (api, context):
        api.retry_after = "1800"
        for one in due:
            forward_issuance(context, one)
        next_probe_at = shop.store().next_probe_at
        assert next_probe_at is not None
        assert next_probe_at - shop.clock.now() >= timedelta(seconds=1800)


def test_a_worker_that_dies_while_it_probes_leaves_the_next_probe_to_another(shop: Shop) -> None:
    due = [shop.paid(number) for number in range(1, 7)]
    with failing_api(shop) as (api, context):
        for one in due:
            forward_issuance(context, one)
        shop.clock.advance(minutes=2)
        store = shop.store()
        with context.ledger.write() as connection:
            assert store_pauses.claim_probe(connection, store, shop.clock.now() + timedelta(seconds=20))
        forward_issuance(context, due[-1])
        shop.clock.advance(seconds=21)
        assert list(maintain(context).due_stores) == [shop.store_id]
        api.order_status = 200
        forward_issuance(context, due[-1])
        assert shop.store().paused_at is None


@pytest.mark.parametrize("step", [{"hours": -12}, {"days": -400}])
def test_a_clock_that_is_set_back_does_not_keep_a_store_paused(shop: Shop, step: dict[str, float]) -> None:
    due = [shop.paid(number) for number in range(1, 7)]
    with failing_api(shop) as (api, context):
        for one in due:
            forward_issuance(context, one)
        shop.clock.advance(**step)
        api.order_status = 200
        assert list(maintain(context).due_stores) == [shop.store_id]
        forward_issuance(context, due[-1])
        assert shop.store().paused_at is None


def test_a_slow_account_is_probed_with_an_order_all_the_same(shop: Shop) -> None:
    due = [shop.paid(number) for number in range(1, 8)]
    with failing_api(shop) as (api, context):
        for one in due:
            forward_issuance(context, one)
        shop.clock.advance(minutes=2)
        api.order_status = 200
        slow = replace(context, rate_limiter=RateLimiter(1 / 1000))
        forward_issuance(slow, due[-1])
        assert shop.store().paused_at is None


def test_an_account_that_has_to_rest_is_not_probed(shop: Shop) -> None:
    due = [shop.paid(number) for number in range(1, 8)]
    with failing_api(shop) as (api, context):
        for one in due:
            forward_issuance(context, one)
        shop.clock.advance(minutes=2)
        slow = replace(context, rate_limiter=RateLimiter(1 / 1000))
        slow.rate_limiter.slow_down(context.account(shop.store()).name, retry_after=1000)
        for one in due:
            forward_issuance(slow, one)
        assert (api.found, len(api.orders)) == (0, PAUSE_AFTER)


def test_a_429_to_a_probes_question_slows_the_account_down(shop: Shop) -> None:
    due = [shop.paid(number) for number in range(1, 8)]
    with failing_api(shop) as (api, context):
        for one in due:
            forward_issuance(context, one)
        shop.clock.advance(minutes=2)
        api.find_status, api.retry_after = 429, "1000"
        forward_issuance(context, due[-1])
        assert context.rate_limiter.take(context.account(shop.store()).name, within=900) is None


def test_a_store_that_an_operator_paused_is_neither_probed_nor_resumed(shop: Shop) -> None:
    due = [shop.paid(number) for number in (1, 2)]
    with shop.context.ledger.write() as connection:
        store_pauses.pause(
            connection, shop.store_id, reason="by hand", now=shop.clock.now(), next_probe_at=None
        )
    shop.clock.advance(days=1)
    assert list(maintain(shop.context).due_stores) == []
    before = shop.requests()
    forward_issuance(shop.context, due[0])
    assert shop.requests() == before
    assert shop.store().pause_reason == "by hand"
