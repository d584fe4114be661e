"""How a call fails. The text of each error is a sentence or two for a person.

    Exception
    └── ShopError
        ├── ShopUnreachableError   no name, no connection, no answer in time, or a proxy has none
        ├── CertificateError       the certificate does not prove that it is this host
        ├── RedirectedError        the address redirects; no keys were sent on
        ├── NotAShopError          no WooCommerce at this address
        ├── PermalinksError        WordPress has no page at `/wp-json/`
        ├── FirewallError          something else than WooCommerce answered
        ├── KeyRefusedError        the key is not accepted
        ├── RightsError            the key is accepted and may not do this
        ├── MaintenanceError       503
        ├── BusyError              429, or a long Retry-After
        └── AnswerError            an answer that cannot be read or believed, or an error of the shop's

No error holds a key, a secret, a signature, a query, a part of an answer, or another exception.
"""

from __future__ import annotations


class ShopError(Exception):
    """A call failed. `status`: the answer's, None without one.

    `is_lighter_better`: the shop may be able to answer a smaller question. A request that reads can always be
    tried again; one that writes may have taken effect if it failed with ShopUnreachableError or AnswerError.
    """

    def __init__(self, message: str, *, status: int | None = None, is_lighter_better: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.is_lighter_better = is_lighter_better


class ShopUnreachableError(ShopError):
    """The shop's host has no address, refuses the connection, breaks it off, or does not answer in time."""


class CertificateError(ShopError):
    """The certificate of the host is self-signed, expired, another host's, or incomplete."""


class RedirectedError(ShopError):
    """The address redirects to another one, which the text names. `address`: what to give in its place."""

    def __init__(self, message: str, *, address: str | None = None, status: int | None = None) -> None:
        super().__init__(message, status=status)
        self.address = address


class NotAShopError(ShopError):
    """There is no WooCommerce at this address, or its REST API is switched off."""


class PermalinksError(ShopError):
    """WordPress serves no pretty addresses (any more), so that there is nothing at `/wp-json/`."""


class FirewallError(ShopError):
    """A firewall, a plugin or a password page answered in WooCommerce's place."""


class KeyRefusedError(ShopError):
    """WooCommerce does not accept the key: it was deleted, mistyped, or its header does not arrive."""


class RightsError(ShopError):
    """WooCommerce accepts the key, which may not do this: a read-only key, or a user who lacks a right."""


class BusyError(ShopError):
    """The shop asks for fewer requests. `retry_after`: seconds to wait, if it said so."""

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, status=status)
        self.retry_after = retry_after


class MaintenanceError(ShopError):
    """The shop is in maintenance, or overloaded (503)."""


class AnswerError(ShopError):
    """The answer is unreadable, too large, not what was asked for, or an error of the shop's."""
