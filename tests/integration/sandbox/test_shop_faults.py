"""The stand-in's faults: what a client gets in place of an answer, and how they are steered from outside."""

from __future__ import annotations

import pytest
import requests

from tests.integration.sandbox.conftest import Client
from tests.support.hook_receiver import HookReceiver
from tests.support.shop_stand_in import ShopStandIn


@pytest.mark.parametrize(
    ("answer", "status", "content_type"),
    [
        ("busy", 429, "text/html; charset=UTF-8"),
        ("maintenance", 503, "text/html; charset=UTF-8"),
        ("firewall-403", 403, "text/html; charset=UTF-8"),
        ("firewall-200", 200, "text/html; charset=UTF-8"),
        ("redirect", 302, "text/html; charset=UTF-8"),
        ("error", 500, "application/json; charset=UTF-8"),
    ],
)
def test_another_answer_comes_as_often_as_it_was_asked_for(
    shop: ShopStandIn, client: Client, answer: str, status: int, content_type: str
) -> None:
    shop.fault(answer=answer, times=2, retry_after=7, location="https://other.example/")
    for _ in range(2):
        response = client.get("orders")
        assert (response.status_code, response.headers["Content-Type"]) == (status, content_type)
        assert response.headers.get("Retry-After") == ("7" if status in {429, 503} else None)
        assert response.headers.get("Location") == ("https://other.example/" if status == 302 else None)
    assert client.get("orders").status_code == 200


def test_a_fault_can_be_of_some_addresses_alone(shop: ShopStandIn, client: Client) -> None:
    shop.fault(answer="flood", where="/webhooks")
    assert len(client.get("webhooks").content) > 10_000_000
    assert client.get("orders").status_code == 200
    shop.mend()
    assert client.get("webhooks").json() == []


def test_a_share_of_the_answers_fails(shop: ShopStandIn, client: Client) -> None:
    shop.fault(answer="maintenance", share=0.5)
    assert {client.get("orders").status_code for _ in range(60)} == {200, 503}


def test_only_large_pages_are_slow(shop: ShopStandIn, client: Client) -> None:
    shop.fault(slow_above=20, slow_for=60)
    assert client.get("orders", per_page=20).status_code == 200
    with pytest.raises(requests.ReadTimeout):
        requests.get(
            f"{shop.url}/wp-json/wc/v3/orders?per_page=21",
            auth=(shop.consumer_key, shop.consumer_secret),
            headers={"X-Forwarded-Proto": "https"},
            timeout=0.5,
        )


def test_it_can_be_off_the_net_for_a_while(shop: ShopStandIn, client: Client) -> None:
    order = shop.make_order()
    with shop.down(), pytest.raises(requests.ConnectionError):
        client.get("orders")
    assert client.ids() == [order]


def test_it_is_steered_from_outside(shop: ShopStandIn, client: Client, receiver: HookReceiver) -> None:
    shop.make_webhook("order.updated", receiver.url())
    control = f"{shop.url}/stand-in"
    made = requests.post(f"{control}/orders", json={"total": "12.00"}, timeout=30)
    order = made.json()["id"]
    assert client.get(f"orders/{order}").json()["total"] == "12.00"
    for action, body in (("status", {"status": "completed"}), ("refund", {"amount": "2.00"}), ("trash", {})):
        acted = requests.post(f"{control}/orders/{order}/{action}", json=body, timeout=30)
        assert acted.status_code == 200
    assert shop.order(order)["status"] == "trash"
    assert requests.put(f"{control}/faults", json={"answer": "busy"}, timeout=30).ok
    assert client.get("orders").status_code == 429
    assert requests.put(f"{control}/faults", json={}, timeout=30).json()["answer"] is None
    assert requests.put(f"{control}/settings", json={"has_permalinks": False}, timeout=30).ok
    assert client.get("orders").headers["Content-Type"].startswith("text/html")
    shop.wait_delivered()
    seen = requests.get(control, timeout=30).json()
    assert (seen["orders"], seen["queued"]) == (1, 0)
    assert [webhook["failure_count"] for webhook in seen["webhooks"]] == [0]
    assert {delivery["order_id"] for delivery in seen["deliveries"]} == {order}


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("PUT", "faults", {"answer": "rain"}, "there is no fault 'rain'"),
        ("PUT", "faults", {"rain": True}, "there is no fault rain"),
        ("POST", "orders", {"total": "much"}, "'much' is no amount of money"),
        ("POST", "orders/1/trash", {}, "Invalid ID."),
        ("POST", "orders/1/eat", {}, "there is no action 'eat'"),
    ],
)
def test_what_it_cannot_be_told_is_answered_with_a_sentence(
    shop: ShopStandIn, method: str, path: str, body: dict[str, object], said: str
) -> None:
    response = requests.request(method, f"{shop.url}/stand-in/{path}", json=body, timeout=30)
    assert 400 <= response.status_code < 500
    assert said in response.json()["error"]
