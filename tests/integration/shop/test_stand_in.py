"""The client against the stand-in of a shop, which behaves as WooCommerce does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from bridge.shop import (
    AnswerError,
    BusyError,
    FirewallError,
    KeyRefusedError,
    Login,
    MaintenanceError,
    NotAShopError,
    RedirectedError,
    RightsError,
    Shop,
    ShopError,
    ShopKeys,
    ShopUnreachableError,
    find_endpoint,
)
from tests.support.shop_stand_in import ShopStandIn

EARLY = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATE = datetime(2100, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def stand_in() -> Iterator[ShopStandIn]:
    with ShopStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def shop(stand_in: ShopStandIn) -> Iterator[Shop]:
    with opened(stand_in) as shop:
        yield shop


def keys_of(stand_in: ShopStandIn) -> ShopKeys:
    return ShopKeys(stand_in.consumer_key, stand_in.consumer_secret)


@contextmanager
def opened(stand_in: ShopStandIn, keys: ShopKeys | None = None, **options: Any) -> Iterator[Shop]:
    keys = keys or keys_of(stand_in)
    endpoint = find_endpoint(stand_in.url, keys, pause=0)
    with Shop(endpoint, keys, **{"pause": 0, **options}) as shop:
        yield shop


@pytest.mark.parametrize("has_permalinks", [True, False])
@pytest.mark.parametrize("folder", ["", "/de/shop"])
@pytest.mark.parametrize(
    ("https", "drops_authorization", "login"),
    [
        ("known", False, Login.BASIC),
        ("known", True, Login.OAUTH),
        ("unknown", False, Login.OAUTH_HTTP),
        (None, False, Login.OAUTH),
    ],
)
def test_the_login_of_each_kind_of_host_is_found_and_works(
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    https: Literal["known", "unknown"] | None,
    drops_authorization: bool,
    login: Login,
    folder: str,
    has_permalinks: bool,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    tls = None if https is None else certificate
    with ShopStandIn(tls=tls, https=https, folder=folder, has_permalinks=has_permalinks) as stand_in:
        stand_in.fault(drops_authorization=drops_authorization)
        order_id = stand_in.make_order()
        keys = keys_of(stand_in)
        endpoint = find_endpoint(stand_in.url, keys, pause=0)
        assert endpoint.login is login
        assert ("rest_route" in endpoint.api) is not has_permalinks
        with Shop(endpoint, keys, pause=0) as shop:
            assert shop.order(order_id) == stand_in.body(order_id)
            shop.add_note(order_id, "What is signed may hold 50% & ž")
            assert stand_in.notes(order_id) == ["What is signed may hold 50% & ž"]
            assert [note.text for note in shop.notes(order_id)] == stand_in.notes(order_id)


def test_keys_that_the_shop_does_not_know_are_refused(stand_in: ShopStandIn) -> None:
    for keys in (ShopKeys("ck_other", "cs_other"), ShopKeys(stand_in.consumer_key, "cs_other")):
        with pytest.raises(KeyRefusedError):
            find_endpoint(stand_in.url, keys, pause=0)


def test_a_revoked_key_is_refused_in_reading_and_writing(stand_in: ShopStandIn, shop: Shop) -> None:
    stand_in.make_order()
    stand_in.revoke(stand_in.key)
    for call in (shop.highest_order_id, shop.permissions, shop.webhooks):
        with pytest.raises(KeyRefusedError):
            call()


@pytest.mark.parametrize("skew", [-86_400.0, 86_400.0])
def test_clocks_may_differ_by_days(stand_in: ShopStandIn, skew: float) -> None:
    stand_in.skew = skew
    with opened(stand_in) as shop:
        assert shop.highest_order_id() == 0
        assert abs(shop.clock.timestamp() - time.time() - skew) < 600


@pytest.mark.parametrize(("permissions", "can_write"), [("read_write", True), ("read", False)])
def test_whether_a_key_may_write_is_told(stand_in: ShopStandIn, permissions: str, can_write: bool) -> None:
    key = stand_in.add_key(permissions)
    order_id = stand_in.make_order()
    with opened(stand_in, ShopKeys(key.consumer_key, key.consumer_secret)) as shop:
        assert shop.permissions().can_write is can_write
        if not can_write:
            with pytest.raises(RightsError, match="Read/Write"):
                shop.add_note(order_id, "x")
    assert stand_in.webhooks() == []


def test_a_key_that_may_only_write_or_of_a_user_without_rights_is_told(stand_in: ShopStandIn) -> None:
    for key in (stand_in.add_key("write"), stand_in.add_key(is_manager=False)):
        with pytest.raises(RightsError):
            find_endpoint(stand_in.url, ShopKeys(key.consumer_key, key.consumer_secret), pause=0)


def test_orders_come_byte_for_byte_and_those_that_are_gone_are_none(
    stand_in: ShopStandIn, shop: Shop
) -> None:
    assert shop.highest_order_id() == 0
    first, second = stand_in.make_order(), stand_in.make_order()
    assert shop.highest_order_id() == second
    assert shop.order(first) == stand_in.body(first)
    stand_in.delete(first)
    assert shop.order(first) is None
    stand_in.trash(second)
    assert shop.order(second) == stand_in.body(second)


def test_a_status_that_nobody_knows_is_in_no_listing_and_can_be_fetched(
    stand_in: ShopStandIn, shop: Shop
) -> None:
    stand_in.register_status("packed")
    order_id = stand_in.make_order(status="packed")
    assert ids(shop.modified_since(EARLY, LATE)) == [order_id]
    stand_in.unregister_status("packed")
    assert ids(shop.modified_since(EARLY, LATE)) == []
    assert shop.order(order_id) == stand_in.body(order_id)


def ids(pages: Iterator[Any]) -> list[int]:
    return [row.id for page in pages for row in page]


@pytest.mark.parametrize("is_hpos", [True, False])
def test_rows_of_a_listing_tell_what_a_comparison_needs(is_hpos: bool) -> None:
    with ShopStandIn(is_hpos=is_hpos) as stand_in, opened(stand_in) as shop:
        order_id = stand_in.make_order(total="49.99", created=EARLY, number="A-1")
        stand_in.refund(order_id, "10.00")
        stand_in.refund(order_id, "0.50")
        [[row]] = list(shop.created_since(EARLY - SECOND, EARLY + SECOND))
        assert (row.id, row.created, row.status) == (order_id, EARLY, "processing")
        assert (row.total, row.currency, row.refunded, row.number) == ("49.99", "EUR", "10.50", "A-1")
        assert row.modified is not None
        assert abs(row.modified - shop.clock) < timedelta(minutes=10)
        [refunds] = list(shop.refunds_since(EARLY))
        assert sorted((refund.parent_id, refund.amount) for refund in refunds) == [
            (order_id, "0.50"),
            (order_id, "10.00"),
        ]
        assert shop.system_status().is_hpos is is_hpos
        assert shop.system_status().home_url == stand_in.url


def test_bounds_of_listings_are_exclusive(stand_in: ShopStandIn, shop: Shop) -> None:
    made = stand_in.make_orders(5, first=EARLY, every=1)
    assert ids(shop.created_since(EARLY, EARLY + 3 * SECOND)) == list(made[1:3])
    assert ids(shop.modified_since(EARLY, EARLY + 3 * SECOND)) == list(made[1:3])


def test_the_trash_has_a_listing_of_its_own(stand_in: ShopStandIn, shop: Shop) -> None:
    kept, trashed = stand_in.make_order(), stand_in.make_order()
    stand_in.trash(trashed)
    assert ids(shop.trashed()) == [trashed]
    assert ids(shop.modified_since(EARLY, LATE)) == [kept]


@pytest.mark.parametrize("every", [60, 0.2, 0])
@pytest.mark.parametrize("by", ["modified", "created"])
def test_all_orders_are_listed_once_also_many_of_one_second(
    stand_in: ShopStandIn, shop: Shop, every: float, by: str
) -> None:
    made = stand_in.make_orders(350, first=EARLY, every=every)
    list_since = shop.modified_since if by == "modified" else shop.created_since
    assert sorted(ids(list_since(EARLY - SECOND, LATE))) == list(made)


@pytest.mark.parametrize("every", [60, 0])
def test_an_order_that_lies_still_is_listed_once_while_others_drift(
    stand_in: ShopStandIn, shop: Shop, every: float
) -> None:
    made = stand_in.make_orders(400, first=EARLY, every=every)
    stand_in.fault(drift=7)
    listed = [row for page in shop.modified_since(EARLY - SECOND, EARLY + timedelta(days=1)) for row in page]
    assert len(listed) == len({row.id for row in listed})
    still_there = {row_id for row_id in made if stand_in.order(row_id)["date_modified_gmt"] < "2026-03-02T13"}
    assert still_there <= {row.id for row in listed}
    assert len(still_there) < len(made)


@pytest.mark.parametrize(
    ("name", "listing"),
    [
        ("modified_after", "modified"),
        ("modified_before", "modified"),
        ("dates_are_gmt", "modified"),
        ("order", "modified"),
        ("per_page", "modified"),
        ("after", "created"),
        ("before", "created"),
        ("offset", "ties"),
    ],
)
def test_a_shop_that_ignores_what_is_asked_for_is_not_believed(
    stand_in: ShopStandIn, name: str, listing: str
) -> None:
    stand_in.make_orders(150, first=EARLY - timedelta(minutes=50), every=0 if listing == "ties" else 60)
    stand_in.fault(ignores=(name,))
    size = 5 if name == "per_page" else 100
    with opened(stand_in, page_size=size) as shop:
        pages = {
            "created": shop.created_since(EARLY, EARLY + timedelta(minutes=20)),
            "modified": shop.modified_since(EARLY, EARLY + timedelta(minutes=20)),
            "ties": shop.modified_since(EARLY - timedelta(days=1), LATE),
        }[listing]
        with pytest.raises(AnswerError, match="ignores"):
            list(pages)


def test_webhooks_live_as_the_shop_keeps_them(stand_in: ShopStandIn, shop: Shop) -> None:
    with ShopStandIn() as target:  # anything that answers a ping
        made = shop.create_webhook(
            name="Mine", topic="order.updated", delivery_url=f"{target.url}/hook", secret="s3cret"
        )
    assert made.status == "active"
    assert made.modified is not None, "its ping was answered"
    assert stand_in.webhook(made.id).secret == "s3cret"
    dead = shop.create_webhook(name="Dead", topic="order.created", delivery_url=target.url, secret="x")
    assert dead.modified is None
    assert {webhook.id: webhook.name for webhook in shop.webhooks()} == {made.id: "Mine", dead.id: "Dead"}
    changed = shop.update_webhook(made.id, status="paused", secret="other")
    assert (changed.status, stand_in.webhook(made.id).secret) == ("paused", "other")
    shop.delete_webhook(made.id)
    shop.delete_webhook(made.id)
    assert [webhook.id for webhook in shop.webhooks()] == [dead.id]
    with pytest.raises(AnswerError):
        shop.update_webhook(made.id, status="active")
    with pytest.raises(AnswerError):
        shop.create_webhook(name="x", topic="order.updated", delivery_url="nowhere", secret="x")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"answer": "maintenance"}, MaintenanceError),
        ({"answer": "firewall-403"}, FirewallError),
        ({"answer": "firewall-200"}, FirewallError),
        ({"answer": "flood"}, FirewallError),
        ({"answer": "redirect"}, RedirectedError),
        ({"answer": "error"}, AnswerError),
        ({"answer": "busy", "retry_after": 600}, BusyError),
    ],
)
def test_what_comes_between_is_told(
    stand_in: ShopStandIn, shop: Shop, fault: dict[str, Any], kind: type[ShopError]
) -> None:
    order_id = stand_in.make_order()
    stand_in.fault(**fault)
    with pytest.raises(kind):
        shop.order(order_id)
    with pytest.raises(ShopError) as failed:
        find_endpoint(stand_in.url, keys_of(stand_in), pause=0)
    assert isinstance(failed.value, kind | NotAShopError)


def test_a_shop_that_is_down_is_told(stand_in: ShopStandIn, shop: Shop) -> None:
    order_id = stand_in.make_order()
    assert shop.order(order_id) is not None
    with stand_in.down(), pytest.raises(ShopUnreachableError, match="refuses connections"):
        shop.order(order_id)
    assert shop.order(order_id) is not None


def test_a_slow_shop_is_asked_for_fewer_orders_at_a_time(stand_in: ShopStandIn) -> None:
    made = stand_in.make_orders(60, first=EARLY)
    with opened(stand_in, read_timeout=2) as shop:
        stand_in.fault(slow_above=20, slow_for=30)
        assert ids(shop.modified_since(EARLY - SECOND, LATE)) == list(made)
        assert shop.page_size == 20
