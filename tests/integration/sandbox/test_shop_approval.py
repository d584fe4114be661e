"""The stand-in's approval of keys: what the page asks, and what the callback is sent."""

from __future__ import annotations

import html
import json
import re

import pytest
import requests

from tests.support.hook_receiver import HookReceiver
from tests.support.shop_stand_in import ShopStandIn

RETURN = "https://bridge.example/back?from=shop"


def page_of(shop: ShopStandIn, **changes: str) -> requests.Response:
    query = {
        "app_name": "Bridge <b>",
        "scope": "read_write",
        "user_id": "a-state",
        "return_url": RETURN,
        **changes,
    }
    return requests.get(f"{shop.url}/wc-auth/v1/authorize", params=query, timeout=30)


def approve(page: requests.Response) -> requests.Response:
    link = re.search(r'class="wc-auth-approve" href="([^"]+)"', page.text)
    assert link is not None
    return requests.get(html.unescape(link[1]), timeout=30, allow_redirects=False)


def test_an_approved_key_is_sent_to_the_callback_and_works(shop: ShopStandIn, receiver: HookReceiver) -> None:
    page = page_of(shop, callback_url=receiver.url("callback"))
    assert page.status_code == 200
    assert "<b>" not in page.text
    answer = approve(page)
    (received,) = receiver.received
    sent = json.loads(received.body)
    assert received.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert (sent["user_id"], sent["key_permissions"]) == ("a-state", "read_write")
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"{RETURN}&success=1&user_id=a-state"
    listed = requests.get(
        f"{shop.url}/wp-json/wc/v3/orders",
        auth=(sent["consumer_key"], sent["consumer_secret"]),
        headers={"X-Forwarded-Proto": "https"},
        timeout=30,
    )
    assert listed.status_code == 200


@pytest.mark.parametrize("status", [201, 204, 400, 500])
def test_a_callback_that_is_not_answered_200_leaves_no_key(
    shop: ShopStandIn, receiver: HookReceiver, status: int
) -> None:
    receiver.status = status
    answer = approve(page_of(shop, callback_url=receiver.url("callback")))
    assert answer.status_code == 401
    assert shop.shop.keys.all() == [shop.key]


def test_redirects_are_followed_with_the_keys(shop: ShopStandIn, receiver: HookReceiver) -> None:
    receiver.location = lambda path: "/there" if path == "/here" else None
    assert approve(page_of(shop, callback_url=receiver.url("here"))).status_code == 302
    first, second = receiver.received
    assert (first.path, second.path) == ("/here", "/there")
    assert first.body == second.body


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"callback_url": "http://bridge.example/"}, "over SSL"),
        ({"callback_url": "bridge.example"}, "not a valid URL"),
        ({"callback_url": ""}, "Missing parameter callback_url"),
        ({"callback_url": "https://bridge.example/", "scope": "all"}, "Invalid scope"),
    ],
)
def test_a_bad_link_shows_an_error(changes: dict[str, str], said: str) -> None:
    with ShopStandIn(takes_http_callbacks=False) as shop:
        page = page_of(shop, **changes)
        assert (page.status_code, said in page.text) == (401, True)
