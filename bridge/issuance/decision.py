"""The decision: which document of an order is due now, or why none is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bridge.issuance.order import Order, decimal
from bridge.issuance.status import Standing, standard_status, standing


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
class Policy:
    """What the bridge itself lets a store choose."""

    issue_pending: bool = False
    bank_payment_methods: frozenset[str] = frozenset({"bacs"})
    status_map: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """A document that was issued, or may have been, and for how much."""

    total: str
    currency: str


@dataclass(frozen=True, slots=True)
class Documents:
    """The documents of an order that exist or may exist."""

    invoice: Document | None = None
    estimate: Document | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision and one sentence on why; `rule` names what decided, in a word that holds no value."""

    decision: Decision
    reason: str
    rule: str = "other"


def decide(
    order: Order, *, deleted: bool, config: Config | None, policy: Policy, documents: Documents
) -> Verdict:
    """Say what is due. The first rule that has something to say wins; they stand in their order below.

    `config` is None while it has never been fetched from Space Invoices.
    """
    status = standard_status(order, policy.status_map)
    deleted = deleted or status == "trash"
    if config is None:
        return Verdict(
            Decision.WAIT, "The store's config has not been fetched from Space Invoices yet.", "no_config"
        )
    if not config.active:
        return Verdict(Decision.SKIP, "The store is inactive in Space Invoices.", "inactive")
    if deleted:
        return _deleted(documents)
    if documents.invoice is not None:
        return _after_the_invoice(order, status, documents.invoice)
    reached = standing(order, policy.status_map)
    if reached is Standing.DEAD:
        return _dead(order, documents)
    if (waiting := _not_received(order, reached, policy)) is not None:
        return waiting
    return _received(order, reached, config, policy, documents)


def _deleted(documents: Documents) -> Verdict:
    issued = "invoice" if documents.invoice else "estimate" if documents.estimate else ""
    if issued:
        return Verdict(
            Decision.ATTENTION,
            f"The order was deleted in WooCommerce after its {issued}.",
            f"deleted_after_{issued}",
        )
    return Verdict(Decision.SKIP, "The order was deleted in WooCommerce.", "deleted")


def _after_the_invoice(order: Order, status: str, invoice: Document) -> Verdict:
    if status in {"cancelled", "refunded"} or order.has_refunds:
        how = "cancelled" if status == "cancelled" else "refunded"
        return Verdict(
            Decision.ATTENTION,
            f"The order was {how} after its invoice: a credit note is due, to be made in Space Invoices.",
            f"{how}_after_invoice",
        )
    if decimal(order.total) != decimal(invoice.total) or order.currency != invoice.currency:
        return Verdict(
            Decision.ATTENTION,
            f"The order changed after its invoice: invoiced {invoice.total} {invoice.currency}, "
            f"now {order.total} {order.currency}.",
            "changed_after_invoice",
        )
    return Verdict(Decision.DONE, "The order has its invoice.", "invoiced")


def _dead(order: Order, documents: Documents) -> Verdict:
    if documents.estimate:
        return Verdict(
            Decision.ATTENTION,
            f"The order is {order.status}, and its estimate is still standing.",
            "dead_after_estimate",
        )
    return Verdict(Decision.SKIP, f"The order is {order.status}.", "dead")


def _not_received(order: Order, reached: Standing, policy: Policy) -> Verdict | None:
    match reached:
        case Standing.NOT_YET_AN_ORDER:
            return Verdict(Decision.WAIT, f"The order is still a draft ({order.status}).", "draft")
        case Standing.PENDING if not policy.issue_pending:
            return Verdict(Decision.WAIT, "The checkout was begun and nothing is paid (pending).", "pending")
        case Standing.UNKNOWN:
            return Verdict(
                Decision.WAIT,
                f"The status {order.status} is not a standard one and nothing is paid: "
                f"map it in the store's status_map.",
                "unknown_status",
            )
    return None


def _received(
    order: Order, reached: Standing, config: Config, policy: Policy, documents: Documents
) -> Verdict:
    if reached is Standing.COMPLETED:
        return Verdict(Decision.INVOICE, "The order is completed.", "completed")
    by_bank = order.payment_method in policy.bank_payment_methods
    unpaid = reached in {Standing.PENDING, Standing.ON_HOLD}
    if by_bank and unpaid and not config.issue_invoice_for_bank_payment:
        if documents.estimate:
            return Verdict(
                Decision.WAIT, "The estimate is out, and the bank payment has not come in.", "estimated"
            )
        return Verdict(
            Decision.ESTIMATE, "The order was received and is to be paid by bank transfer.", "by_bank"
        )
    if config.issue_invoice_on_complete:
        return Verdict(
            Decision.WAIT, "The invoice is issued on completion (issueInvoiceOnComplete).", "on_completion"
        )
    paid = "is to be paid by bank transfer" if by_bank and unpaid else "is " + order.status
    return Verdict(Decision.INVOICE, f"The order was received and {paid}.", "received")
