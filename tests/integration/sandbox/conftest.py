"""What the tests of the shop's stand-in share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.support.hook_receiver import HookReceiver
from tests.support.shop_stand_in import ShopStandIn


class Client:
    """Asks a stand-in as one would behind a proxy that ends TLS, with the key in a header."""

    def __init__(self, shop: ShopStandIn) -> None:
        self._shop = shop

    def call(self, method: str, route: str, json: Any = None, **query: object) -> requests.Response:
        return requests.request(
            method,
            f"{self._shop.url}/wp-json/wc/v3/{route}",
            params={name: str(value) for name, value in query.items()},
            json=json,
            auth=(self._shop.consumer_key, self._shop.consumer_secret),
            headers={"X-Forwarded-Proto": "https"},
            timeout=30,
            allow_redirects=False,
        )

    def get(self, route: str, **query: object) -> requests.Response:
        return self.call("GET", route, **query)

    def ids(self, **query: object) -> list[int]:
        """The ids of a listing of orders."""
        response = self.get("orders", _fields="id", **query)
        assert response.status_code == 200
        return [row["id"] for row in response.json()]


@pytest.fixture
def shop() -> Iterator[ShopStandIn]:
    with ShopStandIn() as shop:
        yield shop


@pytest.fixture
def client(shop: ShopStandIn) -> Client:
    return Client(shop)


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    with HookReceiver() as receiver:
        yield receiver
