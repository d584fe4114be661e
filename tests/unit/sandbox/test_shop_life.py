"""The shop that lives by itself: whatever happens to its orders can happen to orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from bridge.sandbox.shop import Settings, Shop
from bridge.sandbox.shop.book import STATUSES
from bridge.sandbox.shop.life import fill, step

NOW = 1_800_000_000.0
DAY = 86_400


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop(Settings("http://shop.example"), clock=lambda: NOW)
    yield shop
    shop.close()


def test_it_begins_with_orders_of_the_last_days(shop: Shop) -> None:
    fill(shop, 30, Random(1), days=30)
    created = [shop.get(order).created for order in shop.ids()]
    assert created == sorted(created)
    assert (created[0], created[-1]) == (NOW - 30 * DAY, NOW - DAY)


def test_orders_go_through_every_status_that_life_has(shop: Shop) -> None:
    dice = Random(1)
    seen: Counter[str] = Counter()
    for _ in range(3_000):
        step(shop, dice)
        seen.update({shop.get(shop.ids()[-1]).status})
    statuses = {shop.get(order).status for order in shop.ids()}
    assert statuses == {*STATUSES, "trash"} - {"checkout-draft"}
    assert 1_000 < len(shop.ids()) < 2_000
    assert any(shop.get(order).notes for order in shop.ids())
    assert all(refund.amount > 0 for refund in shop.refunds())
