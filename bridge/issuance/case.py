"""What a decision depends on, and the verdict: plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from bridge.issuance.kinds import Kind
from bridge.issuance.options import Policy
from bridge.issuance.order import Order, decimal
from bridge.issuance.status import OrderStage


class Decision(StrEnum):
    """What to do with an order now."""

    ISSUE = "issue"
    WAIT = "wait"
    SKIP = "skip"
    DONE = "done"
    ATTENTION = "attention"


@dataclass(frozen=True, slots=True)
class Config:
    """The properties of a Woocommerce object that decide, with the API's defaults."""

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


Documents: TypeAlias = Mapping[Kind, Document]
"""The documents of an order that exist or may exist."""


@dataclass(frozen=True, slots=True)
class Exceptions:
    """What applies to one order alone.

    `issue_anyway`: an operator wants its document, although a rule holds it back. `is_from_before`: the order
    was known before there were rules on old orders and sub-orders, which do not apply to it. `former_key` is
    the key that it had before the shop changed it.
    """

    issue_anyway: bool = False
    is_from_before: bool = False
    former_key: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision, one sentence on why, and the name of the rule that decided, which contains no value.

    `kind` is the kind of document that is due; None unless the decision is to issue one.
    """

    decision: Decision
    reason: str
    rule: str
    kind: Kind | None = None

    def __post_init__(self) -> None:
        if (self.kind is not None) != (self.decision is Decision.ISSUE):
            raise ValueError("a verdict names a kind of document if it is to issue one, and else none")

    @classmethod
    def issue(cls, kind: Kind, reason: str, rule: str) -> Verdict:
        """A document of this kind is due."""
        return cls(Decision.ISSUE, reason, rule, kind)

    def __str__(self) -> str:
        return f"{self.label}: {self.reason}"

    @property
    def label(self) -> str:
        """The decision as it is stored and shown: one of LABELS."""
        return (self.kind or self.decision).value


LABELS: Sequence[str] = [label.value for label in (*Kind, *Decision) if label is not Decision.ISSUE]
"""The decisions as the ledger, JSON and metrics have them: the kind that is due, or why none is."""


@dataclass(frozen=True, slots=True)
class Case:
    """All that a decision depends on. `stage` is the order's, with the store's own statuses mapped."""

    order: Order
    config: Config
    policy: Policy
    documents: Documents
    exceptions: Exceptions
    is_deleted: bool
    stage: OrderStage

    @property
    def total(self) -> Decimal:
        return decimal(self.order.total) or Decimal(0)

    @property
    def paid_back(self) -> Decimal:
        return decimal(self.order.details.paid_back) or Decimal(0)

    @property
    def invoice(self) -> Document | None:
        return self.documents.get(Kind.INVOICE)

    @property
    def estimate(self) -> Document | None:
        return self.documents.get(Kind.ESTIMATE)
