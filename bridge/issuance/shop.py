"""The address of a shop, which distinguishes its orders from those of a copy: pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

# WooCommerce's `_links.self` is `<home>/wp-json/wc/v3/orders/N`, and without permalinks
# `<home>/index.php?rest_route=/wc/v3/orders/N`. A site may have another word for `wp-json` (rest_url_prefix).
_API = re.compile(r"(/index\.php)?(/wp-json(/|$)|/?\?(.*&)?rest_route=|/[^/?]+/wc/v[0-9]+/).*")
_SCHEME = re.compile(r"^https?://", re.IGNORECASE)
MAX_URL = 300  # characters


def address_of(url: object) -> str:
    """The address of the shop with this home page or API; empty if the URL cannot be read.

    Scheme, a leading `www.`, case and a slash at the end do not count: `https://www.Shop.example/de/` is
    `shop.example/de`.
    """
    if not isinstance(url, str) or len(url) > MAX_URL or not url.isprintable() or " " in url:
        return ""
    home = _API.sub("", _SCHEME.sub("", url)).lower().rstrip("/").removeprefix("www.")
    try:
        has_host = bool(urlsplit(f"//{home}").hostname)
    except ValueError:
        return ""
    return home if has_host and not {"?", "#", "@", "\\"} & set(home) else ""


def shop_of(data: Mapping[str, object]) -> str:
    """The address of the site that a signed body names in its `_links`; or empty."""
    links = data.get("_links")
    own = links.get("self") if isinstance(links, dict) else None
    first = own[0] if isinstance(own, list) and own else own
    return address_of(first.get("href")) if isinstance(first, dict) else ""


def is_foreign(shop: str, shop_urls: Collection[str]) -> bool:
    """Whether a delivery that names this address is another site's. Without an address, it is the shop's."""
    return bool(shop and shop_urls) and shop not in shop_urls
