"""Which document an order gets by a store's config: a pure function."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

_DEAD = {"cancelled", "failed", "refunded", "trash"}
_NOT_YET_AN_ORDER = {"checkout-draft", "auto-draft", "draft", "new"}
_UNPAID = {"on-hold", "pending"}


class Kind(StrEnum):
    """The kinds of document that an order can get."""

    INVOICE = "invoice"
    ESTIMATE = "estimate"


def kind_for(status: str, payment_method: str, config: Mapping[str, object]) -> Kind | None:
    """The kind of document that an order in this status gets by an active config; None if it gets none.

    From the API document: `issueInvoiceForBankPayment` says which document a bank payment gets when
    the order is received, `issueInvoiceOnComplete` when an invoice is issued. Both are off if not set.
    """
    status = status.removeprefix("wc-")  # WooCommerce stores it so, and some plugins send it so
    if status in _DEAD or status in _NOT_YET_AN_ORDER:
        return None
    awaits_transfer = payment_method == "bacs" and status in _UNPAID
    if awaits_transfer and config.get("issueInvoiceForBankPayment") is not True:
        return Kind.ESTIMATE
    if config.get("issueInvoiceOnComplete") is True and status != "completed":
        return None
    return Kind.INVOICE
