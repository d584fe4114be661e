"""Dispatching: all that is due is sent, by the threads there are, at the rate of its account."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace

from bridge.db.tables import issuances
from bridge.pipeline.rate_limiter import RateLimiter
from tests.support.api import failing_api
from tests.support.servers import wait_until
from tests.support.shop import Shop, dispatching, forward, maintain


class Crowd:
    """Requests that are under way at a time: each waits until it is let go."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.gate = threading.Event()

    def wait(self) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        assert self.gate.wait(60)
        with self.lock:
            self.now -= 1


def test_all_that_is_due_of_a_store_is_sent_once(shop: Shop) -> None:
    for number in range(1, 8):
        shop.paid(number)
    forward(shop.context, shop.store_id)
    assert shop.documents() == ["invoice"] * 7
    before = shop.requests()
    forward(shop.context, shop.store_id)
    assert shop.requests() == before


def test_one_store_has_three_quarters_of_the_threads_at_most(shop: Shop) -> None:
    for number in range(1, 9):
        shop.paid(number)
    crowd = Crowd()
    with failing_api(shop) as (api, context):
        api.order_status, api.before_answer = 200, crowd.wait
        with dispatching(context, threads=4) as dispatcher:
            dispatcher.wake([shop.store_id])
            wait_until(lambda: crowd.now == 3, "three requests under way")
            dispatcher.wake([shop.store_id])  # a hint too many changes nothing
            crowd.gate.set()
            wait_until(lambda: dispatcher.is_idle, "an idle dispatcher")
        assert crowd.most == 3
        assert Counter(api.orders) == Counter(range(1, 9))


def test_a_process_has_no_more_claimed_than_it_has_threads(shop: Shop) -> None:
    """So that no more is `held` after it was killed than requests were under way."""
    for number in range(1, 9):
        shop.paid(number)
    crowd = Crowd()
    with failing_api(shop) as (api, context):
        api.order_status, api.before_answer = 200, crowd.wait
        with dispatching(context, threads=1) as dispatcher:
            dispatcher.wake([shop.store_id])
            wait_until(lambda: crowd.now == 1, "a request under way")
            assert count(shop, "sending") == 1
            crowd.gate.set()
            wait_until(lambda: dispatcher.is_idle, "an idle dispatcher")
    assert crowd.most == 1


def test_a_process_that_stops_claims_nothing_more_and_records_what_is_under_way(shop: Shop) -> None:
    for number in range(1, 6):
        shop.paid(number)
    crowd = Crowd()
    with failing_api(shop) as (api, context):
        api.order_status, api.before_answer = 200, crowd.wait
        with dispatching(context, threads=2) as dispatcher:
            dispatcher.wake([shop.store_id])
            wait_until(lambda: crowd.now == 1, "a request under way")
            dispatcher.stop_claiming()
            crowd.gate.set()
    assert (count(shop, "issued"), count(shop, "due"), count(shop, "sending")) == (1, 4, 0)


def test_what_falls_due_meanwhile_is_sent_too(shop: Shop) -> None:
    shop.paid(1)
    with failing_api(shop) as (api, context), dispatching(context) as dispatcher:

        def one_more() -> None:
            if len(api.orders) == 1:
                shop.paid(2)
                dispatcher.wake([shop.store_id])

        api.order_status, api.before_answer = 200, one_more
        dispatcher.wake([shop.store_id])
        wait_until(lambda: dispatcher.is_idle, "an idle dispatcher")
        assert api.orders == [1, 2]


def test_an_account_whose_slot_is_far_away_is_not_waited_for(shop: Shop) -> None:
    for number in (1, 2, 3):
        shop.paid(number)
    slow = replace(shop.context, rate_limiter=RateLimiter(1 / 1000))
    forward(slow, shop.store_id)
    assert shop.documents() == ["invoice"]
    assert list(maintain(slow).due_stores) == [shop.store_id]


def test_a_slot_that_nothing_was_due_for_is_the_next_ones(shop: Shop) -> None:
    slow = replace(shop.context, rate_limiter=RateLimiter(1 / 1000))
    forward(slow, shop.store_id)
    shop.paid(1)
    forward(slow, shop.store_id)
    assert shop.documents() == ["invoice"]


def test_an_answer_of_429_stops_the_account_for_as_long_as_it_asks(shop: Shop) -> None:
    for number in (1, 2, 3):
        shop.paid(number)
    with failing_api(shop) as (api, context):
        api.order_status, api.retry_after = 429, "1000"
        forward(context, shop.store_id, threads=1)
        assert api.orders == [1]


def test_a_store_that_is_paused_on_the_way_keeps_what_is_left(shop: Shop) -> None:
    due = [shop.paid(number) for number in range(1, 21)]
    with failing_api(shop) as (api, context):
        forward(context, shop.store_id, threads=1)
        assert len(api.orders) == 5
    assert [shop.issuance(one).attempts for one in due].count(0) == 15


def count(shop: Shop, state: str) -> int:
    with shop.context.ledger.read() as connection:
        rows = connection.execute(issuances.select().where(issuances.c.state == state))
        return len(rows.all())
