"""What an answer of a shop means: pure. It tells WooCommerce's own answers from everybody else's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bridge.retry_after import parse_retry_after
from bridge.shop.errors import (
    AnswerError,
    BusyError,
    FirewallError,
    KeyRefusedError,
    MaintenanceError,
    NotAShopError,
    PermalinksError,
    RightsError,
    ShopError,
    ShopUnreachableError,
)
from bridge.shop.redirects import redirected
from bridge.shop.transport import USER_AGENT, Answer

NO_ORDER = "woocommerce_rest_shop_order_invalid_id"


_CODE = re.compile(r"[A-Za-z0-9_.-]{1,80}")
_PAGE = re.compile(rb"\s*<(!doctype|html|head|body|\?xml|!--)", re.IGNORECASE)
_ELEMENT = re.compile(r"[\s,]*(?=[^\s,\]])")  # what stands before the next element of an array
_PHP = re.compile(rb"\s*(<br ?/?>\s*)*(<b>)?(PHP )?(Notice|Warning|Deprecated|(Fatal|Parse) error)(</b>)?:")
_TELLS_OF_READING = re.compile(r"\bread permission", re.IGNORECASE)  # in English; its code tells nothing
_ALLOW = f"allow requests of {USER_AGENT.partition('/')[0]} (its User-Agent) to /wp-json/wc/v3/ there"
# 502 and 504: the web server has no answer from PHP; 520 to 527: Cloudflare has none from the shop.
_WITHOUT_ANSWER = {502, 504, *range(520, 528)}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as the REST API of WordPress tells it, `{"code", "message", "data": {"status"}}`."""

    code: str
    message: str

    @property
    def is_of_woocommerce(self) -> bool:
        return self.code.startswith("woocommerce_")


def refusal_in(answer: Answer) -> Refusal | None:
    """The error in an answer of 400 or above; None if it is not one of WordPress's API."""
    try:
        data = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    code, message = data.get("code"), data.get("message")
    if not isinstance(code, str) or not _CODE.fullmatch(code) or not isinstance(message, str):
        return None
    return Refusal(code, message)


def elements(text: str) -> Iterator[bytes]:
    """The elements of a JSON array, each in the very characters that stand there."""
    decoder, at = json.JSONDecoder(), text.index("[") + 1
    while (match := _ELEMENT.match(text, at)) is not None:
        _, end = decoder.raw_decode(text, match.end())
        yield text[match.end() : end].encode()
        at = end


def data_of(host: str, answer: Answer) -> Any:
    """The JSON of a 2xx. Raises FirewallError for a page, and AnswerError for anything else."""
    body = answer.body
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        pass
    if _PHP.match(body):
        raise AnswerError(
            f"{host} printed errors of PHP before its answer: switch off their display there "
            "(display_errors, WP_DEBUG_DISPLAY).",
            status=answer.status,
        )
    if _PAGE.match(body):
        raise FirewallError(
            f"{host} answered with a web page in WooCommerce's place: a firewall, a page with a password, or "
            f"permalinks that are switched off. Look at it in a browser; {_ALLOW}.",
            status=answer.status,
        )
    kind = "nothing" if not body.strip() else "what is not JSON, or not all of it"
    raise AnswerError(f"{host} answered {answer.status} with {kind}.", status=answer.status)


def error_of(host: str, answer: Answer, *, is_write: bool, is_pretty: bool) -> ShopError:
    """The error that an answer other than a 2xx is."""
    status = answer.status
    if 300 <= status < 400:
        return redirected(host, answer)
    if status == 429:
        seconds = parse_retry_after(answer.headers.get("Retry-After"), now=answer.date or datetime.now(UTC))
        when = "later" if seconds is None else f"in {seconds:.0f} s"
        return BusyError(
            f"{host} limits how often it is asked (429): it can be asked again {when}.",
            status=status,
            retry_after=seconds,
        )
    if status == 503:
        return MaintenanceError(
            f"{host} is in maintenance or overloaded (503): try again later.", status=status
        )
    refusal = refusal_in(answer)
    if status == 407:
        return ShopUnreachableError("The proxy of this network asks for a login (407).", status=status)
    if status in _WITHOUT_ANSWER and refusal is None:
        return ShopUnreachableError(
            f"{host} answered {status}: its web server has no answer from the shop.",
            status=status,
            is_lighter_better=True,
        )
    if refusal is None:
        return _of_somebody_else(host, answer, is_pretty=is_pretty)
    return _of_wordpress(host, status, refusal, is_write=is_write)


def _of_wordpress(host: str, status: int, refusal: Refusal, *, is_write: bool) -> ShopError:
    code = refusal.code
    if status == 401 and (refusal.is_of_woocommerce or code == "rest_forbidden"):
        if _TELLS_OF_READING.search(refusal.message):
            return RightsError(
                f"The key of {host} may write and not read: make one with the permission Read/Write.",
                status=status,
            )
        may_be = " It may have been deleted, or may only read." if is_write else ""
        return KeyRefusedError(
            f"{host} does not accept the key ({code}).{may_be} Look at it under WooCommerce, Settings, "
            "Advanced, REST API; or connect the shop again.",
            status=status,
        )
    if status == 403 and (refusal.is_of_woocommerce or code == "rest_forbidden"):
        return RightsError(
            f"The key of {host} is accepted, and its user may not do this ({code}): make a key for a shop "
            "manager or an administrator, with the permission Read/Write.",
            status=status,
        )
    if status in {401, 403}:
        return FirewallError(
            f"A plugin of {host} refuses requests to the API ({code}): allow /wp-json/wc/v3/ in it.",
            status=status,
        )
    if code == "rest_no_route":
        return NotAShopError(
            f"{host} answers without this part of WooCommerce's API: the plugin is off, or too old.",
            status=status,
        )
    if status >= 500:
        return AnswerError(
            f"{host} failed with an error of its own ({status}, {code}): its log tells which plugin it was.",
            status=status,
            is_lighter_better=True,
        )
    return AnswerError(f"{host} refused what it was asked ({status}, {code}).", status=status)


def _of_somebody_else(host: str, answer: Answer, *, is_pretty: bool) -> ShopError:
    status = answer.status
    if status in {404, 410}:
        if is_pretty:
            return PermalinksError(
                f"{host} has no page at /wp-json/ ({status}): permalinks are switched off, or it is not "
                "WordPress. If they are, choose any but Plain under Settings, Permalinks; or connect the "
                "shop again.",
                status=status,
            )
        return NotAShopError(f"{host} has no API of WordPress ({status}): check the address.", status=status)
    if status == 401 and answer.headers.get("WWW-Authenticate", "").lower().startswith("basic"):
        return FirewallError(
            f"{host} asks for a password of its web server's (401), as copies of a shop do: take "
            "/wp-json/wc/v3/ out of it.",
            status=status,
        )
    if status >= 500:
        return AnswerError(
            f"{host} failed with an error of its own ({status}): its log tells which plugin it was.",
            status=status,
            is_lighter_better=True,
        )
    return FirewallError(
        f"A firewall of {host} answered {status}, and not WooCommerce: {_ALLOW}.", status=status
    )
