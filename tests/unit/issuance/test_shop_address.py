"""Where a shop is: the address that its orders name, and whose they are by that."""

from __future__ import annotations

import pytest

from bridge.issuance import address_of, is_foreign
from bridge.issuance.shop import shop_of


@pytest.mark.parametrize(
    ("url", "address"),
    [
        # As WooCommerce names itself, with permalinks and without
        ("https://shop.example/wp-json/wc/v3/orders/328", "shop.example"),
        ("https://shop.example/index.php?rest_route=/wc/v3/orders/328", "shop.example"),
        ("https://shop.example/?rest_route=/wc/v3/orders/328", "shop.example"),
        ("https://shop.example?rest_route=%2Fwc%2Fv3%2Forders%2F328", "shop.example"),
        ("https://shop.example/?lang=de&rest_route=/wc/v3/orders/328", "shop.example"),
        ("https://shop.example/wp-json/wc/v3/orders/328?lang=de", "shop.example"),
        ("https://shop.example/index.php/wp-json/wc/v3/orders/328", "shop.example"),
        ("https://shop.example/wp-json", "shop.example"),
        ("https://shop.example/wp-json/", "shop.example"),
        ("https://shop.example/index.php/api/wc/v3/orders/328", "shop.example"),
        # By another word for wp-json
        ("https://shop.example/api/wc/v3/orders/328", "shop.example"),
        ("https://shop.example/de/api/wc/v12/orders/328", "shop.example/de"),
        # As people name it
        ("https://shop.example/", "shop.example"),
        ("shop.example", "shop.example"),
        ("SHOP.Example/De/", "shop.example/de"),
        ("HTTP://WWW.Shop.example//", "shop.example"),
        ("https://www.shop.example/wp-json/wc/v3/orders/328", "shop.example"),
        ("https://www2.shop.example", "www2.shop.example"),
        ("https://shop.www.example", "shop.www.example"),
        # Ports and paths tell sites apart
        ("http://localhost:8000/wp-json/wc/v3/orders/328", "localhost:8000"),
        ("https://shop.example:8443", "shop.example:8443"),
        ("https://shop.example/de/wp-json/wc/v3/orders/328", "shop.example/de"),
        ("https://example.com/wp-jsonny/shop", "example.com/wp-jsonny/shop"),
        ("https://example.com/shop/2", "example.com/shop/2"),
        ("http://[::1]:80/wp-json/", "[::1]:80"),
        ("https://müller.example", "müller.example"),
        ("https://shop.example/" + "x" * 279, "shop.example/" + "x" * 279),
        # What leads nowhere
        ("", ""),
        ("https://", ""),
        ("https:///wp-json/wc/v3/orders/328", ""),
        ("https:///de", ""),
        (":8000", ""),
        ("www.", ""),
        ("/wp-json/wc/v3/orders/328", ""),
        ("shop example", ""),
        (" https://shop.example", ""),
        ("https://shop.example\n", ""),
        ("https://shop.example\0", ""),
        ("https://shop.example/?p=1", ""),
        ("https://shop.example/#top", ""),
        ("https://user@shop.example", ""),
        ("https:\\\\shop.example", ""),
        ("https://[::1", ""),
        ("https://shop.example/" + "x" * 280, ""),
        (None, ""),
        (5, ""),
        (["https://shop.example"], ""),
    ],
)
def test_the_address_of_a_shop_is_what_comes_before_its_api(url: object, address: str) -> None:
    assert address_of(url) == address


def test_an_address_is_its_own() -> None:
    for url in ("https://www.Shop.example/de/wp-json/wc/v3/orders/1", "http://localhost:8000"):
        assert address_of(address_of(url)) == address_of(url)


HREF = {"href": "https://shop.example/wp-json/wc/v3/orders/328"}


@pytest.mark.parametrize(
    ("links", "address"),
    [
        ({"self": [HREF]}, "shop.example"),
        ({"self": [HREF, {"href": "https://other.example"}]}, "shop.example"),
        ({"self": HREF}, "shop.example"),  # PHP's list of one may be either
        ({"self": [{"href": None}, HREF]}, ""),
        ({"self": []}, ""),
        ({"self": ["https://shop.example"]}, ""),
        ({"self": "https://shop.example"}, ""),
        ({"collection": [HREF]}, ""),
        ({}, ""),
        ([HREF], ""),
        (None, ""),
        ("https://shop.example", ""),
    ],
)
def test_a_body_names_its_site_by_its_links(links: object, address: str) -> None:
    assert shop_of({"_links": links}) == address


def test_a_body_without_links_names_no_site() -> None:
    assert shop_of({"id": 328}) == ""


@pytest.mark.parametrize(
    ("shop", "shop_urls", "expected"),
    [
        ("shop.example", ["shop.example"], False),
        ("shop.example", ["old.example", "shop.example"], False),
        ("staging.shop.example", ["shop.example"], True),
        ("shop.example/2", ["shop.example"], True),
        ("", ["shop.example"], False),  # it names none
        ("shop.example", [], False),  # none is known yet
    ],
)
def test_an_order_is_foreign_that_names_another_site(shop: str, shop_urls: list[str], expected: bool) -> None:
    assert is_foreign(shop, shop_urls) is expected
