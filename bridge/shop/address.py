"""The address of a shop, of its API, and of the page where a key is approved: pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import requests

from bridge.shop.errors import NotAShopError
from bridge.shop.signature import encoded

MAX_URL = 300  # characters
PRETTY = "/wp-json/wc/v3/"
PLAIN = "/index.php?rest_route=/wc/v3/"

# What people copy from the address bar, behind the shop's own address.
_PAGE = re.compile(r"(/index\.php)?/wp-json(/.*)?$|/wp-(admin(/.*)?|login\.php)$|/index\.php$|/+$")


def shop_url(url: str) -> str:
    """The shop's address in one form: scheme, host, port and path, with no slash at its end.

    `shop.example` is https. A page of the administration and the address of the API stand for the shop.
    Raises NotAShopError for what is no address, or has a name and password in it.
    """
    text = url.strip()
    if "://" not in text:
        text = f"https://{text}"
    prepared = requests.PreparedRequest()
    try:
        prepared.prepare_url(text, None)  # which writes a host as DNS knows it
        parts = urlsplit(prepared.url or "")
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.username is None
        port = parts.port
    except ValueError:  # those of requests are, too
        is_address, port = False, None
    if not is_address or len(text) > MAX_URL or not text.isprintable() or " " in text:
        raise NotAShopError(
            "This is no address of a shop: give one like https://shop.example, without a name or password."
        )
    default = {"http": 80, "https": 443}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    path = _PAGE.sub("", _PAGE.sub("", parts.path))
    return f"{parts.scheme}://{host}{'' if port in {None, default} else f':{port}'}{path}"


def host_of(url: str) -> str:
    """The host, with a port if it is not the usual one, for messages."""
    return urlsplit(url).netloc


def is_https(url: str) -> bool:
    """Whether requests to this address are encrypted."""
    return url.startswith("https:")


def target(api: str, path: str, query: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The address without a query, and the whole query, of a route like `orders/12` of this API."""
    address, mark, _ = api.partition("?")
    if not mark:
        return address + path, dict(query)
    # WooCommerce reads keys only where the address holds `wp-json/wc/`.
    return address, {"rest_route": f"/wc/v3/{path}", **query, "_": "wp-json/wc/"}


def approval_url(url: str, *, app_name: str, user_id: str, return_url: str, callback_url: str) -> str:
    """The page of the shop where its manager approves a key to read and write.

    The shop then POSTs the key, as JSON with this `user_id`, to `callback_url`, which must be https and must
    not redirect, and leads the browser to `return_url`. Raises NotAShopError for an address that is none.
    """
    query = encoded(
        {
            "app_name": app_name,
            "scope": "read_write",
            "user_id": user_id,
            "return_url": return_url,
            "callback_url": callback_url,
        }
    )
    return f"{shop_url(url)}/wc-auth/v1/authorize?{query}"
