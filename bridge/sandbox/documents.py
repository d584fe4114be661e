"""Which document an order gets by a store's config, and how documents are numbered; pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

DEAD = frozenset({"cancelled", "failed", "refunded", "trash"})
NOT_YET_AN_ORDER = frozenset({"checkout-draft", "auto-draft", "draft", "new"})
UNPAID = frozenset({"on-hold", "pending"})


class Kind(StrEnum):
    """The kinds of document that an order can get."""

    INVOICE = "invoice"
    ESTIMATE = "estimate"


_PREFIX = {Kind.INVOICE: "INV", Kind.ESTIMATE: "EST"}


@dataclass(frozen=True, slots=True)
class Order:
    """The properties of an order that a document needs. `total` is a string, as WooCommerce sends it."""

    id: int
    key: str
    number: str
    status: str
    payment_method: str
    total: str
    currency: str


@dataclass(frozen=True, slots=True)
class Document:
    """An issued document. `issued_at` is aware. `duplicate`: the order had a document of this kind before.

    `out_of_order`: it is an estimate, and the order had its invoice before.
    """

    number: str
    kind: Kind
    woocommerce_id: str
    order: Order
    idempotency_key: str | None
    issued_at: datetime
    duplicate: bool
    out_of_order: bool

    def as_json(self) -> dict[str, object]:
        """The document as `GET /sandbox/documents` lists it."""
        return {
            "number": self.number,
            "kind": self.kind.value,
            "woocommerceId": self.woocommerce_id,
            "orderId": self.order.id,
            "orderKey": self.order.key,
            "orderNumber": self.order.number,
            "total": self.order.total,
            "currency": self.order.currency,
            "status": self.order.status,
            "idempotencyKey": self.idempotency_key,
            "issuedAt": self.issued_at.astimezone(UTC).isoformat(timespec="milliseconds"),
            "duplicate": self.duplicate,
            "out_of_order": self.out_of_order,
        }


def kind_for(status: str, payment_method: str, config: Mapping[str, object]) -> Kind | None:
    """The kind of document that an order in this status gets by an active config; None if it gets none.

    From the API document: `issueInvoiceForBankPayment` says which document a bank payment gets when
    the order is received, `issueInvoiceOnComplete` when an invoice is issued. Both are off if not set.
    """
    status = status.removeprefix("wc-")  # WooCommerce stores it so, and some plugins send it so
    if status in DEAD or status in NOT_YET_AN_ORDER:
        return None
    awaits_transfer = payment_method == "bacs" and status in UNPAID
    if awaits_transfer and config.get("issueInvoiceForBankPayment") is not True:
        return Kind.ESTIMATE
    if config.get("issueInvoiceOnComplete") is True and status != "completed":
        return None
    return Kind.INVOICE


def number_of(kind: Kind, year: int, position: int) -> str:
    """The number of a document: `INV-2026-0001` for the first invoice of 2026."""
    return f"{_PREFIX[kind]}-{year}-{position:04d}"
