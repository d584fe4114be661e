"""The stand-in's orders: what a listing shows, what it hides, and what moves an order's date."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest
import requests

from tests.integration.sandbox.conftest import Client
from tests.support.shop_stand_in import ShopStandIn

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def later(shop: ShopStandIn, seconds: float = 10) -> None:
    shop.skew += seconds


def modified(shop: ShopStandIn, order: int) -> str:
    return str(shop.order(order)["date_modified_gmt"])


def test_bounds_are_exclusive_and_local_unless_the_query_says_otherwise(
    shop: ShopStandIn, client: Client
) -> None:
    first, second, third = shop.make_orders(3, first=NOON, every=1)
    query = {"orderby": "modified", "order": "asc"}
    assert client.ids(modified_after="2026-07-01T12:00:00", dates_are_gmt="true", **query) == [second, third]
    assert client.ids(modified_after="2026-07-01T12:00:00Z", **query) == [second, third]
    assert client.ids(modified_after="2026-07-01T14:00:00", **query) == [second, third]  # summer in Ljubljana
    assert client.ids(modified_after="2026-07-01T12:00:00", **query) == [first, second, third]
    assert client.ids(after="2026-07-01T12:00:00Z", before="2026-07-01T12:00:02Z", order="asc") == [second]


def test_orders_of_one_second_are_listed_by_id(shop: ShopStandIn, client: Client) -> None:
    orders = list(shop.make_orders(5, first=NOON, every=0))
    assert client.ids(orderby="modified", order="asc") == orders
    assert client.ids(orderby="id", order="desc") == orders[::-1]


def test_any_hides_the_trash_drafts_and_what_no_plugin_registers(shop: ShopStandIn, client: Client) -> None:
    seen, trashed, draft, foreign = shop.make_orders(4)
    shop.trash(trashed)
    shop.change_status(draft, "checkout-draft")
    shop.register_status("packed")
    shop.change_status(foreign, "packed")
    assert set(client.ids()) == {seen, foreign}
    shop.unregister_status("packed")
    assert client.ids() == [seen]
    assert client.ids(status="any,trash") == [seen]
    assert client.ids(status="trash") == [trashed]
    assert client.ids(status="checkout-draft") == [draft]
    assert client.ids(include=f"{seen},{foreign}") == [seen]
    assert client.get("orders", status="packed").status_code == 400
    assert client.get(f"orders/{foreign}").json()["status"] == "packed"


def test_a_mistyped_name_is_ignored_and_a_bad_value_is_not(shop: ShopStandIn, client: Client) -> None:
    shop.make_orders(3)
    assert len(client.ids(modifed_after="2099-01-01T00:00:00Z")) == 3
    for query in ({"per_page": 101}, {"per_page": 0}, {"modified_after": "yesterday"}, {"orderby": "name"}):
        response = client.call("GET", "orders", None, **query)
        assert response.status_code == 400
        assert response.json()["code"] == "rest_invalid_param"
        assert list(response.json()["data"]["params"]) == list(query)


def test_pages_have_their_numbers_in_headers(shop: ShopStandIn, client: Client) -> None:
    orders = list(shop.make_orders(25))
    response = client.get("orders", page=2, order="asc", orderby="id", _fields="id,refunds")
    assert response.json() == [{"id": order, "refunds": []} for order in orders[10:20]]
    assert response.headers["X-WP-Total"] == "25"
    assert response.headers["X-WP-TotalPages"] == "3"
    assert 'rel="prev"' in response.headers["Link"]
    assert "page=3" in response.headers["Link"]
    assert client.ids(offset=20, order="asc", orderby="id") == orders[20:]
    assert client.ids(page=4) == []


def test_pages_drift_while_orders_change(shop: ShopStandIn, client: Client) -> None:
    orders = list(shop.make_orders(6))
    shop.fault(drift=1)
    pages = [client.ids(orderby="modified", order="asc", per_page=2, page=page) for page in (1, 2, 3)]
    assert pages != [orders[0:2], orders[2:4], orders[4:6]]
    assert {order for page in pages for order in page} != set(orders)


def test_an_older_shop_knows_fewer_parameters(shop: ShopStandIn, client: Client) -> None:
    shop.make_orders(2)
    shop.fault(ignores=["modified_after"])
    assert len(client.ids(modified_after="2099-01-01T00:00:00Z")) == 2


def test_a_body_is_written_as_php_does(shop: ShopStandIn, client: Client) -> None:
    order = shop.make_order()
    body = client.get(f"orders/{order}").content
    assert body == shop.body(order)
    assert body.isascii()
    assert b'"first_name":"Ana","last_name":"Kova\\u010d"' in body
    assert f'"{shop.url}/wp-json/wc/v3/orders/{order}"'.replace("/", "\\/").encode() in body
    shop.set_up(has_permalinks=False)
    assert shop.order(order)["_links"]["self"][0]["href"] == (
        f"{shop.url}/index.php?rest_route=/wc/v3/orders/{order}"
    )


def test_a_refund_moves_the_date_and_its_deletion_does_not(shop: ShopStandIn, client: Client) -> None:
    order = shop.make_order(total="50.00")
    before = modified(shop, order)
    later(shop)
    refund = shop.refund(order, "10.00", "too late")
    after = modified(shop, order)
    assert after > before
    assert shop.order(order)["refunds"] == [{"id": refund, "reason": "too late", "total": "-10.00"}]
    listed = client.get("refunds", after=before + "Z").json()
    assert [(row["id"], row["parent_id"], row["amount"]) for row in listed] == [(refund, order, "10.00")]
    assert client.get("refunds", modified_after=listed[0]["date_created_gmt"] + "Z").json() == []
    later(shop)
    shop.delete_refund(order, refund)
    assert modified(shop, order) == after
    assert client.get(f"orders/{order}/refunds").json() == []
    shop.refund(order)
    assert shop.order(order)["status"] == "refunded"


def test_an_order_deleted_for_good_is_not_found(shop: ShopStandIn, client: Client) -> None:
    order = shop.make_order()
    assert client.call("DELETE", f"orders/{order}").json()["status"] == "trash"
    assert client.call("DELETE", f"orders/{order}").status_code == 410
    assert client.call("DELETE", f"orders/{order}", force="true").status_code == 200
    response = client.get(f"orders/{order}")
    assert response.status_code == 404
    assert response.json()["code"] == "woocommerce_rest_shop_order_invalid_id"
    assert client.call("PUT", f"orders/{order}", {}).status_code == 400


def test_writing_metadata_keeps_the_total_and_moves_the_date(shop: ShopStandIn, client: Client) -> None:
    order = shop.make_order()
    before = shop.order(order)
    later(shop)
    meta = {"meta_data": [{"key": "_invoice", "value": "INV-1"}]}
    written = client.call("PUT", f"orders/{order}", meta).json()
    assert [(entry["key"], entry["value"]) for entry in written["meta_data"]] == [("_invoice", "INV-1")]
    assert written["total"] == before["total"]
    assert written["date_modified_gmt"] > before["date_modified_gmt"]
    again = {"meta_data": [{"key": "_invoice", "value": "INV-2"}]}
    assert len(client.call("PUT", f"orders/{order}", again).json()["meta_data"]) == 1


def test_parts_of_an_address_are_written_into_it(shop: ShopStandIn) -> None:
    order = shop.make_order(billing={"city": "Celje"}, customer_note="Ring twice.")
    shop.edit(order, billing={"company": "Bled d.o.o."}, total="12.50")
    body = shop.order(order)
    billing = body["billing"]
    assert (billing["first_name"], billing["city"], billing["company"]) == ("Ana", "Celje", "Bled d.o.o.")
    assert (body["total"], body["customer_note"]) == ("12.50", "Ring twice.")


def test_a_posts_store_dates_only_what_changes_the_status() -> None:
    with ShopStandIn(is_hpos=False) as shop:
        order = shop.make_order()
        before = modified(shop, order)
        later(shop)
        shop.edit(order, billing={"city": "Maribor"})
        assert shop.order(order)["billing"]["city"] == "Maribor"
        assert modified(shop, order) == before
        shop.change_status(order, "completed")
        assert modified(shop, order) > before


def test_a_posts_store_mixes_the_hours_of_the_night_when_clocks_are_put_back() -> None:
    with ShopStandIn(is_hpos=False) as shop:
        half_past_two = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # and again an hour later
        orders = list(shop.make_orders(4, first=half_past_two, every=1200))
        listed = Client(shop).ids(orderby="modified", order="asc")
        assert listed != orders
        assert sorted(listed) == orders


def test_notes_are_kept_and_move_nothing(shop: ShopStandIn, client: Client) -> None:
    order = shop.make_order()
    before = modified(shop, order)
    later(shop)
    assert client.call("POST", f"orders/{order}/notes", {"note": "Invoiced."}).status_code == 201
    assert [note["note"] for note in client.get(f"orders/{order}/notes").json()] == ["Invoiced."]
    assert shop.notes(order) == ["Invoiced."]
    assert modified(shop, order) == before


def test_an_anonymised_order_keeps_status_and_total(shop: ShopStandIn) -> None:
    order = shop.make_order(status="completed")
    before = shop.order(order)
    shop.anonymise(order)
    after = shop.order(order)
    assert after["billing"]["last_name"] == "[deleted]"
    assert after["billing"]["email"] == "deleted@site.invalid"
    assert [(entry["key"], entry["value"]) for entry in after["meta_data"]] == [("_anonymized", "yes")]
    assert (after["status"], after["total"]) == (before["status"], before["total"])


def test_the_status_of_the_system_comes_by_fields(shop: ShopStandIn, client: Client) -> None:
    fields = "environment.version,settings.HPOS_enabled"
    assert client.get("system_status", _fields=fields).json() == {
        "environment": {"version": "11.0.1"},
        "settings": {"HPOS_enabled": True},
    }


def test_its_clock_can_differ(shop: ShopStandIn, client: Client) -> None:
    shop.skew = 600
    date = client.get("orders").headers["Date"]
    told = datetime.strptime(date, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC).timestamp()
    assert told > time.time() + 500


@pytest.mark.parametrize("orderby", ["modified", "date", "id"])
def test_every_order_of_a_large_shop_is_listed_once(orderby: str) -> None:
    with ShopStandIn() as shop:
        orders = list(shop.make_orders(2_000, every=300))
        client = Client(shop)
        listed = [
            order
            for page in range(1, 21)
            for order in client.ids(orderby=orderby, order="asc", per_page=100, page=page)
        ]
        assert listed == orders


def test_what_is_no_json_is_refused(shop: ShopStandIn, client: Client) -> None:
    order = shop.make_order()
    response = requests.put(
        f"{shop.url}/wp-json/wc/v3/orders/{order}",
        data="{",
        headers={"X-Forwarded-Proto": "https", "Content-Type": "application/json"},
        auth=(shop.consumer_key, shop.consumer_secret),
        timeout=30,
    )
    assert (response.status_code, json.loads(response.text)["code"]) == (400, "rest_invalid_json")
