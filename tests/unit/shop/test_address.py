"""Addresses of shops, as people give them."""

from __future__ import annotations

import pytest

from bridge.shop import NotAShopError, approval_url
from bridge.shop.address import shop_url, target


@pytest.mark.parametrize(
    ("given", "is_read_as"),
    [
        ("https://shop.example", "https://shop.example"),
        (" https://Shop.Example/ ", "https://shop.example"),
        ("shop.example", "https://shop.example"),
        ("shop.example/de/", "https://shop.example/de"),
        ("http://127.0.0.1:8080//", "http://127.0.0.1:8080"),
        ("https://shop.example:443", "https://shop.example"),
        ("https://[::1]:8443/", "https://[::1]:8443"),
        ("https://shop.example/wp-admin/admin.php?page=wc-settings", "https://shop.example"),
        ("https://shop.example/wp-login.php", "https://shop.example"),
        ("https://shop.example/de/wp-json/wc/v3/", "https://shop.example/de"),
        ("https://shop.example/index.php/wp-json/", "https://shop.example"),
        ("https://shop.example/index.php?rest_route=/wc/v3/", "https://shop.example"),
        ("https://straße.example", "https://xn--strae-oqa.example"),
    ],
)
def test_an_address_has_one_form(given: str, is_read_as: str) -> None:
    assert shop_url(given) == is_read_as
    assert shop_url(is_read_as) == is_read_as


@pytest.mark.parametrize(
    "given",
    [
        "",
        "https://",
        "ftp://shop.example",
        "https://ana:s3cret@shop.example",
        "https://shop.example:port",
        "https://shop.example:99999",
        "https://sh op.example",
        "https://shop.example/\x1b[2J",
        "https://shop.example/" + 300 * "a",
        "https://*.example",
    ],
)
def test_what_is_no_address_is_refused_without_being_repeated(given: str) -> None:
    with pytest.raises(NotAShopError) as refusal:
        shop_url(given)
    assert "s3cret" not in str(refusal.value)


def test_without_permalinks_the_address_holds_what_woocommerce_looks_for() -> None:
    api = "https://shop.example/index.php?rest_route=/wc/v3/"
    assert target(api, "orders/12", {"_fields": "id"}) == (
        "https://shop.example/index.php",
        {"rest_route": "/wc/v3/orders/12", "_fields": "id", "_": "wp-json/wc/"},
    )
    assert target("https://shop.example/wp-json/wc/v3/", "orders", {"a": "1"}) == (
        "https://shop.example/wp-json/wc/v3/orders",
        {"a": "1"},
    )


def test_the_page_of_approval_has_what_is_given_escaped() -> None:
    assert approval_url(
        "shop.example/de/",
        app_name="Space bridge",
        user_id="x&y",
        return_url="https://b.example/?a=1",
        callback_url="https://b.example/connect/1",
    ) == (
        "https://shop.example/de/wc-auth/v1/authorize?app_name=Space%20bridge&scope=read_write&user_id=x%26y"
        "&return_url=https%3A//b.example/%3Fa%3D1&callback_url=https%3A//b.example/connect/1"
    )
