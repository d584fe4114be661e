"""OAuth 1.0a as WooCommerce checks it: one-legged, HMAC-SHA256, all parameters in the query.

The rules are RFC 5849, 3.4, but for the key: it is the consumer secret and `&`, where the secret is not
escaped and no token's secret follows (`WC_REST_Authentication::check_oauth_signature`). WooCommerce sorts
parameters by their names alone, as they are before they are escaped.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import quote


def signed(
    method: str, address: str, query: Mapping[str, str], *, key: str, secret: str, timestamp: int, nonce: str
) -> dict[str, str]:
    """The query's parameters, with those of OAuth and the signature.

    `address`: without a query. `timestamp`: seconds since 1970 by the shop's clock, which may differ from it
    by 15 minutes. `nonce`: any text that was not used with this key within that time.
    """
    parameters = {
        **query,
        "oauth_consumer_key": key,
        "oauth_nonce": nonce,
        "oauth_signature_method": "HMAC-SHA256",
        "oauth_timestamp": str(timestamp),
        "oauth_version": "1.0",
    }
    text = base_string(method, address, parameters)
    digest = hmac.digest(f"{secret}&".encode(), text.encode(), sha256)
    return {**parameters, "oauth_signature": b64encode(digest).decode()}


def base_string(method: str, address: str, parameters: Mapping[str, str]) -> str:
    """The text that is signed."""
    pairs = [f"{_escaped(name)}={_escaped(value)}" for name, value in sorted(parameters.items())]
    return "&".join([method.upper(), _escaped(address), _escaped("&".join(pairs))])


def encoded(parameters: Mapping[str, str]) -> str:
    """The parameters as a query.

    A slash stays as it is: WooCommerce looks for `wp-json/wc/` in the address as it was sent.
    """
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='/')}" for name, value in parameters.items())


def _escaped(text: str) -> str:
    return quote(text, safe="~")
