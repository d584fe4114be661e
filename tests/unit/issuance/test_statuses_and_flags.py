"""What statuses, payment methods and the two flags of Space Invoices mean to the decision."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from bridge.issuance import STANDARD_STATUSES, Config, Document, Order, OrderStage, stage_of
from tests.support.deciding import (
    ATTENTION,
    BANK,
    BOTH_FLAGS,
    DEFAULTS,
    DOCUMENT,
    DONE,
    ESTIMATE,
    INVOICE,
    INVOICE_FOR_BANK,
    ON_COMPLETE,
    SKIP,
    WAIT,
    bank,
    card,
    decided,
)

# Bank payments.


@pytest.mark.parametrize(
    ("methods", "payment_method", "expected"),
    [
        ({"bacs"}, "bacs", ESTIMATE),
        ({"bacs"}, "BACS", ESTIMATE),
        ({"Bacs"}, "bACS", ESTIMATE),
        ({"bacs"}, "bacs-2", INVOICE),
        ({"bacs"}, "", INVOICE),
        ({"bacs"}, "cheque", INVOICE),
        ({"bacs", "cheque"}, "cheque", ESTIMATE),
        ({"bacs*"}, "bacs-2", ESTIMATE),
        ({"bacs*"}, "bacs", ESTIMATE),
        ({"bacs*"}, "bac", INVOICE),
        ({"Mollie_*"}, "mollie_WC_gateway_banktransfer", ESTIMATE),
        ({"mollie_*"}, "stripe_mollie_", INVOICE),
        ({"upn_nalog"}, "bacs", INVOICE),  # the store's list replaces the default
        (set(), "bacs", INVOICE),
    ],
)
def test_a_store_names_its_bank_methods(methods: set[str], payment_method: str, expected: str) -> None:
    order = bank("on-hold", payment_method=payment_method)

    assert decided(order, bank_payment_methods=frozenset(methods)).label == expected


HINT = "looks like a bank payment: if it is one, add it to the store's bank_payment_methods"


@pytest.mark.parametrize(
    ("method", "title", "is_named"),
    [
        ("bacs-2", "", True),
        ("german_market_prepayment", "", True),
        ("mollie_wc_gateway_banktransfer", "", True),
        ("stripe_sepa_debit", "", True),
        ("vorkasse", "", True),
        ("custom", "Direct Bank Transfer", True),
        ("custom", "VORKASSE", True),
        ("custom", "Überweisung", True),
        ("custom", "Money transfer", True),
        ("custom", "Prepayment", True),
        ("stripe", "Credit Card", False),
        ("", "", False),
        ("cod", "Cash on delivery", False),
    ],
)
def test_what_looks_like_a_bank_payment_is_named_with_the_setting(
    method: str, title: str, is_named: bool
) -> None:
    knobs: dict[str, Any] = {"payment_method": method, "payment_title": title, "status": "on-hold"}
    waiting: list[dict[str, Any]] = [{"issue_invoice_on_complete": True}, {"unpaid_on_hold": "wait"}]

    for more in [{}, *waiting]:
        verdict = decided(**knobs, **more)
        assert (f"{method} {HINT}" in verdict.reason) is is_named
        assert HINT not in decided(**{**knobs, "status": "processing"}, **more).reason  # it was paid


def test_a_listed_bank_payment_is_hinted_at_no_more() -> None:
    assert HINT not in decided(**BANK, issue_invoice_for_bank_payment=True).reason


# Statuses and flags.

STATUSES = [
    # not an order yet
    ("checkout-draft", OrderStage.NOT_YET_AN_ORDER, WAIT, WAIT),
    ("auto-draft", OrderStage.NOT_YET_AN_ORDER, WAIT, WAIT),
    ("draft", OrderStage.NOT_YET_AN_ORDER, WAIT, WAIT),
    ("new", OrderStage.NOT_YET_AN_ORDER, WAIT, WAIT),
    # not received yet: an abandoned checkout must not become an invoice
    ("pending", OrderStage.PENDING, WAIT, WAIT),
    # received
    ("on-hold", OrderStage.ON_HOLD, INVOICE, ESTIMATE),
    ("processing", OrderStage.PROCESSING, INVOICE, INVOICE),
    ("completed", OrderStage.COMPLETED, INVOICE, INVOICE),
    # dead
    ("cancelled", OrderStage.DEAD, SKIP, SKIP),
    ("failed", OrderStage.DEAD, SKIP, SKIP),
    ("refunded", OrderStage.DEAD, SKIP, SKIP),
    ("trash", OrderStage.DEAD, SKIP, SKIP),
]


@pytest.mark.parametrize(("status", "reached", "paid_by_card", "awaits_bank_payment"), STATUSES)
def test_each_standard_status_has_its_meaning(
    status: str, reached: OrderStage, paid_by_card: str, awaits_bank_payment: str
) -> None:
    assert stage_of(card(status), {}) is reached
    assert decided(card(status)).label == paid_by_card
    assert decided(bank(status)).label == awaits_bank_payment


def test_no_standard_status_is_left_out_of_the_table() -> None:
    assert {row[0] for row in STATUSES} == set(STANDARD_STATUSES)


@pytest.mark.parametrize(
    ("for_bank", "on_complete", "status", "by_card", "by_bank"),
    [
        # issueInvoiceForBankPayment says which document, issueInvoiceOnComplete says when the invoice.
        (False, False, "on-hold", INVOICE, ESTIMATE),
        (False, False, "processing", INVOICE, INVOICE),
        (False, False, "completed", INVOICE, INVOICE),
        (False, True, "on-hold", WAIT, ESTIMATE),
        (False, True, "processing", WAIT, WAIT),
        (False, True, "completed", INVOICE, INVOICE),
        (True, False, "on-hold", INVOICE, INVOICE),
        (True, False, "processing", INVOICE, INVOICE),
        (True, False, "completed", INVOICE, INVOICE),
        (True, True, "on-hold", WAIT, WAIT),
        (True, True, "processing", WAIT, WAIT),
        (True, True, "completed", INVOICE, INVOICE),
    ],
)
def test_the_two_flags_are_independent(
    for_bank: bool, on_complete: bool, status: str, by_card: str, by_bank: str
) -> None:
    config = Config(issue_invoice_for_bank_payment=for_bank, issue_invoice_on_complete=on_complete)

    assert decided(card(status), config=config).label == by_card
    assert decided(bank(status), config=config).label == by_bank


@pytest.mark.parametrize(
    ("mapped_to", "by_card", "by_bank"),
    [
        ("new", WAIT, WAIT),
        ("pending", WAIT, WAIT),
        ("on-hold", INVOICE, ESTIMATE),
        ("processing", INVOICE, INVOICE),
        ("completed", INVOICE, INVOICE),
        ("cancelled", SKIP, SKIP),
    ],
)
def test_a_mapped_custom_status_means_what_the_store_says(mapped_to: str, by_card: str, by_bank: str) -> None:
    status_map = {"backorder": mapped_to}

    assert decided(card("backorder"), status_map=status_map).label == by_card
    assert decided(bank("backorder"), status_map=status_map).label == by_bank


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("chargeback", SKIP),
        ("charge-back-won", SKIP),
        ("Chargeback", SKIP),
        ("in-dispute", SKIP),
        ("disputed", SKIP),
        ("fraud-check", SKIP),
        ("refund-requested", SKIP),
        ("refunding", SKIP),
        ("partially-refund", WAIT),  # it says so, and not at the beginning
        ("in-transit", WAIT),
        ("partially-paid", WAIT),
    ],
)
@pytest.mark.parametrize("has_date_paid", [True, False])
def test_a_custom_status_that_is_not_mapped_issues_nothing(
    status: str, expected: str, has_date_paid: bool
) -> None:
    """A set `date_paid` is no permission: chargebacks, refund requests and deposits have it, too."""
    for order in (card(status, has_date_paid=has_date_paid), bank(status, has_date_paid=has_date_paid)):
        assert decided(order).label == expected
        assert decided(order, status_map={status: "processing"}).label == INVOICE
        assert decided(order, status_map={status: "posted"}).label != INVOICE  # no status either


def test_no_map_changes_what_a_standard_status_means() -> None:
    status_map = {"pending": "completed", "cancelled": "processing"}

    assert decided(card("pending"), status_map=status_map).label == WAIT
    assert decided(card("cancelled"), status_map=status_map).label == SKIP


@pytest.mark.parametrize(
    ("order", "config", "expected"),
    [
        (card("pending"), DEFAULTS, INVOICE),
        (card("pending"), ON_COMPLETE, WAIT),
        (bank("pending"), DEFAULTS, ESTIMATE),
        (bank("pending"), ON_COMPLETE, ESTIMATE),
        (bank("pending"), INVOICE_FOR_BANK, INVOICE),
        (bank("pending"), BOTH_FLAGS, WAIT),
        # Only `pending` is opted in.
        (card("checkout-draft"), DEFAULTS, WAIT),
        (card("failed"), DEFAULTS, SKIP),
        (bank("backorder"), DEFAULTS, WAIT),
    ],
)
def test_a_store_may_treat_pending_as_received(order: Order, config: Config, expected: str) -> None:
    assert decided(order, config=config, issue_pending=True).label == expected


@pytest.mark.parametrize(
    ("invoiced", "now", "expected"),
    [
        ("300", "300", DONE),
        ("300", "300.00", DONE),  # yen, with and without decimals
        ("300.00", "300", DONE),
        ("12.5", "12.50", DONE),
        ("0", "0.00", DONE),
        ("0.00", "-0.00", DONE),
        ("100.0", "1E+2", DONE),
        ("40.979999999999997", "40.979999999999997", DONE),
        ("40.979999999999997", "40.98", ATTENTION),  # the same float, and not the same amount
        ("300", "300.01", ATTENTION),
        ("300", "30", ATTENTION),
        ("300", "-300", ATTENTION),
        ("0.1", "0.10000000000000000000000000001", ATTENTION),
    ],
)
def test_amounts_are_compared_as_numbers(invoiced: str, now: str, expected: str) -> None:
    verdict = decided(card("completed", total=now), invoice=Document(invoiced, "EUR"))

    assert verdict.label == expected


@pytest.mark.parametrize("issued", [{"estimate"}, {"invoice"}, {"estimate", "invoice"}])
def test_no_document_is_due_twice(issued: set[str]) -> None:
    documents: dict[str, Any] = dict.fromkeys(issued, DOCUMENT)
    configs = [DEFAULTS, INVOICE_FOR_BANK, ON_COMPLETE, BOTH_FLAGS]

    for status, config, anyway in product([*STANDARD_STATUSES, "custom"], configs, [False, True]):
        for order in (card(status), bank(status)):
            verdict = decided(order, config=config, issue_anyway=anyway, **documents)
            assert verdict.label not in issued
            assert "invoice" not in issued or verdict.label != ESTIMATE
