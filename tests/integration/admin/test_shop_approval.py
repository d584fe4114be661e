"""The shop waits for a minute, and then deletes its keys: what takes longer is not kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from bridge.admin import shop_approval
from bridge.admin.shop_approval import NotOpenError, TooLateError, take_keys
from bridge.ledger import actions, shop_approvals, shops, stores
from bridge.ledger.shop_approvals import Approval
from bridge.shop import ShopKeys, ShopUnreachableError
from tests.support.books import VAULT, Books
from tests.support.shop_stand_in import ShopStandIn

STATE = "0123456789abcdef" * 2


@pytest.fixture
def shop(books: Books) -> Iterator[ShopStandIn]:
    with ShopStandIn() as shop:
        now = datetime.now(UTC)
        books.write(shop_approvals.begin, books.store_id, shop.url, STATE, who="ana", now=now)
        yield shop


def now_of(books: Books) -> Approval:
    found = books.read(shop_approvals.find, STATE)
    assert found is not None
    return found


def take(books: Books, shop: ShopStandIn) -> None:
    keys = ShopKeys(shop.consumer_key, shop.consumer_secret)
    take_keys(books.ledger, VAULT, now_of(books), keys, lambda: datetime.now(UTC))


def assert_nothing_is_kept(books: Books) -> None:
    assert books.read(shops.of_store, books.store_id) is None
    assert books.read(actions.of_store, books.store_id, limit=9) == []
    assert books.read(stores.get, books.store_id).shop_urls == ()


def test_a_shop_that_is_too_slow_is_asked_no_further(
    books: Books, shop: ShopStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shop_approval, "ASK_WITHIN", 0.0)
        with pytest.raises(ShopUnreachableError, match="too slow"):
            take(books, shop)
    assert len(shop.asked) == 1
    assert_nothing_is_kept(books)
    assert "too slow" in (now_of(books).last_failure or "")
    take(books, shop)
    assert now_of(books).is_connected


def test_keys_that_were_proved_too_late_are_not_kept(
    books: Books, shop: ShopStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shop_approval, "ANSWER_WITHIN", 0.0)
        with pytest.raises(TooLateError):
            take(books, shop)
    assert_nothing_is_kept(books)
    assert not now_of(books).is_over(datetime.now(UTC))
    take(books, shop)
    assert books.read(shops.of_store, books.store_id) is not None


def test_an_approval_that_ends_while_the_shop_is_asked_keeps_nothing(books: Books, shop: ShopStandIn) -> None:
    shop.before_answer(lambda: books.write(shops.disconnect, books.store_id))
    with pytest.raises(NotOpenError):
        take(books, shop)
    assert_nothing_is_kept(books)
