"""Finds where a shop's API is and which login it accepts, and says what is in the way if there is none.

1. The index of WordPress's API is asked for without keys, at `/wp-json/` and then by `?rest_route=`. Only
   this question may be redirected, and only from http to https of the same host.
2. Where WooCommerce's API is, or may be, one order's id is asked for with each login in turn. A plain http
   address is only asked with a signature, which does not tell the secret.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from bridge.shop.address import PLAIN, PRETTY, host_of, is_https, shop_url, target
from bridge.shop.answers import data_of, error_of, refusal_in
from bridge.shop.errors import (
    AnswerError,
    FirewallError,
    KeyRefusedError,
    NotAShopError,
    PermalinksError,
    RedirectedError,
    ShopError,
)
from bridge.shop.models import Endpoint, Login, ShopKeys
from bridge.shop.redirects import redirect_of, redirected
from bridge.shop.transport import Answer, ShopConnection

NAMESPACE = "wc/v3"
_NOT_LOGGED_IN = "woocommerce_rest_cannot_view"


@dataclass(frozen=True, slots=True)
class _Found:
    """An API: its address, and the shop's own address as it tells it (empty if it does not)."""

    api: str
    home: str = ""


def find_endpoint(
    url: str,
    keys: ShopKeys,
    *,
    pause: float = 0.5,
    connect_timeout: float = 10,
    read_timeout: float = 60,
    sleep: Callable[[float], object] = time.sleep,
) -> Endpoint:
    """The shop at this address, once it has shown an order's id to these keys. Raises ShopError.

    The endpoint's `url` is https where the one given is http and redirects there.
    """
    address = shop_url(url)
    while True:
        connection = ShopConnection(
            address, pause=pause, connect_timeout=connect_timeout, read_timeout=read_timeout, sleep=sleep
        )
        try:
            found = _find_api(connection, address)
            if isinstance(found, _Found):
                return Endpoint(address, found.api, _find_login(connection, address, found, keys))
            address = found
        finally:
            connection.close()


def _find_api(connection: ShopConnection, address: str) -> _Found | str:
    """The API; or the https address to which an http address redirects."""
    perhaps: list[_Found] = []
    errors: list[ShopError] = []
    for kind, index, query in (
        (PRETTY, f"{address}/wp-json/", {}),
        (PLAIN, f"{address}/index.php", {"rest_route": "/"}),
    ):
        answer = connection.send("GET", index, {**query, "_fields": "namespaces,home"})
        elsewhere = redirect_of(index, answer)
        if elsewhere is not None and _is_https_of(elsewhere, address):
            return elsewhere
        if elsewhere is not None and elsewhere != address:
            errors.append(redirected(connection.host, answer, index))
        elif not 200 <= answer.status < 300 and refusal_in(answer) is not None and answer.status != 404:
            perhaps.append(_Found(f"{address}{kind}"))  # the index is not for everybody; the API may be
        else:
            try:
                return _Found(f"{address}{kind}", _home_in(connection.host, answer))
            except (AnswerError, FirewallError, PermalinksError, RedirectedError) as error:
                errors.append(error)
            except NotAShopError as error:
                if answer.status < 300:
                    raise
                errors.append(error)
    if perhaps:
        return perhaps[0]
    raise _worst(connection.host, errors)


def _is_https_of(elsewhere: str, address: str) -> bool:
    """Whether a redirect leads from http to https of the same host and path."""
    there, here = urlsplit(elsewhere), urlsplit(address)
    is_same = (there.hostname, there.path) == (here.hostname, here.path)
    return is_same and there.scheme == "https" and here.scheme == "http"


def _home_in(host: str, answer: Answer) -> str:
    """The shop's own address, from the index of an API that has WooCommerce's; empty if it is not told."""
    if not 200 <= answer.status < 300:
        raise error_of(host, answer, is_write=False, is_pretty=False)
    index = data_of(host, answer)
    namespaces = index.get("namespaces") if isinstance(index, dict) else None
    if not isinstance(namespaces, list):
        raise AnswerError(f"{host} answered with something else than the index of WordPress's API.")
    if NAMESPACE not in namespaces:
        raise NotAShopError(
            f"{host} is WordPress without WooCommerce, or with one before 3.5: is the plugin active there?"
        )
    home = index.get("home")
    return home if isinstance(home, str) else ""


def _worst(host: str, errors: list[ShopError]) -> ShopError:
    """The error that says most about why no API was found."""
    for kind in (RedirectedError, AnswerError):
        for error in errors:
            if isinstance(error, kind):
                return error
    refused = [error for error in errors if isinstance(error, FirewallError) and error.status != 200]
    if refused:
        return refused[0]
    return NotAShopError(
        f"{host} is no WordPress with an API: neither /wp-json/ nor ?rest_route=/ answers. Check the "
        "address, with the folder if the shop is in one."
    )


def _find_login(connection: ShopConnection, address: str, found: _Found, keys: ShopKeys) -> Login:
    logins = list(Login) if is_https(address) else [Login.OAUTH]
    errors: list[ShopError] = []
    codes: set[str] = set()
    for login in logins:
        if login is Login.QUERY and any(isinstance(error, FirewallError) for error in errors):
            break  # key and secret go into the logs of a shop only if that may help
        route, query = target(found.api, "orders", {"per_page": "1", "_fields": "id"})
        answer = connection.send("GET", route, query, login=login, keys=keys)
        if 200 <= answer.status < 300:
            if not isinstance(data_of(connection.host, answer), list):
                raise AnswerError(f"{connection.host} answered with what is no list of orders.")
            return login
        refusal = refusal_in(answer)
        codes.add(refusal.code if refusal else "")
        error = error_of(connection.host, answer, is_write=False, is_pretty=found.api.endswith(PRETTY))
        if not isinstance(error, KeyRefusedError | FirewallError):
            raise error
        errors.append(error)
    raise _refused(address, found, errors, codes)


def _refused(address: str, found: _Found, errors: list[ShopError], codes: set[str]) -> ShopError:
    """Why no login was accepted."""
    host = host_of(address)
    firewalls = [error for error in errors if isinstance(error, FirewallError)]
    if firewalls:
        return firewalls[0]
    home = _other_home(found.home, address)
    if home is not None:
        return RedirectedError(
            f"{host} refuses the keys, and the shop calls itself {home}: give that address.", address=home
        )
    if found.api.endswith(PLAIN) and codes == {_NOT_LOGGED_IN}:
        return PermalinksError(
            f"Permalinks of {host} are switched off, and it does not read keys without them: choose any but "
            "Plain under Settings, Permalinks."
        )
    hint = "" if is_https(address) else " If the shop has https, give its https:// address."
    return KeyRefusedError(f"{errors[-1]}{hint}", status=errors[-1].status)


def _other_home(home: str, address: str) -> str | None:
    """The shop's own address if it is on another host; a signature holds that host."""
    try:
        own = shop_url(home) if home else address
    except NotAShopError:
        return None
    return own if host_of(own) != host_of(address) else None
