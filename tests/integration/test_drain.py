"""Draining a store: all that is due is forwarded, and no thread is kept longer than need be."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import count

from bridge.pipeline.store_queues import TURN, Lanes

from bridge.maintenance.sweep import sweep
from bridge.pipeline.dispatch import drain_store
from bridge.pipeline.rate_limiter import RateLimiter
from tests.api import failing_api
from tests.shop import Shop


def test_one_lane_forwards_all_that_is_due_and_calls_for_others(shop: Shop) -> None:
    for number in range(1, 8):
        shop.paid(number)
    called: list[int] = []
    drain_store(shop.context, Lanes(4), shop.store_id, call=called.append)
    assert shop.documents() == ["invoice"] * 7
    assert called == [3]


def test_what_has_just_fallen_due_is_forwarded_and_nothing_else_is_looked_for(shop: Shop) -> None:
    due = [shop.paid(number) for number in range(1, 6)]
    called: list[int] = []
    drain_store(shop.context, Lanes(4), shop.store_id, call=called.append, just_due=[due[3], due[1]])
    assert [shop.issuance(one).state for one in due] == ["due", "issued", "due", "issued", "due"]
    assert called == [1]
    drain_store(shop.context, Lanes(4), shop.store_id, call=called.append)
    assert {shop.issuance(one).state for one in due} == {"issued"}
    assert shop.documents() == ["invoice"] * 5


def test_what_has_just_fallen_due_and_been_forwarded_by_another_is_not_sent_again(shop: Shop) -> None:
    due = [shop.paid(number) for number in (1, 2)]
    drain_store(shop.context, Lanes(4), shop.store_id, call=lambda _: None)
    before = shop.requests()
    drain_store(shop.context, Lanes(4), shop.store_id, call=lambda _: None, just_due=[*due, due[0]])
    assert (shop.requests(), shop.documents()) == (before, ["invoice"] * 2)


def test_no_more_lanes_are_called_than_threads_are_idle(shop: Shop) -> None:
    due = [shop.paid(number) for number in range(1, 5)]
    idle, called = iter([0, 1, 9, 9]), list[int]()
    drain_store(shop.context, Lanes(9), shop.store_id, call=called.append, idle=lambda: next(idle))
    assert {shop.issuance(one).state for one in due} == {"issued"}
    assert called == [1]


def test_a_turn_that_is_over_ends_if_others_wait_and_goes_on_if_nobody_does(shop: Shop) -> None:
    due = [shop.paid(number) for number in range(1, 6)]
    seconds, waiting, called = count(step=TURN), iter([False, False, True]), list[int]()
    drain_store(
        shop.context,
        Lanes(1, clock=lambda: next(seconds)),
        shop.store_id,
        call=called.append,
        others_wait=lambda: next(waiting),
    )
    assert [shop.issuance(one).state for one in due] == ["issued"] * 3 + ["due"] * 2
    assert called == [1]


def test_a_process_that_stops_goes_on_to_no_other_order_and_leaves_the_store_to_another(shop: Shop) -> None:
    due = [shop.paid(number) for number in range(1, 6)]
    stopping, states_when_called = iter([False, True]), list[list[str]]()
    drain_store(
        shop.context,
        Lanes(1),
        shop.store_id,
        call=lambda _: states_when_called.append([shop.issuance(one).state for one in due]),
        others_wait=lambda: False,
        is_stopping=lambda: next(stopping),
    )
    # Whoever is called finds the outcome recorded.
    assert states_when_called == [["issued"] * 2 + ["due"] * 3]


def test_what_falls_due_meanwhile_is_forwarded_too(shop: Shop) -> None:
    shop.paid(1)
    with failing_api(shop) as (api, context):
        api.order_status = 200
        api.before_answer = lambda: shop.paid(2) if len(api.orders) == 1 else None
        # However long it takes: its turn does not end.
        drain_store(context, Lanes(4, clock=lambda: 0.0), shop.store_id, call=lambda _: None)
        assert api.orders == [1, 2]


def test_a_message_too_many_for_a_store_ends_at_once(shop: Shop) -> None:
    shop.paid(1)
    lanes = Lanes(1)
    with failing_api(shop) as (api, context):
        api.order_status = 200

        def second() -> None:
            drain_store(context, lanes, shop.store_id, call=lambda _: None)
            context.close()

        def answer() -> None:
            thread = threading.Thread(target=second)
            thread.start()
            thread.join()  # it would never end if it waited for the first

        api.before_answer = answer
        drain_store(context, lanes, shop.store_id, call=lambda _: None)
        assert api.orders == [1]


def test_a_thread_does_not_wait_for_an_account_whose_turn_is_far_away(shop: Shop) -> None:
    for number in (1, 2, 3):
        shop.paid(number)
    slow = replace(shop.context, rate_limiter=RateLimiter(1 / 1000))
    drain_store(slow, Lanes(4), shop.store_id, call=lambda _: None)
    assert shop.documents() == ["invoice"]
    assert list(sweep(slow).due_stores) == [shop.store_id]


def test_an_answer_of_429_stops_the_account_for_as_long_as_it_asks(shop: Shop) -> None:
    for number in (1, 2, 3):
        shop.paid(number)
    with failing_api(shop) as (api, context):
        api.order_status, api.retry_after = 429, "1000"
        drain_store(context, Lanes(4), shop.store_id, call=lambda _: None)
        assert api.orders == [1]


def test_a_store_that_is_paused_on_the_way_keeps_what_is_left(shop: Shop) -> None:
    due = [shop.paid(number) for number in range(1, 21)]
    with failing_api(shop) as (api, context):
        drain_store(context, Lanes(4), shop.store_id, call=lambda _: None)
        assert len(api.orders) == 5
    assert [shop.issuance(one).attempts for one in due].count(0) == 15
