"""The stand-in's webhooks: what they send and when, how they fail, and what the API tells of that."""

from __future__ import annotations

import json
import threading

import pytest

from bridge.sandbox.shop import Webhook
from tests.integration.sandbox.conftest import Client
from tests.support.hook_receiver import HookReceiver, Received
from tests.support.running import sign
from tests.support.servers import free_port
from tests.support.shop_stand_in import ShopStandIn

SECRET = "s3cr3t"
TOPICS = ("order.created", "order.updated", "order.deleted", "order.restored")


def new_webhook(url: str, topic: str = "order.updated") -> dict[str, str]:
    return {"name": "Bridge", "topic": topic, "delivery_url": url, "secret": SECRET}


@pytest.fixture
def webhook(shop: ShopStandIn, receiver: HookReceiver) -> int:
    return shop.make_webhook("order.updated", receiver.url(), secret=SECRET)


@pytest.fixture
def order(shop: ShopStandIn) -> int:
    """One that nobody was told of."""
    return shop.make_orders(1)[0]


def sent(shop: ShopStandIn, receiver: HookReceiver) -> list[tuple[str, int]]:
    """What has come, as (topic, order), once nothing is queued; and forgets it."""
    shop.wait_delivered()
    come = [(str(one.topic), json.loads(one.body)["id"]) for one in receiver.deliveries]
    receiver.received.clear()
    return come


def test_a_delivery_is_what_the_api_shows_signed(
    shop: ShopStandIn, client: Client, receiver: HookReceiver, webhook: int, order: int
) -> None:
    shop.edit(order)
    shop.wait_delivered()
    (delivery,) = receiver.deliveries
    assert delivery.body == client.get(f"orders/{order}").content
    headers = delivery.headers
    assert headers["X-Wc-Webhook-Signature"] == sign(delivery.body, SECRET)
    assert headers["X-Wc-Webhook-Source"] == f"{shop.url}/"
    assert (headers["X-Wc-Webhook-Resource"], headers["X-Wc-Webhook-Event"]) == ("order", "updated")
    assert headers["X-Wc-Webhook-Id"] == str(webhook)
    assert len(headers["X-Wc-Webhook-Delivery-Id"]) == 32
    assert headers["User-Agent"] == "WooCommerce/11.0.1 Hookshot (WordPress/6.9)"


def test_the_life_of_an_order_as_its_webhooks_tell_it(shop: ShopStandIn, receiver: HookReceiver) -> None:
    for topic in TOPICS:
        shop.make_webhook(topic, receiver.url(), secret=SECRET)
    order = shop.make_order(status="on-hold", payment_method="bacs")
    assert sent(shop, receiver) == [("order.created", order), ("order.updated", order)]
    shop.change_status(order, "processing")
    assert sent(shop, receiver) == [("order.updated", order)]
    refund = shop.refund(order, "1.00")
    assert sent(shop, receiver) == [("order.updated", order)]
    shop.delete_refund(order, refund)
    assert sent(shop, receiver) == []
    shop.trash(order)
    assert sent(shop, receiver) == [("order.deleted", order)]
    shop.untrash(order)
    assert sent(shop, receiver) == [("order.restored", order)]
    shop.trash(order)
    sent(shop, receiver)
    shop.change_status(order, "processing")
    assert sent(shop, receiver) == []
    shop.anonymise(order)
    assert sent(shop, receiver) == [("order.updated", order)]
    shop.delete(order)
    assert sent(shop, receiver) == []


def test_a_draft_becomes_an_order(shop: ShopStandIn, receiver: HookReceiver) -> None:
    for topic in TOPICS:
        shop.make_webhook(topic, receiver.url())
    order = shop.make_order(status="checkout-draft")
    assert sent(shop, receiver) == [("order.updated", order)]
    shop.change_status(order, "processing")
    assert sorted(sent(shop, receiver)) == [("order.created", order), ("order.updated", order)]


def test_a_bulk_edit_tells_of_each_order_in_one_second(
    shop: ShopStandIn, receiver: HookReceiver, webhook: int
) -> None:
    orders = list(shop.make_orders(15))
    shop.bulk_status(orders, "completed")
    assert sent(shop, receiver) == [("order.updated", order) for order in orders]


