"""WooCommerce's webhook signature: base64(HMAC-SHA256(raw body, secret)).

The rules are those of WC_Webhook::generate_signature and of WordPress' wp_specialchars_decode.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

# What wp_specialchars_decode(..., ENT_QUOTES) knows, and nothing else: not &apos;, and < > in decimal only.
_ENTITY = re.compile(r"&(?:(amp|lt|gt|quot)|#0*(38|39|34|60|62)|#[xX]0*(26|27|22));")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"'}


def sign(body: bytes, secret: str) -> str:
    """The signature that WooCommerce sends for a body under a secret as it stands in the settings."""
    key = unescape(secret).encode("utf-8")
    return base64.b64encode(hmac.digest(key, body, hashlib.sha256)).decode("ascii")


def is_signed(body: bytes, signature: str, secret: str) -> bool:
    """Whether this is the body's signature, compared in constant time. An empty secret signs nothing."""
    expected = sign(body, secret).encode("ascii")
    matches = hmac.compare_digest(expected, signature.strip().encode("utf-8", "replace"))
    return matches and secret != ""  # no other secret is unescaped to nothing


def unescape(secret: str) -> str:
    """Undo the HTML escaping of a secret as WooCommerce does before it signs: once, not repeatedly."""
    return _ENTITY.sub(_character, secret) if "&" in secret else secret


def _character(entity: re.Match[str]) -> str:
    name, decimal, hexadecimal = entity.groups()
    if name:
        return _NAMED[name]
    return chr(int(decimal)) if decimal else chr(int(hexadecimal, 16))
