"""The rules of the decision, in their order: each returns a verdict, or None if it does not apply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from bridge.issuance.case import Case, Decision, Verdict
from bridge.issuance.kinds import Kind
from bridge.issuance.order import decimal, looks_like_bank_payment
from bridge.issuance.status import OrderStage, standard_status

_skip = partial(Verdict, Decision.SKIP)
_wait = partial(Verdict, Decision.WAIT)
_attention = partial(Verdict, Decision.ATTENTION)

_FURTHEST_WEST = timedelta(hours=12)  # offsets from UTC are between -12 and +14 hours


def _inactive(case: Case) -> Verdict | None:
    if case.config.active:
        return None
    return _skip("The store is inactive in Space Invoices.", "inactive")


def _deleted(case: Case) -> Verdict | None:
    if not case.is_deleted:
        return None
    issued = next((kind for kind in Kind if kind in case.documents), None)
    if issued is not None:
        return _attention(
            f"The order was deleted in WooCommerce after its {issued}.", f"deleted_after_{issued}"
        )
    return _skip("The order was deleted in WooCommerce.", "deleted")


def _credit_due(case: Case) -> Verdict | None:
    """The order was invoiced, and then paid back or ended."""
    invoice, order = case.invoice, case.order
    if invoice is None:
        return None
    credit = "a credit note is due, to be made in Space Invoices."
    status = standard_status(order, case.policy.status_map)
    if case.paid_back or order.has_refunds or status == "refunded":
        paid_back = _paid_back_of(case, status)
        return _attention(
            f"The order has its invoice over {invoice.total} {invoice.currency}, and {paid_back} was paid "
            f"back: {credit}",
            "refunded_after_invoice",
        )
    if case.stage is not OrderStage.DEAD:
        return None
    end = status if status in {"cancelled", "failed"} else "dead"
    event = "its payment failed" if end == "failed" else f"it is {order.status} now"
    return _attention(f"The order has its invoice, and {event}: {credit}", f"{end}_after_invoice")


def _paid_back_of(case: Case, status: str) -> str:
    if case.paid_back:
        return f"{case.order.details.paid_back} {case.order.currency}"
    return "all of it" if status == "refunded" else "a part of it"


def _changed_after_invoice(case: Case) -> Verdict | None:
    invoice, order, details = case.invoice, case.order, case.order.details
    if invoice is None:
        return None
    if decimal(order.total) != decimal(invoice.total) or order.currency != invoice.currency:
        return _attention(
            f"The order changed after its invoice: invoiced {invoice.total} {invoice.currency}, "
            f"now {order.total} {order.currency}.",
            "changed_after_invoice",
        )
    if invoice.lines and details.lines and invoice.lines != details.lines:
        return _attention(
            "The order's lines changed after its invoice, and its total did not: compare both.",
            "items_changed",
        )
    differs = bool(invoice.customer and details.customer) and invoice.customer != details.customer
    if differs and not details.is_anonymized:
        return _attention(
            "The customer's name, address or VAT id changed after the invoice: compare both.",
            "customer_changed",
        )
    return None


def _invoiced(case: Case) -> Verdict | None:
    if case.invoice is None:
        return None
    return Verdict(Decision.DONE, "The order has its invoice.", "invoiced")


def _dead(case: Case) -> Verdict | None:
    if case.stage is not OrderStage.DEAD:
        return None
    if case.estimate:
        return _attention(
            f"The order is {case.order.status}, and its estimate is still standing.", "dead_after_estimate"
        )
    return _skip(f"The order is {case.order.status}.", "dead")


def _erased(case: Case) -> Verdict | None:
    if not case.order.details.is_anonymized:
        return None
    return _skip("The customer's data were erased in the shop.", "anonymized")


def _invoiced_elsewhere(case: Case) -> Verdict | None:
    metadata = case.order.details.invoiced_by
    key = next((key for key in sorted(case.policy.invoiced_meta) if key in metadata), None)
    if key is None or case.documents:
        return None
    return _skip(f"Another plugin has invoiced the order: {key} is {metadata[key]}.", "invoiced_elsewhere")


def _test_order(case: Case) -> Verdict | None:
    if not case.order.details.is_test or case.policy.test_orders != "skip" or case.exceptions.issue_anyway:
        return None
    return _skip("It is a test order: its payment method was in test mode (test_orders).", "test_order")


def _before_the_bridge(case: Case) -> Verdict | None:
    begins, created = case.policy.issue_from, case.order.details.created
    is_excepted = case.exceptions.issue_anyway or case.exceptions.is_from_before
    if begins is None or created is None or case.documents or is_excepted:
        return None
    if not _is_certainly_before(created, begins, is_local=case.order.details.created_is_local):
        return None
    return _skip(
        f"The order is from before the bridge: it was created {created:%Y-%m-%d %H:%M}, and documents are "
        f"issued for orders from {begins:%Y-%m-%d %H:%M} UTC (issue_from).",
        "before_issue_from",
    )


def _is_certainly_before(created: datetime, begins: datetime, *, is_local: bool) -> bool:
    """A local time may be several moments: it is before another if the latest of them is."""
    return created + (_FURTHEST_WEST if is_local else timedelta(0)) < begins


def _not_received(case: Case) -> Verdict | None:
    order = case.order
    match case.stage:
        case OrderStage.NOT_YET_AN_ORDER:
            return _wait(f"The order is still a draft ({order.status}).", "draft")
        case OrderStage.PENDING if not case.policy.issue_pending:
            if order.has_date_paid:
                reason = (
                    "The order is pending, though its date_paid says that it was paid: once that is sure, "
                    "set its status in WooCommerce to processing."
                )
            else:
                reason = "The checkout was begun and nothing is paid (pending)."
            return _wait(reason, "pending")
        case OrderStage.UNKNOWN:
            return _wait(
                f"The status {order.status} is not one of WooCommerce's own: map it in the store's "
                f"status_map, such as {order.status}:processing.",
                "unknown_status",
            )
    return None


def _negative(case: Case) -> Verdict | None:
    if case.total >= 0 or case.exceptions.issue_anyway:
        return None
    return _attention(
        f"The order's total is {case.order.total} {case.order.currency}, and no document can be negative.",
        "negative_total",
    )


def _paid_back(case: Case) -> Verdict | None:
    if not 0 < case.total <= case.paid_back or case.exceptions.issue_anyway:
        return None
    return _skip(
        f"All of it, {case.order.total} {case.order.currency}, was paid back before any invoice.", "paid_back"
    )


def _nothing_to_pay(case: Case) -> Verdict | None:
    if case.total != 0 or case.policy.zero_total != "skip" or case.exceptions.issue_anyway:
        return None
    return _skip("The order's total is 0: nothing is to be paid (zero_total).", "zero_total")


def _sub_order(case: Case) -> Verdict | None:
    parent, option = case.order.details.parent_id, case.policy.sub_orders
    is_excepted = case.exceptions.issue_anyway or case.exceptions.is_from_before
    if not parent or option == "issue" or is_excepted:
        return None
    if option == "skip":
        return _skip(
            f"It is a part of order {parent}, which has the document (sub_orders).", "sub_order_skipped"
        )
    return _attention(
        f"It is a part of order {parent}, and would be invoiced beside it: choose what is issued for such "
        "orders (sub_orders=issue or skip), or issue this one.",
        "sub_order",
    )


def _completed(case: Case) -> Verdict | None:
    if case.stage is not OrderStage.COMPLETED:
        return None
    return Verdict.issue(Kind.INVOICE, f"The order is completed{_refunded_in_part(case)}.", "completed")


def _bank_payment(case: Case) -> Verdict | None:
    """An unpaid order by bank transfer gets an estimate."""
    is_awaited = _is_unpaid(case) and case.policy.is_bank_payment(case.order)
    if not is_awaited or case.config.issue_invoice_for_bank_payment:
        return None
    estimate, order = case.estimate, case.order
    if estimate is None and case.total == 0:
        return _wait("The order's total is 0: there is nothing to estimate.", "zero_estimate")
    if estimate is None:
        return Verdict.issue(
            Kind.ESTIMATE,
            f"The order was received and is to be paid by bank transfer{_refunded_in_part(case)}.",
            "by_bank",
        )
    if decimal(order.total) != decimal(estimate.total) or order.currency != estimate.currency:
        return _attention(
            f"The order changed after its estimate: it says {estimate.total} {estimate.currency}, and "
            f"{order.total} {order.currency} are to be paid.",
            "estimate_changed",
        )
    return _wait("The estimate is out, and the bank payment has not come in.", "estimated")


def _on_completion(case: Case) -> Verdict | None:
    if not case.config.issue_invoice_on_complete:
        return None
    return _wait(
        f"The invoice is issued on completion (issueInvoiceOnComplete){_bank_hint(case)}.", "on_completion"
    )


def _unpaid_on_hold(case: Case) -> Verdict | None:
    if case.stage is not OrderStage.ON_HOLD or case.policy.unpaid_on_hold != "wait":
        return None
    if case.policy.is_bank_payment(case.order):
        return None
    return _wait(
        "The order is on hold and unpaid: its invoice waits for the payment "
        f"(unpaid_on_hold){_bank_hint(case)}.",
        "unpaid",
    )


def _received(case: Case) -> Verdict:
    by_bank = _is_unpaid(case) and case.policy.is_bank_payment(case.order)
    state = "is to be paid by bank transfer" if by_bank else f"is {case.order.status}"
    notes = f"{_refunded_in_part(case)}{_bank_hint(case)}"
    return Verdict.issue(Kind.INVOICE, f"The order was received and {state}{notes}.", "received")


RULES: Sequence[Callable[[Case], Verdict | None]] = (
    _inactive,
    _deleted,
    _credit_due,
    _changed_after_invoice,
    _invoiced,
    _dead,
    _erased,
    _invoiced_elsewhere,
    _test_order,
    _before_the_bridge,
    _not_received,
    _negative,
    _paid_back,
    _nothing_to_pay,
    _sub_order,
    _completed,
    _bank_payment,
    _on_completion,
    _unpaid_on_hold,
    _received,
)


def _is_unpaid(case: Case) -> bool:
    return case.stage in {OrderStage.PENDING, OrderStage.ON_HOLD}


def _refunded_in_part(case: Case) -> str:
    if not case.paid_back:
        return ""
    return f"; {case.order.details.paid_back} {case.order.currency} of it were paid back before"


def _bank_hint(case: Case) -> str:
    """A hint for an unpaid order whose method looks like a bank payment and is not in the store's list."""
    order = case.order
    if not _is_unpaid(case) or case.policy.is_bank_payment(order) or not looks_like_bank_payment(order):
        return ""
    return (
        f"; {order.payment_method} looks like a bank payment: if it is one, add it to the store's "
        "bank_payment_methods"
    )
