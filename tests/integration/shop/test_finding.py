"""Finding a shop's API and its login, and what is said if something is in the way."""

from __future__ import annotations

import time
from collections.abc import Collection
from email.utils import formatdate
from pathlib import Path

import pytest

from bridge.shop import (
    AnswerError,
    BusyError,
    Endpoint,
    FirewallError,
    KeyRefusedError,
    Login,
    MaintenanceError,
    NotAShopError,
    PermalinksError,
    RedirectedError,
    RightsError,
    Shop,
    ShopError,
    ShopKeys,
    find_endpoint,
)
from tests.support.misbehaving import tls_of
from tests.support.odd_shop import KEYS, Asked, OddShop, Told, data, login_of, page, refusal

INDEX = {"namespaces": ["oembed/1.0", "wc/v3", "wp/v2"]}


class Woocommerce:
    """A shop that accepts some logins. `is_pretty`: whether it has permalinks."""

    def __init__(self, logins: Collection[Login], *, is_pretty: bool = True, home: str = "") -> None:
        self.url = ""
        self._logins, self._is_pretty, self._home = logins, is_pretty, home

    def __call__(self, asked: Asked) -> Told:
        route = asked.query.get("rest_route") or asked.path.removeprefix("/wp-json")
        if asked.path.startswith("/wp-json") and not self._is_pretty:
            return page(200)
        if route == "/":
            return data({**INDEX, "home": self._home})
        if "wp-json/wc/" not in asked.url:
            return refusal(401, "woocommerce_rest_cannot_view")
        if login_of(asked, self.url) in self._logins:
            return data([{"id": 7}])
        code = "authentication_error" if "oauth_" in asked.url else "cannot_view"
        return refusal(401, f"woocommerce_rest_{code}")


@pytest.fixture(autouse=True)
def _trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))


def find(url: str, keys: ShopKeys = KEYS) -> Endpoint:
    return find_endpoint(url, keys, pause=0)


def failure(url: str, kind: type[ShopError], keys: ShopKeys = KEYS) -> str:
    with pytest.raises(ShopError) as failed:
        find(url, keys)
    assert type(failed.value) is kind
    return str(failed.value)


@pytest.mark.parametrize(
    ("logins", "found"),
    [
        (list(Login), Login.BASIC),
        ([Login.OAUTH, Login.QUERY], Login.OAUTH),  # the header does not arrive
        ([Login.OAUTH_HTTP], Login.OAUTH_HTTP),  # a proxy ends https
        ([Login.QUERY], Login.QUERY),
    ],
)
@pytest.mark.parametrize("is_pretty", [True, False])
def test_the_first_login_that_works_is_found(
    logins: list[Login], found: Login, is_pretty: bool, certificate: Path
) -> None:
    woocommerce = Woocommerce(logins, is_pretty=is_pretty)
    with OddShop(woocommerce, tls=tls_of(certificate)) as shop:
        woocommerce.url = shop.url
        endpoint = find(shop.url + "/wp-admin/")
        api = "/wp-json/wc/v3/" if is_pretty else "/index.php?rest_route=/wc/v3/"
        assert endpoint == Endpoint(shop.url, shop.url + api, found)
        with Shop(endpoint, KEYS, pause=0) as client:
            assert client.highest_order_id() == 7


def test_without_https_the_secret_is_never_sent() -> None:
    woocommerce = Woocommerce([Login.OAUTH])
    with OddShop(woocommerce) as shop:
        woocommerce.url = shop.url
        assert find(shop.url).login is Login.OAUTH
        assert failure(shop.url, KeyRefusedError, ShopKeys("ck_wrong", "cs_wrong")).endswith(
            "give its https:// address."
        )
    for asked in shop.asked:
        assert "Authorization" not in asked.headers
        assert "consumer_secret" not in asked.url


def test_a_key_that_no_login_proves_is_refused(certificate: Path) -> None:
    woocommerce = Woocommerce(list(Login))
    with OddShop(woocommerce, tls=tls_of(certificate)) as shop:
        woocommerce.url = shop.url
        assert "does not accept the key" in failure(shop.url, KeyRefusedError, ShopKeys("ck_1", "cs_1"))


def test_http_that_redirects_to_https_of_its_host_is_followed_without_keys(certificate: Path) -> None:
    woocommerce = Woocommerce([Login.BASIC])
    with OddShop(woocommerce, tls=tls_of(certificate)) as shop:
        woocommerce.url = shop.url
        with OddShop(lambda asked: page(301, Location=shop.url + asked.url)) as before:
            assert find(before.url).url == shop.url
    assert not any(asked.has_keys for asked in before.asked)


