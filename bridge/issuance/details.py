"""What the decision needs of an order's metadata, lines and address: pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

from bridge.issuance.order import NO_SUM, Details

# In an order's metadata, a gateway notes that it was in test mode: WooPayments `_wcpay_mode`, Mollie
# `_mollie_payment_mode`, PayPal `_ppcp_paypal_payment_mode`, SkyVerge's `_wc_<gateway>_environment`.
_MODE = re.compile(r".*(_mode|_environment|_env)", re.IGNORECASE)
_TEST_FLAG = re.compile(r".*(test_?mode|_sandbox|_is_test|test_order|_livemode)", re.IGNORECASE)
_TEST_MODES = {"test", "testing", "sandbox", "testmode", "test_mode"}
_YES, _NO = {"yes", "true", "1", "on"}, {"no", "false", "0", "off"}

_VAT_ID = re.compile(r"vat_?(number|id|no)\b|billing_(eu_)?vat|tax_?id\b", re.IGNORECASE)
_ADDRESSEE = (
    "first_name",
    "last_name",
    "company",
    "address_1",
    "address_2",
    "city",
    "state",
    "postcode",
    "country",
)
_LINES = ("line_items", "fee_lines", "shipping_lines")
_LINE_FIELDS = ("name", "method_title", "quantity", "total", "total_tax")
MAX_VALUE = 100  # characters of a metadata value that are kept


def read_details(data: Mapping[str, object]) -> Details:
    """The details of an order's body that come from its metadata, lines and address.

    `invoiced_by` is all metadata with a value; the caller keeps the keys that its store names.
    """
    meta = dict(_metadata(data.get("meta_data")))
    return Details(
        is_test=any(_is_test_mode(key, value) for key, value in meta.items()),
        is_anonymized=meta.get("_anonymized", "").lower() in _YES,
        invoiced_by=meta,
        lines=_digest([_line(line) for name in _LINES for line in _objects(data.get(name))]),
        customer=_digest(_customer(data.get("billing"), meta)),
    )


def summed_refunds(refunds: object, amount: Callable[[object], str]) -> str | None:
    """The sum of the refunds, `10.00` for one of `-10.00`; None if one cannot be read.

    `amount` reads one amount, and returns an empty string for what is no amount.
    """
    if not refunds:
        return NO_SUM
    if not isinstance(refunds, list):
        return None
    paid_back = Decimal(0)
    for refund in refunds:
        total = amount(refund.get("total")) if isinstance(refund, dict) else ""
        if not total:
            return None
        paid_back += abs(Decimal(total))
    return str(paid_back)


def _metadata(meta_data: object) -> Iterator[tuple[str, str]]:
    """Keys with their values as text; empty values, lists and objects are left out."""
    for entry in _objects(meta_data):
        key, value = entry.get("key"), entry.get("value")
        if isinstance(value, bool):
            value = "true" if value else "false"
        if isinstance(key, str) and isinstance(value, str | int | float) and str(value).strip():
            yield key, "".join(c if c.isprintable() else "?" for c in str(value).strip()[:MAX_VALUE])


def _is_test_mode(key: str, value: str) -> bool:
    value = value.lower()
    if _MODE.fullmatch(key) and value in _TEST_MODES:
        return True
    if _TEST_FLAG.fullmatch(key):
        return value in (_NO if key.lower().endswith("livemode") else _YES)
    return False


def _line(line: Mapping[str, object]) -> list[str]:
    return [str(line.get(name) or "") for name in _LINE_FIELDS]


def _customer(billing: object, meta: Mapping[str, str]) -> list[str]:
    address = billing if isinstance(billing, dict) else {}
    vat_ids = sorted({value for key, value in meta.items() if _VAT_ID.search(key)})
    return [*(str(address.get(name) or "").strip() for name in _ADDRESSEE), *vat_ids]


def _objects(value: object) -> Iterator[Mapping[str, object]]:
    if isinstance(value, list):
        yield from (element for element in value if isinstance(element, dict))


def _digest(value: list[object] | list[str] | list[list[str]]) -> str:
    """A digest for comparison; empty for a body without such data, as old API versions send it."""
    if not any(value):
        return ""
    raw = json.dumps(value, ensure_ascii=True).encode()
    return hashlib.sha256(raw).hexdigest()[:24]
