"""Requests that the shop sends: signed deliveries, which follow no redirect, and pings, which do."""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import re
from collections.abc import Mapping
from urllib.parse import urljoin

import requests

DELIVERY_TIMEOUT = 60.0  # seconds
MAX_REDIRECTS = 5  # that a ping follows


def post(session: requests.Session, url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """POST a delivery, which follows no redirect; the answer's status, 0 without an answer."""
    try:
        response = session.post(
            url,
            data=body,
            headers={**headers, "Connection": "close"},
            timeout=DELIVERY_TIMEOUT,
            allow_redirects=False,
        )
    except requests.RequestException:
        return 0
    return response.status_code


def signature(body: bytes, secret: str) -> str:
    """The signature of a body; WooCommerce undoes the secret's HTML escaping before it signs."""
    plain = re.sub(r"&(amp|lt|gt|quot|#0*(34|38|39|60|62));", lambda found: html.unescape(found[0]), secret)
    return base64.b64encode(hmac.digest(plain.encode(), body, hashlib.sha256)).decode()


def post_following(url: str, body: bytes, headers: dict[str, str], *, timeout: float) -> int:
    """POST, with the same body wherever it is redirected to; the last status, 0 without an answer."""
    for _ in range(MAX_REDIRECTS + 1):
        try:
            response = requests.post(
                url,
                data=body,
                headers={**headers, "Connection": "close"},
                timeout=timeout,
                allow_redirects=False,
            )
        except requests.RequestException:
            return 0
        location = response.headers.get("Location")
        if response.status_code not in {301, 302, 307, 308} or not location:
            return response.status_code
        url = urljoin(url, location)
    return 0
