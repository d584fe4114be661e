"""What a redirect says about the address that was asked: pure. None is followed with keys in hand."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from bridge.shop.address import shop_url
from bridge.shop.errors import NotAShopError, RedirectedError
from bridge.shop.transport import Answer


def redirect_of(asked: str, answer: Answer) -> str | None:
    """The shop's address, as it were to be given, to which an answer to a request for `asked` redirects.

    None for an answer that is no redirect, or one to nowhere.
    """
    location = answer.headers.get("Location")
    if not 300 <= answer.status < 400 or location is None:
        return None
    try:
        target = urlsplit(urljoin(asked, location))
        return shop_url(target._replace(query="", fragment="").geturl())
    except (ValueError, NotAShopError):
        return None


def redirected(host: str, answer: Answer, asked: str | None = None) -> RedirectedError:
    """The error for a redirect."""
    address = redirect_of(asked or f"https://{host}/", answer)
    if address is None:
        return RedirectedError(
            f"{host} redirects ({answer.status}) to where no shop is: check the address.",
            status=answer.status,
        )
    return RedirectedError(
        f"{host} redirects to {address}, and keys are not sent there by themselves: if it is the shop's own "
        f"address, give it: {address}",
        address=address,
        status=answer.status,
    )