@pytest.mark.parametrize("to", ["https://www.shop.example", "http://127.0.0.1:1/shop"])
def test_another_redirect_is_told_and_keys_stay_here(to: str) -> None:
    with (
        OddShop(lambda asked: page(301, Location=f"{to}{asked.url}&secret=1")) as shop,
        pytest.raises(RedirectedError) as failed,
    ):
        find(shop.url)
    assert failed.value.address == to
    assert f"give it: {to}" in str(failed.value)
    assert not any(asked.has_keys for asked in shop.asked)


def test_a_redirect_of_what_needs_keys_is_not_followed() -> None:
    def behave(asked: Asked) -> Told:
        return page(302, Location="https://other.example/login?a=b") if asked.has_keys else data(INDEX)

    with OddShop(behave) as shop:
        assert "https://other.example" in failure(shop.url, RedirectedError)


def test_a_shop_with_another_name_of_its_own_says_it() -> None:
    woocommerce = Woocommerce([], home="https://www.shop.example")
    with OddShop(woocommerce) as shop:
        assert "calls itself https://www.shop.example" in failure(shop.url, RedirectedError)


def test_permalinks_have_to_be_switched_on_where_keys_are_not_read_without() -> None:
    def behave(asked: Asked) -> Told:
        if asked.path == "/wp-json/":
            return page(404)
        is_index = asked.query["rest_route"] == "/"
        return data(INDEX) if is_index else refusal(401, "woocommerce_rest_cannot_view")

    with OddShop(behave) as shop:
        assert "choose any but Plain" in failure(shop.url, PermalinksError)


def test_an_index_that_is_not_for_everybody_hides_no_api() -> None:
    def behave(asked: Asked) -> Told:
        return data([]) if asked.has_keys else refusal(401, "rest_not_logged_in")

    with OddShop(behave) as shop:
        assert find(shop.url).api == f"{shop.url}/wp-json/wc/v3/"


def test_a_clock_that_is_wrong_here_signs_with_the_time_of_the_shop() -> None:
    ahead = 86_400

    def behave(asked: Asked) -> Told:
        told = data(INDEX if asked.path == "/wp-json/" else [])
        if asked.has_keys and abs(int(asked.query["oauth_timestamp"]) - time.time() - ahead) > 900:
            told = refusal(401, "woocommerce_rest_authentication_error", "Invalid timestamp.")
        return Told(told.status, told.body, {**told.headers, "Date": formatdate(time.time() + ahead)})

    with OddShop(behave) as shop:
        endpoint = find(shop.url)
        with Shop(endpoint, KEYS, pause=0) as client:
            assert client.highest_order_id() == 0


@pytest.mark.parametrize(
    ("index", "answer", "kind", "text"),
    [
        (page(200), None, NotAShopError, "neither /wp-json/ nor"),
        (page(404), None, NotAShopError, "neither /wp-json/ nor"),
        (data({"namespaces": ["wp/v2"]}), None, NotAShopError, "without WooCommerce"),
        (data([]), None, AnswerError, "something else than the index"),
        (page(403), None, FirewallError, "/wp-json/wc/v3/"),
        (page(401, WWW_Authenticate='Basic realm="x"'), None, FirewallError, "password of its web server"),
        (page(503), None, MaintenanceError, "503"),
        (page(500), None, AnswerError, "500"),
        (page(429, Retry_After="120"), None, BusyError, "in 120 s"),
        (data(INDEX), page(403), FirewallError, "403"),
        (data(INDEX), page(200), FirewallError, "web page"),
        (data(INDEX), refusal(401, "itsec_rest_api_access"), FirewallError, "itsec_rest_api_access"),
        (data(INDEX), refusal(403, "woocommerce_rest_cannot_view"), RightsError, "shop manager"),
        (data(INDEX), refusal(404, "rest_no_route"), NotAShopError, "the plugin is off"),
        (data(INDEX), page(503), MaintenanceError, "503"),
        (
            data(INDEX),
            refusal(
                401,
                "woocommerce_rest_authentication_error",
                "The API key provided does not have read permissions.",
            ),
            RightsError,
            "Read/Write",
        ),
    ],
)
def test_what_is_in_the_way_is_said(
    index: Told, answer: Told | None, kind: type[ShopError], text: str
) -> None:
    def behave(asked: Asked) -> Told:
        return answer if answer is not None and "wc/v3" in asked.url else index

    with OddShop(behave) as shop:
        assert text in failure(shop.url, kind)
    if answer is None:
        assert not any(asked.has_keys for asked in shop.asked)


def test_a_firewall_gets_no_key_into_its_logs(certificate: Path) -> None:
    def behave(asked: Asked) -> Told:
        return page(403) if "wc/v3" in asked.url else data(INDEX)

    with OddShop(behave, tls=tls_of(certificate)) as shop:
        failure(shop.url, FirewallError)
    assert not any("consumer_secret" in asked.url for asked in shop.asked)
