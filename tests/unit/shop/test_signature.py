"""OAuth 1.0a for WooCommerce."""

from __future__ import annotations

import hmac
from base64 import b64encode
from hashlib import sha256
from urllib.parse import parse_qsl, quote

import pytest

from bridge.shop.signature import base_string, encoded, signed


def test_the_base_string_is_that_of_a_published_example() -> None:
    # Twitter's "Creating a signature", whose example many libraries hold.
    parameters = {
        "status": "Hello Ladies + Gentlemen, a signed OAuth request!",
        "include_entities": "true",
        "oauth_consumer_key": "xvz1evFS4wEEPTGEFPHBog",
        "oauth_nonce": "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg",
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": "1318622958",
        "oauth_token": "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
        "oauth_version": "1.0",
    }
    assert base_string("post", "https://api.twitter.com/1.1/statuses/update.json", parameters) == (
        "POST&https%3A%2F%2Fapi.twitter.com%2F1.1%2Fstatuses%2Fupdate.json&include_entities%3Dtrue%26"
        "oauth_consumer_key%3Dxvz1evFS4wEEPTGEFPHBog%26oauth_nonce%3DkYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg"
        "%26oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D1318622958%26"
        "oauth_token%3D370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb%26oauth_version%3D1.0%26"
        "status%3DHello%2520Ladies%2520%252B%2520Gentlemen%252C%2520a%2520signed%2520OAuth%2520request%2521"
    )


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"modified_after": "2026-11-27T19:00:00", "_fields": "id,status", "per_page": "100"},
        {"rest_route": "/wc/v3/orders", "_": "wp-json/wc/"},
        {"search": "50% & more ~ ž+\"'", "status": "a,b"},
    ],
)
def test_woocommerce_finds_the_same_signature_in_the_query(query: dict[str, str]) -> None:
    address = "https://shop.example/wp-json/wc/v3/orders"
    text = encoded(signed("GET", address, query, key="ck_1", secret="cs_&%", timestamp=5, nonce="n"))
    sent = dict(parse_qsl(text, keep_blank_values=True, strict_parsing=True))
    assert {name: sent[name] for name in query} == query
    assert sent.pop("oauth_signature") == _of_woocommerce("GET", address, sent, "cs_&%")


def _of_woocommerce(method: str, address: str, parameters: dict[str, str], secret: str) -> str:
    """The steps of `check_oauth_signature`: sort by name, escape, join and escape once more."""
    pairs = [
        quote(f"{quote(name, safe='')}={quote(parameters[name], safe='')}", safe="")
        for name in sorted(parameters, key=str.encode)
    ]
    text = f"{method}&{quote(address, safe='')}&{'%26'.join(pairs)}"
    return b64encode(hmac.new(f"{secret}&".encode(), text.encode(), sha256).digest()).decode()


def test_a_slash_stays_in_the_query_where_woocommerce_looks_for_it() -> None:
    assert encoded({"rest_route": "/wc/v3/", "_": "wp-json/wc/"}) == "rest_route=/wc/v3/&_=wp-json/wc/"
