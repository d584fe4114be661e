"""`/wc-auth/v1/`: a page where a person approves a key, which the shop then hands to a callback."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from urllib.parse import urlencode, urlsplit

from bridge.sandbox.shop.answers import encode
from bridge.sandbox.shop.sending import post_following
from bridge.sandbox.shop.state import Shop

CALLBACK_TIMEOUT = 60.0  # seconds
_NEEDED = ("app_name", "scope", "user_id", "return_url", "callback_url")
_PERMISSIONS = {"read": "read", "write": "write", "read_write": "read_write"}


class ApprovalError(Exception):
    """Nothing was approved; the page shows the message with status 401."""


def authorize_page(shop: Shop, query: Mapping[str, str]) -> str:
    """The page with a link that approves and one that denies; raises ApprovalError for a bad query."""
    _check(shop, query)
    approve = f"{shop.settings.home}/wc-auth/v1/access_granted?{urlencode(_given(query))}"
    deny = _with(query["return_url"], "success=0&user_id=" + query["user_id"])
    name = escape(query["app_name"])
    return (
        f'<!doctype html><html lang="en"><title>Connect {name}</title>'
        f"<h1>{name} would like to connect to your store</h1>"
        f"<p>This will give it {escape(query['scope'])} access.</p>"
        f'<a class="wc-auth-deny" href="{escape(deny)}">Deny</a> '
        f'<a class="wc-auth-approve" href="{escape(approve)}">Approve</a>'
    )


def grant(shop: Shop, query: Mapping[str, str]) -> str:
    """Make a key, POST it to the callback, and return the address that the browser is then led to.

    Only exactly 200 counts, at the end of redirects, each of which is sent the keys. For anything else the
    key is deleted and ApprovalError raised.
    """
    _check(shop, query)
    key = shop.keys.add(_PERMISSIONS[query["scope"]])
    body = encode(
        {
            "key_id": key.id,
            "user_id": query["user_id"],
            "consumer_key": key.consumer_key,
            "consumer_secret": key.consumer_secret,
            "key_permissions": key.permissions,
        }
    )
    headers = {
        "Content-Type": "application/json;charset=UTF-8",
        "User-Agent": f"WordPress/6.9; {shop.settings.home}",
    }
    status = post_following(query["callback_url"], body, headers, timeout=CALLBACK_TIMEOUT)
    if status != 200:
        shop.keys.delete(key.id)
        raise ApprovalError(
            "An error occurred in the request and at the time were unable to send the consumer data"
        )
    return _with(query["return_url"], f"success=1&user_id={query['user_id']}")  # unescaped, as WooCommerce


def _check(shop: Shop, query: Mapping[str, str]) -> None:
    for name in _NEEDED:
        if not query.get(name):
            raise ApprovalError(f"Missing parameter {name}")
    if query["scope"] not in _PERMISSIONS:
        raise ApprovalError(f"Invalid scope {query['scope']}")
    for name in ("return_url", "callback_url"):
        if urlsplit(query[name]).scheme not in {"http", "https"} or not urlsplit(query[name]).netloc:
            raise ApprovalError(f"The {name} is not a valid URL")
    if not query["callback_url"].startswith("https://") and not shop.settings.takes_http_callbacks:
        raise ApprovalError("The callback_url needs to be over SSL")


def _given(query: Mapping[str, str]) -> dict[str, str]:
    return {name: query[name] for name in _NEEDED}


def _with(url: str, query: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{query}"
