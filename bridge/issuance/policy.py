"""What the bridge itself lets a store choose about its documents: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from bridge.issuance.order import Order

BANK_PAYMENT = "bacs"  # the only bank payment that Space Invoices knows
INVOICED_META = frozenset({"apollo_invoice_id"})  # of Space Invoices' own plugin
_LOOKS_LIKE_BANK = ("bank", "transfer", "prepay", "vorkasse", "sepa", "bacs", "überweisung", "ueberweisung")


@dataclass(frozen=True, slots=True)
class Policy:
    """A store's choices that decide. `issue_from` is None where orders of any age are issued."""

    issue_pending: bool = False
    bank_payment_methods: frozenset[str] = frozenset({BANK_PAYMENT})
    status_map: Mapping[str, str] = field(default_factory=dict)
    issue_from: datetime | None = None
    sub_orders: str = "ask"  # | issue | skip
    unpaid_on_hold: str = "issue"  # | wait
    zero_total: str = "issue"  # | skip
    test_orders: str = "skip"  # | issue
    invoiced_meta: frozenset[str] = INVOICED_META

    def is_bank_payment(self, order: Order) -> bool:
        """Whether the order's method is on the list: case does not count; `*` at the end is any ending."""
        method = order.payment_method.casefold()
        return any(
            method.startswith(entry[:-1]) if entry.endswith("*") else method == entry
            for entry in map(str.casefold, self.bank_payment_methods)
        )


def looks_like_bank_payment(order: Order) -> bool:
    """Whether the method's id or title has a word that bank payments have."""
    text = f"{order.payment_method} {order.details.payment_title}".casefold()
    return any(word in text for word in _LOOKS_LIKE_BANK)
