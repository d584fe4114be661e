"""What an order's metadata, lines and address tell the decision: pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

from bridge.issuance.order import NO_SUM, Details

# Gateways note in an order's metadata that they were in test mode: WooPayments `_wcpay_mode`, Mollie
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
_OF_LINE = ("name", "method_title", "quantity", "total", "total_tax")
MAX_VALUE = 100  # characters of a value that is kept


def read_details(data: Mapping[str, object]) -> Details:
    """What an order's body tells beside its fields. `invoiced_by` holds all metadata that has a value.

    The caller keeps of that what its store asks for.
    """
    meta = dict(_metadata(data.get("meta_data")))
    return Details(
        is_test=any(_is_test_mode(key, value) for key, value in meta.items()),
        is_anonymized=meta.get("_anonymized", "").lower() in _YES,
        invoiced_by=meta,
        lines=_digest([_line(one) for name in _LINES for one in _objects(data.get(name))]),
        customer=_digest(_customer(data.get("billing"), meta)),
    )


def summed_refunds(refunds: object, amount: Callable[[object], str]) -> str | None:
    """What was paid back in all, `10.00` for one refund of `-10.00`; None if a sum cannot be read.

    `amount` reads one sum, and returns nothing for what is none.
    """
    if not refunds:
        return NO_SUM
    if not isinstance(refunds, list):
        return None
    paid_back = Decimal(0)
    for one in refunds:
        total = amount(one.get("total")) if isinstance(one, dict) else ""
        if not total:
            return None
        paid_back += abs(Decimal(total))
    return str(paid_back)


def _metadata(meta_data: object) -> Iterator[tuple[str, str]]:
    """Keys with their values as text; what is empty, or no single value, is left out."""
    for one in _objects(meta_data):
        key, value = one.get("key"), one.get("value")
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
    return [str(line.get(name) or "") for name in _OF_LINE]


def _customer(billing: object, meta: Mapping[str, str]) -> list[str]:
    address = billing if isinstance(billing, dict) else {}
    vat_ids = sorted({value for key, value in meta.items() if _VAT_ID.search(key)})
    return [*(str(address.get(name) or "").strip() for name in _ADDRESSEE), *vat_ids]


def _objects(value: object) -> Iterator[Mapping[str, object]]:
    if isinstance(value, list):
        yield from (one for one in value if isinstance(one, dict))


def _digest(value: list[object] | list[str] | list[list[str]]) -> str:
    """Empty for a body that has nothing to compare, as test doubles and old API versions send it."""
    if not any(value):
        return ""
    raw = json.dumps(value, ensure_ascii=True).encode()
    return hashlib.sha256(raw).hexdigest()[:24]
