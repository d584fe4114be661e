"""Whose order a delivery is about, as it is processed: other sites, changed keys, what is not read."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from bridge.admin import operate
from bridge.db import tables
from bridge.ledger import deliveries, orders, stores
from bridge.ledger.deliveries import Delivery
from bridge.ledger.orders import KnownOrder
from bridge.pipeline.process import process_deliveries
from tests.support.shop import Shop, at, maintain, record_bytes


def of_site(site: str, second: int = 1, **fields: Any) -> dict[str, Any]:
    """A paid order of the site, as of a second."""
    links = {"self": [{"href": f"https://{site}/wp-json/wc/v3/orders/1"}]}
    return at(second, **{"status": "processing", "_links": links, **fields})


def set_addresses(shop: Shop, *shop_urls: str) -> None:
    with shop.context.ledger.write() as connection:
        store = stores.get(connection, shop.store_id)
        options = replace(store.options, shop_urls=shop_urls)
        stores.set_options(connection, store, options, shop.clock.now())


def delivery(shop: Shop, delivery_id: int) -> Delivery:
    with shop.context.ledger.read() as connection:
        found = deliveries.get(connection, delivery_id)
    assert found is not None
    return found


def known(shop: Shop, resource_id: int = 1) -> list[KnownOrder]:
    with shop.context.ledger.read() as connection:
        return list(orders.of_resource(connection, shop.store_id, resource_id))


def deletion_from(shop: Shop, site: str) -> int:
    """Receive the deletion of the order 1 from a site, where no address is known yet; its id."""
    with shop.context.ledger.write() as connection:
        return record_bytes(
            connection,
            shop.store_id,
            b'{"id":1}',
            "order.deleted",
            f"https://{site}/",
            now=shop.clock.now(),
        )


def stories(shop: Shop, *delivery_ids: int) -> list[tuple[str, str | None]]:
    found = [delivery(shop, one) for one in delivery_ids]
    return [(one.state, one.reason) for one in found]


# The shop's address.


def test_the_first_order_tells_where_its_shop_is(shop: Shop) -> None:
    shop.process(shop.receive(of_site("www.Shop.example")))
    assert list(shop.store().options.shop_urls) == ["shop.example"]


def test_an_order_without_links_tells_nothing_and_is_processed(shop: Shop) -> None:
    assert shop.process(shop.receive(at(1, status="processing", _links={})))
    assert list(shop.store().options.shop_urls) == []
    shop.process(shop.receive(of_site("shop.example", 2)))
    assert shop.process(shop.receive(at(3, status="processing", _links={})))
    assert list(shop.store().options.shop_urls) == ["shop.example"]


def test_a_store_that_has_orders_takes_its_address_from_the_first_of_them(shop: Shop) -> None:
    """As at the upgrade: a copy of the shop that comes first by chance does not become the shop."""
    shop.process(shop.receive(of_site("shop.example")))
    with shop.context.ledger.write() as connection:
        connection.execute(update(tables.stores).values(shop_urls=None))
    of_copy = shop.receive(of_site("copy.example", 2, id=2, order_key="k2"))
    shop.process(of_copy)
    assert list(shop.store().options.shop_urls) == ["shop.example"]
    assert stories(shop, of_copy) == [
        ("quarantined", "it comes from copy.example, and the store's shop is shop.example")
    ]


def test_a_copys_order_that_was_taken_in_before_the_address_was_known_changes_nothing(shop: Shop) -> None:
    of_shop, of_copy = of_site("shop.example", status="on-hold"), of_site("copy.example", 2)
    shop.process(shop.receive(of_shop))
    taken = shop.receive(of_copy)  # `receive` knows of no address, as a receiver that read the store before
    assert shop.process(taken)  # the invoice of before
    assert delivery(shop, taken).state == "quarantined"
    assert shop.order().delivery_id != taken


def test_what_is_quarantined_makes_no_order(shop: Shop) -> None:
    set_addresses(shop, "shop.example")
    assert shop.process(shop.receive(of_site("copy.example"))) == []
    assert known(shop) == []


def test_of_deliveries_processed_together_each_counts_by_its_own_address(shop: Shop) -> None:
    set_addresses(shop, "shop.example")
    sites = ["copy.example", "shop.example"] * 2
    ids = [shop.receive(of_site(one, id=n, order_key=f"k{n}")) for n, one in enumerate(sites, 1)]
    work = process_deliveries(shop.context, ids)
    assert [state for state, _ in stories(shop, *ids)] == ["quarantined", "processed"] * 2
    assert list(work.due_stores) == [shop.store_id]


def test_another_sites_deletion_of_the_same_id_deletes_nothing(shop: Shop) -> None:
    shop.process(shop.receive(of_site("shop.example")))
    foreign = deletion_from(shop, "shop.example/2")
    shop.process(foreign)
    assert delivery(shop, foreign).state == "quarantined"
    assert shop.order().deleted_at is None


@pytest.mark.parametrize("together", [True, False])
def test_the_address_that_the_first_order_tells_counts_for_a_deletion_that_came_after_it(
    shop: Shop, together: bool
) -> None:
    ids = [shop.receive(of_site("shop.example")), deletion_from(shop, "shop.example/2")]
    for part in [ids] if together else [[one] for one in ids]:
        process_deliveries(shop.context, part)
        assert list(shop.context.recent_store(shop.store_id).options.shop_urls) == ["shop.example"]
    assert [state for state, _ in stories(shop, *ids)] == ["processed", "quarantined"]
    assert (shop.order().deleted_at, shop.order().decision) == (None, "invoice")


def test_a_deletion_of_the_shops_own_that_waits_has_its_order_issued_no_more(shop: Shop) -> None:
    ids = [shop.receive(of_site("shop.example")), deletion_from(shop, "shop.example")]
    assert shop.process(ids[0]) == []
    assert shop.order().decision == "skip"
    shop.process(ids[1])
    assert [state for state, _ in stories(shop, *ids)] == ["processed"] * 2
    assert (shop.order().decision, shop.order().deleted_arrival) == ("skip", ids[1])


def test_another_sites_deletion_that_waits_is_not_processed_with_the_order(shop: Shop) -> None:
    shop.process(shop.receive(at(1, status="processing")))
    foreign = deletion_from(shop, "shop.example/2")
    set_addresses(shop, "shop.example")
    shop.process(shop.receive(of_site("shop.example", 1, total="1.00")))
    assert delivery(shop, foreign).state == "quarantined"
    assert (shop.order().deleted_at, shop.order().decision) == (None, "invoice")


def test_what_was_quarantined_is_processed_when_its_address_is_allowed(shop: Shop) -> None:
    set_addresses(shop, "old.example")
    moved, of_copy = shop.receive(of_site("new.example")), shop.receive(of_site("copy.example", 2))
    shop.process(moved, of_copy)
    set_addresses(shop, "old.example", "new.example")
    assert maintain(shop.context).deliveries == []  # released in it, and dated by the clock of a moment ago
    shop.clock.advance(seconds=5)
    assert list(maintain(shop.context).deliveries) == [moved]
    assert stories(shop, moved) == [("received", None)]
    assert shop.process(moved)
    assert delivery(shop, of_copy).state == "quarantined"


def test_a_sweep_releases_nothing_of_other_addresses_or_stores(shop: Shop) -> None:
    set_addresses(shop, "shop.example")
    of_copy = shop.receive(of_site("copy.example"))
    shop.process(of_copy)
    shop.clock.advance(seconds=5)
    assert list(maintain(shop.context).deliveries) == []
    assert delivery(shop, of_copy).state == "quarantined"


# Keys.


def test_the_same_id_of_the_same_moment_is_the_same_order_with_another_key(shop: Shop) -> None:
    (invoice,) = shop.process(shop.receive(of_site("shop.example", order_key="wc_order_long")))
    assert shop.process(shop.receive(of_site("shop.example", 2, order_key="wc_order"))) == [invoice]
    (order,) = known(shop)
    assert (order.order_key, order.former_key) == ("wc_order_long", "wc_order_long")
    assert order.decision == "invoice"
    shop.process(shop.receive(of_site("shop.example", 3, order_key="wc_order", status="pending")))
    (order,) = known(shop)
    assert order.decision == "attention"
    assert "changed the order's key" in (order.reason or "")


def test_the_same_id_of_another_moment_is_another_order(shop: Shop) -> None:
    """The shop was installed again, and begins its ids again."""
    shop.process(shop.receive(of_site("shop.example", order_key="a")))
    again: dict[str, Any] = {"date_created_gmt": "2026-11-23T12:00:00", "date_created": "2026-11-23T13:00:00"}
    assert len(shop.process(shop.receive(of_site("shop.example", 2, order_key="b", **again)))) == 2
    assert [(one.order_key, one.former_key) for one in known(shop)] == [("a", None), ("b", None)]


@pytest.mark.parametrize(
    "undated",
    [
        {"date_created_gmt": None, "date_created": None},
        # The shop's own time, which is none of UTC's
        {"date_created_gmt": None, "date_created": "2026-11-23T11:49:26"},
    ],
)
def test_no_order_is_taken_for_another_by_a_moment_that_cannot_be_compared(
    shop: Shop, undated: dict[str, Any]
) -> None:
    shop.process(shop.receive(of_site("shop.example", order_key="a", **undated)))
    shop.process(shop.receive(of_site("shop.example", 2, order_key="b")))
    shop.process(shop.receive(of_site("shop.example", 3, order_key="c", **undated)))
    assert len(known(shop)) == (3 if undated["date_created"] is None else 2)


def test_of_several_orders_of_an_id_the_one_of_the_same_moment_has_changed_its_key(shop: Shop) -> None:
    older: dict[str, Any] = {"date_created_gmt": "2020-01-01T00:00:00", "date_created": "2020-01-01T01:00:00"}
    shop.process(shop.receive(of_site("shop.example", order_key="a", **older)))
    shop.process(shop.receive(of_site("shop.example", 2, order_key="b")))
    shop.process(shop.receive(of_site("shop.example", 3, order_key="c", **older)))
    assert [(one.order_key, one.former_key) for one in known(shop)] == [("a", "a"), ("b", None)]


def test_of_several_orders_of_the_same_moment_the_youngest_has_changed_its_key(shop: Shop) -> None:
    undated: dict[str, Any] = {"date_created_gmt": None, "date_created": None}
    shop.process(shop.receive(of_site("shop.example", order_key="a")))
    shop.process(shop.receive(of_site("shop.example", 2, order_key="b", **undated)))
    for second, order_key in ((3, "b"), (4, "c")):
        shop.process(shop.receive(of_site("shop.example", second, order_key=order_key)))
    assert [(one.order_key, one.former_key) for one in known(shop)] == [("a", None), ("b", "b")]


def test_an_order_whose_moment_an_older_version_did_not_keep_is_asked_of_its_delivery(shop: Shop) -> None:
    shop.process(shop.receive(of_site("shop.example", order_key="a")))
    with shop.context.ledger.write() as connection:
        connection.execute(update(tables.orders).values(details=None))
    shop.process(shop.receive(of_site("shop.example", 2, order_key="b")))
    assert [one.former_key for one in known(shop)] == ["a"]


# What cannot be read.


def test_an_order_that_cannot_be_read_waits_until_it_is_sent_as_one(shop: Shop) -> None:
    waiting = shop.receive(of_site("shop.example", total="12,50"))
    other = shop.receive(of_site("shop.example", 1, total="12,50", id=2))
    assert [state for state, _ in stories(shop, waiting, other)] == ["unreadable"] * 2
    assert shop.process(shop.receive(of_site("shop.example", 2, total="12.50")))
    assert stories(shop, waiting) == [("ignored", "the shop has sent the order again since")]
    assert delivery(shop, other).state == "unreadable"


def test_an_older_order_that_is_read_later_supersedes_nothing(shop: Shop) -> None:
    readable = shop.receive(of_site("shop.example"))
    waiting = shop.receive(of_site("shop.example", 2, total="12,50"))
    shop.process(readable)
    assert delivery(shop, waiting).state == "unreadable"


def test_another_sites_order_of_the_id_supersedes_nothing(shop: Shop) -> None:
    set_addresses(shop, "shop.example")
    waiting = shop.receive(of_site("shop.example", total="12,50"))
    shop.process(shop.receive(of_site("copy.example", 2)))
    assert delivery(shop, waiting).state == "unreadable"


def test_what_cannot_be_read_is_replayed_and_stays_so_until_a_version_can(shop: Shop) -> None:
    waiting = shop.receive(of_site("shop.example", total="12,50"))
    report = operate.replay(shop.context.ledger, waiting, who="ana", now=shop.clock.now())
    assert report.has_changed
    shop.process(waiting)
    ((state, reason),) = stories(shop, waiting)
    assert (state, reason) == ("unreadable", "it looks like an order, and cannot be read: total '12,50'")
    with shop.context.ledger.write() as connection:
        body = deliveries.compressed(json.dumps(of_site("shop.example")).encode())
        connection.execute(update(tables.deliveries).values(reason=None, body=body))
    operate.replay(shop.context.ledger, waiting, who="ana", now=shop.clock.now())
    assert shop.process(waiting)


def test_what_is_quarantined_is_not_replayed_past_its_address(shop: Shop) -> None:
    set_addresses(shop, "shop.example")
    of_copy = shop.receive(of_site("copy.example"))
    shop.process(of_copy)
    report = operate.replay(shop.context.ledger, of_copy, who="ana", now=shop.clock.now())
    assert not report.is_fulfilled
    assert "cannot be replayed: it is quarantined (it comes from copy.example" in report.message
    assert delivery(shop, of_copy).state == "quarantined"


def test_what_waits_for_a_person_can_be_ignored_and_that_is_kept(shop: Shop) -> None:
    set_addresses(shop, "shop.example")
    of_copy, waiting = shop.receive(of_site("copy.example")), shop.receive(of_site("shop.example", total=""))
    shop.process(of_copy)
    for one, was in ((of_copy, "quarantined"), (waiting, "unreadable")):
        report = operate.ignore(shop.context.ledger, one, who="ana", now=shop.clock.now())
        assert (report.is_fulfilled, report.has_changed) == (True, True)
        ((state, reason),) = stories(shop, one)
        assert state == "ignored"
        assert (reason or "").startswith(f"ignored by ana; was {was}: it ")
        again = operate.ignore(shop.context.ledger, one, who="ana", now=shop.clock.now())
        assert (again.is_fulfilled, again.has_changed) == (True, False)
    set_addresses(shop, "shop.example", "copy.example")
    maintain(shop.context)
    assert delivery(shop, of_copy).state == "ignored"


def test_what_waits_for_nobody_is_not_ignored(shop: Shop) -> None:
    done, received = shop.receive(of_site("shop.example")), shop.receive(of_site("shop.example", 2))
    shop.process(done)
    for one, state in ((done, "processed"), (received, "received")):
        report = operate.ignore(shop.context.ledger, one, who="ana", now=shop.clock.now())
        assert (report.is_fulfilled, report.has_changed) == (False, False)
        assert report.message == f"Delivery {one} is {state}: nothing is changed."
        assert delivery(shop, one).state == state
    report = operate.ignore(shop.context.ledger, 99, who="ana", now=shop.clock.now())
    assert not report.is_fulfilled
    assert "there is none of this id" in report.message
