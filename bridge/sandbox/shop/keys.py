"""The keys of the REST API, and how WooCommerce proves a request by one (`WC_REST_Authentication`)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from bridge.sandbox.shop.answers import RestError

CLOCKS_MAY_DIFFER = 15 * 60  # seconds between the client's clock and the shop's
_OAUTH = ("oauth_consumer_key", "oauth_timestamp", "oauth_nonce", "oauth_signature", "oauth_signature_method")


@dataclass(frozen=True, slots=True)
class Key:
    """A key. `permissions`: `read`, `write` or `read_write`. `is_manager`: its user may manage the shop."""

    id: int
    consumer_key: str = field(repr=False)
    consumer_secret: str = field(repr=False)
    permissions: str
    is_manager: bool = True


@dataclass(frozen=True, slots=True)
class Claim:
    """The parts of a request that its login is read from.

    `address`: without the query, by the shop's home address and with the scheme that WordPress believes to be
    served by. `authorization`: the header, empty if none came.
    """

    method: str
    address: str
    query: Mapping[str, str]
    authorization: str
    is_ssl: bool
    now: float


class Keys:
    """The keys of a shop. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_consumer_key: dict[str, Key] = {}
        self._last_id = 0

    def add(
        self,
        permissions: str,
        *,
        consumer_key: str | None = None,
        consumer_secret: str | None = None,
        is_manager: bool = True,
    ) -> Key:
        """A new key, random if it is not given."""
        with self._lock:
            self._last_id += 1
            key = Key(
                self._last_id,
                consumer_key or f"ck_{secrets.token_hex(20)}",
                consumer_secret or f"cs_{secrets.token_hex(20)}",
                permissions,
                is_manager,
            )
            self._by_consumer_key[key.consumer_key] = key
            return key

    def delete(self, key_id: int) -> None:
        """Revoke a key; nothing if there is none."""
        with self._lock:
            kept = {name: key for name, key in self._by_consumer_key.items() if key.id != key_id}
            self._by_consumer_key = kept

    def all(self) -> list[Key]:
        """All keys, oldest first."""
        return list(self._by_consumer_key.values())

    def authenticate(self, claim: Claim) -> Key | None:
        """The key that the request proves to have; None if it claims none, or Basic's key is unknown.

        Raises RestError 401 for a wrong secret or signature, and for a key that may not use this method.
        """
        key = self._by_basic(claim) if claim.is_ssl else None
        key = key or self._by_oauth(claim)
        if key is not None:
            _check_permission(key, claim.method)
        return key

    def _by_basic(self, claim: Claim) -> Key | None:
        name, secret = claim.query.get("consumer_key"), claim.query.get("consumer_secret")
        if not name or not secret:
            name, secret = _basic(claim.authorization)
        if not name or not secret:
            return None
        key = self._by_consumer_key.get(name)
        if key is not None and not hmac.compare_digest(key.consumer_secret.encode(), secret.encode()):
            raise _refusal("Consumer secret is invalid.")
        return key

    def _by_oauth(self, claim: Claim) -> Key | None:
        parameters = {**claim.query, **_oauth_header(claim.authorization)}
        missing = [name for name in _OAUTH if not parameters.get(name)]
        if len(missing) == len(_OAUTH):
            return None
        if missing:
            plural = "s" if len(missing) > 1 else ""
            raise RestError(
                401,
                "woocommerce_rest_authentication_missing_parameter",
                f"Missing OAuth parameter{plural} {', '.join(missing)}",
            )
        key = self._by_consumer_key.get(parameters["oauth_consumer_key"])
        if key is None:
            raise _refusal("Consumer key is invalid.")
        if parameters["oauth_signature_method"] != "HMAC-SHA256":
            raise _refusal("Invalid signature - signature method is invalid.")
        # PHP has made spaces of the plus signs that were not escaped.
        signature = unquote(parameters.pop("oauth_signature").replace(" ", "+"))
        expected = _signature(claim.method, claim.address, parameters, key.consumer_secret)
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise _refusal("Invalid signature - provided signature does not match.")
        timestamp = parameters["oauth_timestamp"]
        if not timestamp.isdecimal() or abs(claim.now - int(timestamp)) > CLOCKS_MAY_DIFFER:
            raise _refusal("Invalid timestamp.")
        return key


def _signature(method: str, address: str, parameters: Mapping[str, str], secret: str) -> str:
    pairs = (f"{_escaped(name)}={_escaped(parameters[name])}" for name in sorted(parameters))
    text = "&".join([method.upper(), quote(address, safe="~"), "%26".join(map(_escaped, pairs))])
    return base64.b64encode(hmac.digest(f"{secret}&".encode(), text.encode(), hashlib.sha256)).decode()


def _escaped(text: str) -> str:
    return quote(text, safe="~")


def _basic(header: str) -> tuple[str, str]:
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, _, secret = base64.b64decode(value).decode("utf-8", "replace").partition(":")
    except ValueError:
        return "", ""
    return name, secret


def _oauth_header(header: str) -> dict[str, str]:
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "oauth":
        return {}
    pairs = (pair.strip().partition("=") for pair in value.split(","))
    return {name: unquote(text.strip('"')) for name, _, text in pairs if name.startswith("oauth_")}


def _check_permission(key: Key, method: str) -> None:
    """A key without the right is refused with the code of a wrong key; only the message differs."""
    needed = "read" if method in {"GET", "HEAD"} else "write"
    if method != "OPTIONS" and key.permissions not in {needed, "read_write"}:
        raise _refusal(f"The API key provided does not have {needed} permissions.")


def _refusal(message: str) -> RestError:
    return RestError(401, "woocommerce_rest_authentication_error", message)