def test_the_payload_is_read_when_it_is_delivered(
    shop: ShopStandIn, receiver: HookReceiver, webhook: int, order: int
) -> None:
    shop.fault(has_cron=False)
    for status in ("pending", "on-hold", "completed"):
        shop.change_status(order, status)
    gone = shop.make_orders(1)[0]
    shop.edit(gone)
    shop.delete(gone)
    assert receiver.deliveries == []
    shop.fault(has_cron=True)
    shop.wait_delivered()
    last, error = receiver.deliveries
    assert json.loads(last.body)["status"] == "completed"
    assert json.loads(error.body)["code"] == "woocommerce_rest_shop_order_invalid_id"


def test_a_new_webhook_pings_before_it_is_answered(
    shop: ShopStandIn, client: Client, receiver: HookReceiver
) -> None:
    response = client.call("POST", "webhooks", new_webhook(receiver.url()))
    assert response.status_code == 201
    webhook = response.json()
    (ping,) = receiver.pings
    assert ping.body == f"webhook_id={webhook['id']}".encode()
    assert ping.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert webhook["status"] == "active"
    assert webhook["date_modified_gmt"] is not None
    assert "secret" not in webhook
    assert "failure_count" not in webhook


def test_a_ping_that_fails_shows_by_the_date_alone(
    client: Client, receiver: HookReceiver, shop: ShopStandIn, order: int
) -> None:
    receiver.status = 403
    webhook = client.call("POST", "webhooks", new_webhook(receiver.url())).json()
    assert (webhook["status"], webhook["date_modified_gmt"]) == ("active", None)
    shop.edit(order)
    shop.wait_delivered()
    assert client.get(f"webhooks/{webhook['id']}").json()["date_modified_gmt"] is not None
    assert len(receiver.pings) == 2  # each save sends another one until it is answered 200


def test_pings_follow_redirects_and_deliveries_do_not(
    shop: ShopStandIn, receiver: HookReceiver, order: int
) -> None:
    receiver.location = lambda path: "/there" if path == "/here" else None
    webhook = shop.make_webhook("order.updated", receiver.url("here"))
    assert [ping.path for ping in receiver.pings] == ["/here", "/there"]
    shop.edit(order)
    shop.wait_delivered()
    assert [delivery.path for delivery in receiver.deliveries] == ["/here"]
    assert shop.deliveries[-1].status == 302
    assert shop.webhook(webhook).failure_count == 0  # a redirect counts as a success


def test_the_seventh_failure_disables_and_the_count_stays(
    shop: ShopStandIn, receiver: HookReceiver, webhook: int, order: int
) -> None:
    receiver.status = 500
    for failures in range(1, 7):
        shop.edit(order)
        shop.wait_delivered()
        assert state(shop.webhook(webhook)) == ("active", failures)
    shop.edit(order)
    shop.wait_delivered()
    assert state(shop.webhook(webhook)) == ("disabled", 6)
    shop.edit(order)
    shop.wait_delivered()
    assert len(receiver.deliveries) == 7
    shop.change_webhook(webhook, status="active")
    assert state(shop.webhook(webhook)) == ("active", 6)
    shop.edit(order)
    shop.wait_delivered()
    assert state(shop.webhook(webhook)) == ("disabled", 6)
    shop.change_webhook(webhook, status="active")
    receiver.status = 200
    shop.edit(order)
    shop.wait_delivered()
    assert state(shop.webhook(webhook)) == ("active", 0)


def state(webhook: Webhook) -> tuple[str, int]:
    return webhook.status, webhook.failure_count


def test_nobody_at_the_url_is_a_failure(shop: ShopStandIn, order: int) -> None:
    webhook = shop.make_webhook("order.updated", f"http://127.0.0.1:{free_port()}/hook")
    assert shop.pings == [(webhook, 0)]
    shop.edit(order)
    shop.wait_delivered()
    assert (shop.deliveries[-1].status, shop.webhook(webhook).failure_count) == (0, 1)


def test_a_delivery_in_flight_undoes_a_change_of_its_webhook(
    shop: ShopStandIn, client: Client, receiver: HookReceiver, webhook: int, order: int
) -> None:
    has_come, may_answer = threading.Event(), threading.Event()

    def hold(received: Received) -> None:
        if received.topic is not None:
            has_come.set()
            may_answer.wait(30)

    receiver.before_answer = hold
    shop.edit(order)
    assert has_come.wait(30)
    changed = client.call(
        "PUT", f"webhooks/{webhook}", {"name": "New", "secret": "other", "status": "paused"}
    )
    assert changed.json()["name"] == "New"
    may_answer.set()
    shop.wait_delivered()
    undone = shop.webhook(webhook)
    assert (undone.name, undone.secret, undone.status) == ("Webhook", SECRET, "active")


