"""The stand-in's logins, on http, on https that it knows of, and on https that it does not know of."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from bridge.shop.signature import encoded, signed
from tests.support.misbehaving import make_certificate
from tests.support.shop_stand_in import ShopStandIn

DENIED = "woocommerce_rest_cannot_view"
WRONG = "woocommerce_rest_authentication_error"
MISSING = "woocommerce_rest_authentication_missing_parameter"
_nonces = itertools.count()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


def ask(
    shop: ShopStandIn,
    login: str,
    *,
    method: str = "GET",
    key: str | None = None,
    secret: str | None = None,
    path: str = "/wp-json/wc/v3/orders",
    query: dict[str, str] | None = None,
    scheme: str | None = None,
    timestamp: int | None = None,
    **options: Any,
) -> str | int:
    """200, or the code of the refusal."""
    key, secret = key or shop.consumer_key, secret or shop.consumer_secret
    query = query or {}
    address = shop.url + path
    if login == "basic":
        options["auth"] = (key, secret)
    elif login == "query":
        query = {**query, "consumer_key": key, "consumer_secret": secret}
    elif login == "oauth":
        signed_address = address if scheme is None else f"{scheme}://{address.partition('://')[2]}"
        query = signed(
            method,
            signed_address,
            query,
            key=key,
            secret=secret,
            timestamp=timestamp or int(time.time()),
            nonce=str(next(_nonces)),
        )
    if query:
        address = f"{address}?{encoded(query)}"
    response = requests.request(method, address, timeout=30, **options)
    return 200 if response.ok else str(response.json()["code"])


def test_plain_http_takes_a_signature_alone() -> None:
    with ShopStandIn() as shop:
        assert ask(shop, "none") == DENIED
        assert ask(shop, "basic") == DENIED
        assert ask(shop, "query") == DENIED
        assert ask(shop, "oauth", query={"per_page": "1", "search": "a b~c/d+š"}) == 200
        assert ask(shop, "oauth", scheme="https") == WRONG


@pytest.mark.parametrize("how", ["certificate", "proxy"])
def test_https_that_it_knows_of_takes_all_three(how: str, certificate: Path) -> None:
    with ShopStandIn(tls=certificate if how == "certificate" else None) as shop:
        options: dict[str, Any] = {"verify": str(certificate)}
        if how == "proxy":
            options = {"headers": {"X-Forwarded-Proto": "https"}}
        for login in ("basic", "query"):
            assert ask(shop, login, **options) == 200
        assert ask(shop, "oauth", scheme="https", **options) == 200
        assert ask(shop, "oauth", scheme="http", **options) == WRONG
        assert ask(shop, "basic", secret="cs_wrong", **options) == WRONG
        assert ask(shop, "basic", key="ck_wrong", **options) == DENIED


def test_https_that_it_does_not_know_of_takes_what_is_signed_as_http(certificate: Path) -> None:
    with ShopStandIn(tls=certificate, https="unknown") as shop:
        options: dict[str, Any] = {"verify": str(certificate)}
        assert ask(shop, "basic", **options) == DENIED
        assert ask(shop, "query", **options) == DENIED
        assert ask(shop, "oauth", **options) == WRONG
        assert ask(shop, "oauth", scheme="http", **options) == 200


def test_a_web_server_that_drops_the_header_leaves_the_query() -> None:
    with ShopStandIn(https="known") as shop:
        shop.fault(drops_authorization=True)
        assert ask(shop, "basic") == DENIED
        assert ask(shop, "query") == 200


def test_a_signature_with_anything_wrong_is_refused() -> None:
    with ShopStandIn() as shop:
        assert ask(shop, "oauth", key="ck_wrong") == WRONG
        assert ask(shop, "oauth", secret="cs_wrong") == WRONG
        assert ask(shop, "oauth", timestamp=int(time.time()) - 16 * 60) == WRONG
        assert ask(shop, "none", query={"oauth_consumer_key": shop.consumer_key}) == MISSING


def test_a_read_only_key_cannot_write() -> None:
    with ShopStandIn(permissions="read") as shop:
        order = shop.make_order()
        path = f"/wp-json/wc/v3/orders/{order}"
        assert ask(shop, "oauth", path=path) == 200
        assert ask(shop, "oauth", method="PUT", path=path) == WRONG
        assert ask(shop, "oauth", method="DELETE", path=path) == WRONG


def test_a_key_of_a_user_without_rights_is_forbidden() -> None:
    with ShopStandIn() as shop:
        key = shop.add_key(is_manager=False)
        who = {"key": key.consumer_key, "secret": key.consumer_secret}
        assert ask(shop, "oauth", **who) == DENIED  # type: ignore[arg-type]
        shop.revoke(key)
        assert ask(shop, "oauth", **who) == WRONG  # type: ignore[arg-type]


def test_without_permalinks_keys_are_read_only_if_the_address_says_so() -> None:
    with ShopStandIn(has_permalinks=False) as shop:
        index = "/index.php"
        route = {"rest_route": "/wc/v3/orders"}
        assert ask(shop, "oauth", path=index, query=route) == DENIED
        assert ask(shop, "oauth", path=index, query={**route, "_": "wp-json/wc/"}) == 200
        page = requests.get(f"{shop.url}/wp-json/", timeout=30)
        assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=UTF-8")


def test_a_shop_in_a_folder_is_signed_by_its_whole_address() -> None:
    with ShopStandIn(folder="/shop") as shop:
        assert ask(shop, "oauth") == 200


def test_the_index_needs_no_key_and_is_large() -> None:
    with ShopStandIn() as shop:
        assert len(requests.get(f"{shop.url}/wp-json/", timeout=30).content) > 1_000_000
        index = requests.get(f"{shop.url}/wp-json/?_fields=namespaces,home", timeout=30).json()
        assert index["home"] == shop.url
        assert "wc/v3" in index["namespaces"]
        assert requests.get(f"{shop.url}/wp-json/wc/v9/orders", timeout=30).json()["code"] == "rest_no_route"
