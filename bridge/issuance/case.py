"""What a decision rests on, and what it says: plain values."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from bridge.issuance.options import Policy
from bridge.issuance.order import Order, decimal
from bridge.issuance.status import OrderStage


class Decision(StrEnum):
    """What to do with an order now; INVOICE and ESTIMATE name the document that is due."""

    INVOICE = "invoice"
    ESTIMATE = "estimate"
    WAIT = "wait"
    SKIP = "skip"
    DONE = "done"
    ATTENTION = "attention"


@dataclass(frozen=True, slots=True)
class Config:
    """The properties of a Space Invoices Woocommerce object that decide, with its defaults."""

    active: bool = True
    issue_invoice_for_bank_payment: bool = False
    issue_invoice_on_complete: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """A document that was issued, or may have been: for how much, for what and for whom.

    `lines` and `customer` are digests, empty where they are not known.
    """

    total: str
    currency: str
    lines: str = ""
    customer: str = ""


@dataclass(frozen=True, slots=True)
class Documents:
    """The documents of an order that exist or may exist."""

    invoice: Document | None = None
    estimate: Document | None = None


@dataclass(frozen=True, slots=True)
class Exceptions:
    """What holds for one order alone.

    `issue_anyway`: a person wants its document in spite of what keeps it back. `is_from_before`: it was known
    before there were rules on old orders and on sub-orders, which do not apply to it. `former_key` is the key
    that it had before the shop changed it.
    """

    issue_anyway: bool = False
    is_from_before: bool = False
    former_key: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision and one sentence on why; `rule` names what decided, in a word that holds no value."""

    decision: Decision
    reason: str
    rule: str = "other"


@dataclass(frozen=True, slots=True)
class Case:
    """All that a decision rests on. `reached` is where the order stands by the store's own statuses."""

    order: Order
    config: Config
    policy: Policy
    documents: Documents
    exceptions: Exceptions
    is_deleted: bool
    reached: OrderStage

    @property
    def total(self) -> Decimal:
        return decimal(self.order.total) or Decimal(0)

    @property
    def paid_back(self) -> Decimal:
        return decimal(self.order.details.paid_back) or Decimal(0)

    @property
    def has_documents(self) -> bool:
        return self.documents.invoice is not None or self.documents.estimate is not None