def test_only_a_new_url_pings_again(client: Client, receiver: HookReceiver, webhook: int) -> None:
    receiver.received.clear()
    client.call("PUT", f"webhooks/{webhook}", {"status": "disabled"})
    client.call("PUT", f"webhooks/{webhook}", {"status": "active", "secret": "another"})
    assert receiver.pings == []
    client.call("PUT", f"webhooks/{webhook}", {"delivery_url": receiver.url("elsewhere")})
    assert [ping.path for ping in receiver.pings] == ["/elsewhere"]


def test_what_is_swallowed_counts_as_attempted(
    shop: ShopStandIn, client: Client, receiver: HookReceiver, webhook: int, order: int
) -> None:
    before = client.get(f"webhooks/{webhook}").json()["date_modified_gmt"]
    shop.skew += 60
    shop.fault(swallows=True)
    shop.edit(order)
    shop.wait_delivered()
    assert receiver.deliveries == []
    assert client.get(f"webhooks/{webhook}").json()["date_modified_gmt"] > before
    assert state(shop.webhook(webhook)) == ("active", 0)


def test_what_happens_while_it_is_paused_is_lost(
    shop: ShopStandIn, receiver: HookReceiver, webhook: int, order: int
) -> None:
    shop.change_webhook(webhook, status="paused")
    shop.edit(order)
    shop.change_webhook(webhook, status="active")
    assert sent(shop, receiver) == []
    with shop.silence():
        shop.edit(order)
    assert sent(shop, receiver) == []


def test_what_was_queued_before_it_was_disabled_is_delivered(
    shop: ShopStandIn, receiver: HookReceiver, webhook: int, order: int
) -> None:
    shop.fault(has_cron=False)
    shop.edit(order)
    shop.change_webhook(webhook, status="disabled")
    shop.mend()
    assert sent(shop, receiver) == [("order.updated", order)]


def test_without_rights_the_body_is_an_error(
    shop: ShopStandIn, receiver: HookReceiver, webhook: int, order: int
) -> None:
    shop.fault(lost_rights=True)
    shop.edit(order)
    shop.wait_delivered()
    assert json.loads(receiver.deliveries[0].body)["data"]["status"] == 403


def test_they_are_listed_in_pages_and_offset_is_ignored(shop: ShopStandIn, client: Client) -> None:
    url = f"http://127.0.0.1:{free_port()}/hook"
    ids = [shop.make_webhook("order.updated", url) for _ in range(3)]
    shop.change_webhook(ids[0], status="paused")
    response = client.get("webhooks", status="all", per_page=2, page=2, order="asc", offset=0)
    assert [row["id"] for row in response.json()] == ids[2:]
    assert response.headers["X-WP-Total"] == "3"
    assert [row["id"] for row in client.get("webhooks", status="paused").json()] == ids[:1]


def test_deleting_needs_force(shop: ShopStandIn, client: Client, webhook: int) -> None:
    refused = client.call("DELETE", f"webhooks/{webhook}")
    assert (refused.status_code, refused.json()["code"]) == (501, "woocommerce_rest_trash_not_supported")
    assert client.call("DELETE", f"webhooks/{webhook}", force="true").status_code == 200
    assert shop.webhooks() == []
    for method in ("GET", "DELETE"):
        assert client.call(method, f"webhooks/{webhook}", force="true").status_code == 404
    assert client.call("PUT", f"webhooks/{webhook}", {}).status_code == 400


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "rest_missing_callback_param"),
        (new_webhook("ftp://shop.example/"), "woocommerce_rest_shop_webhook_invalid_delivery_url"),
        (new_webhook("/hook"), "woocommerce_rest_shop_webhook_invalid_delivery_url"),
        (new_webhook("http://a.example", "order.paid"), "woocommerce_rest_shop_webhook_invalid_topic"),
        ({**new_webhook("http://a.example"), "status": "on"}, "rest_invalid_param"),
    ],
)
def test_what_makes_no_webhook_is_a_400(client: Client, body: dict[str, str], code: str) -> None:
    response = client.call("POST", "webhooks", body)
    assert (response.status_code, response.json()["code"]) == (400, code)
