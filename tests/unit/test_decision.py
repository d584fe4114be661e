"""The decision: which document of an order is due now, or why none is."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from typing import Any, NamedTuple

import pytest

from bridge.issuance import (
    STANDARD_STATUSES,
    Config,
    Decision,
    Document,
    Documents,
    Order,
    Policy,
    Standing,
    Verdict,
    decide,
    standing,
)

INVOICE, ESTIMATE, WAIT = Decision.INVOICE, Decision.ESTIMATE, Decision.WAIT
SKIP, DONE, ATTENTION = Decision.SKIP, Decision.DONE, Decision.ATTENTION

CARD = Order(
    resource_id=330,
    order_key="wc_order_4H6xDOzHXqvQw",
    number="330",
    status="processing",
    payment_method="stripe_cc",
    total="122.00",
    currency="EUR",
    modified=datetime(2026, 11, 23, 11, 50, 11, tzinfo=UTC),
    has_date_paid=True,
    has_refunds=False,
)
BANK = replace(CARD, payment_method="bacs", status="on-hold", has_date_paid=False)

DEFAULTS = Config()
INACTIVE = Config(active=False)
INVOICE_FOR_BANK = Config(issue_invoice_for_bank_payment=True)
ON_COMPLETE = Config(issue_invoice_on_complete=True)
BOTH_FLAGS = Config(issue_invoice_for_bank_payment=True, issue_invoice_on_complete=True)

DOCUMENT = Document(total="122.00", currency="EUR")
NOTHING = Documents()
ESTIMATED = Documents(estimate=DOCUMENT)
INVOICED = Documents(invoice=DOCUMENT)
ESTIMATED_AND_INVOICED = Documents(invoice=DOCUMENT, estimate=DOCUMENT)


def card(status: str, **changes: Any) -> Order:
    return replace(CARD, status=status, **changes)


def bank(status: str, **changes: Any) -> Order:
    return replace(BANK, status=status, **changes)


def decided(
    order: Order,
    *,
    deleted: bool = False,
    config: Config | None = DEFAULTS,
    policy: Policy | None = None,
    documents: Documents = NOTHING,
) -> Verdict:
    """The verdict, of which every test wants a reason that is one sentence, and the rule as a word."""
    verdict = decide(order, deleted=deleted, config=config, policy=policy or Policy(), documents=documents)
    assert re.fullmatch(r"[A-Z][^\n]*[^.\s]\.", verdict.reason), verdict.reason
    assert ". " not in verdict.reason
    assert re.fullmatch(r"[a-z_]{4,24}", verdict.rule)
    assert verdict.rule != "other"
    return verdict


class Case(NamedTuple):
    """One line of the table: what is known, and what follows from it."""

    expected: Decision
    says: str
    order: Order = CARD
    config: Config | None = DEFAULTS
    documents: Documents = NOTHING
    deleted: bool = False
    policy: Policy = Policy()


ROWS = {
    # 1: the config was never fetched. It comes before all else, as nobody knows whether the store is active.
    "1 unknown config": Case(WAIT, "has not been fetched", config=None),
    "1 before 3: unknown config, deleted": Case(WAIT, "has not been fetched", config=None, deleted=True),
    "1 before 6: unknown config, invoiced": Case(
        WAIT, "has not been fetched", config=None, documents=INVOICED
    ),
    "1 before 7: unknown config, dead": Case(WAIT, "has not been fetched", card("failed"), config=None),
    # 2: the store is inactive in Space Invoices.
    "2 inactive": Case(SKIP, "inactive", config=INACTIVE),
    "2 before 3: inactive, deleted after the invoice": Case(
        SKIP, "inactive", config=INACTIVE, deleted=True, documents=INVOICED
    ),
    "2 before 4: inactive, refunded after the invoice": Case(
        SKIP, "inactive", card("refunded"), INACTIVE, INVOICED
    ),
    "2 before 7: inactive, dead with an estimate": Case(
        SKIP, "inactive", bank("cancelled"), INACTIVE, ESTIMATED
    ),
    "2 before 8: inactive, not received": Case(SKIP, "inactive", card("pending"), INACTIVE),
    # 3: deleted. `trash` in a snapshot says the same as the deletion itself.
    "3 deleted": Case(SKIP, "was deleted", deleted=True),
    "3 deleted, estimated": Case(ATTENTION, "after its estimate", BANK, documents=ESTIMATED, deleted=True),
    "3 deleted, invoiced": Case(ATTENTION, "after its invoice", documents=INVOICED, deleted=True),
    "3 deleted, with both": Case(
        ATTENTION, "after its invoice", documents=ESTIMATED_AND_INVOICED, deleted=True
    ),
    "3 trashed": Case(SKIP, "was deleted", card("trash")),
    "3 trashed, estimated": Case(ATTENTION, "after its estimate", bank("trash"), documents=ESTIMATED),
    "3 trashed, invoiced": Case(ATTENTION, "after its invoice", card("trash"), documents=INVOICED),
    "3 before 4: deleted, and refunded": Case(
        ATTENTION, "was deleted", card("refunded"), documents=INVOICED, deleted=True
    ),
    "3 before 5: deleted, and changed": Case(
        ATTENTION, "was deleted", card("completed", total="1.00"), documents=INVOICED, deleted=True
    ),
    "3 before 7: deleted, and dead": Case(SKIP, "was deleted", card("cancelled"), deleted=True),
    "3 before 8: deleted, and a draft": Case(SKIP, "was deleted", card("checkout-draft"), deleted=True),
    "3 before 9: deleted, and completed": Case(SKIP, "was deleted", card("completed"), deleted=True),
    # 4: cancelled, or refunded in full or in part, after the invoice.
    "4 cancelled": Case(ATTENTION, "cancelled after its invoice", card("cancelled"), documents=INVOICED),
    "4 refunded": Case(ATTENTION, "refunded after its invoice", card("refunded"), documents=INVOICED),
    "4 partly refunded": Case(
        ATTENTION, "refunded after its invoice", card("processing", has_refunds=True), documents=INVOICED
    ),
    "4 partly refunded, then failed": Case(
        ATTENTION, "credit note", card("failed", has_refunds=True), documents=INVOICED
    ),
    "4 refunded, with both documents": Case(
        ATTENTION, "credit note", bank("refunded"), documents=ESTIMATED_AND_INVOICED
    ),
    "4 before 5: refunded, and changed": Case(
        ATTENTION, "credit note", card("completed", has_refunds=True, total="1.00"), documents=INVOICED
    ),
    "4 needs an invoice: refunded, estimated": Case(
        ATTENTION, "estimate is still standing", bank("refunded"), documents=ESTIMATED
    ),
    "4 needs an invoice: partly refunded": Case(INVOICE, "processing", card("processing", has_refunds=True)),
    # 5: other money than was invoiced. The reason names both.
    "5 another total": Case(
        ATTENTION,
        "invoiced 122.00 EUR, now 150.00 EUR",
        card("processing", total="150.00"),
        documents=INVOICED,
    ),
    "5 another currency": Case(
        ATTENTION,
        "invoiced 122.00 EUR, now 122.00 USD",
        card("completed", currency="USD"),
        documents=INVOICED,
    ),
    "5 back at on-hold, changed": Case(
        ATTENTION, "changed after its invoice", card("on-hold", total="1"), documents=INVOICED
    ),
    "5 before 7: failed, changed": Case(
        ATTENTION, "changed after its invoice", card("failed", total="1"), documents=INVOICED
    ),
    "5 asks about the invoice: the estimate differs": Case(
        DONE,
        "has its invoice",
        documents=Documents(invoice=DOCUMENT, estimate=Document("1.00", "EUR")),
    ),
    # 6: invoiced, and nothing since. No status and no flag asks for more.
    "6 invoiced": Case(DONE, "has its invoice", documents=INVOICED),
    "6 invoiced, completed": Case(DONE, "has its invoice", card("completed"), ON_COMPLETE, INVOICED),
    "6 invoiced, estimated": Case(DONE, "has its invoice", documents=ESTIMATED_AND_INVOICED),
    "6 before 7: invoiced, failed": Case(DONE, "has its invoice", card("failed"), documents=INVOICED),
    "6 before 8: invoiced, pending again": Case(DONE, "has its invoice", card("pending"), documents=INVOICED),
    "6 before 10: invoiced, on-hold by bank": Case(DONE, "has its invoice", BANK, documents=INVOICED),
    # 7: dead. The reason says how it died.
    "7 cancelled": Case(SKIP, "is cancelled", card("cancelled")),
    "7 failed": Case(SKIP, "is failed", card("failed")),
    "7 refunded": Case(SKIP, "is refunded", card("refunded", has_refunds=True)),
    "7 cancelled, estimated": Case(
        ATTENTION, "is cancelled, and its estimate is still standing", bank("cancelled"), documents=ESTIMATED
    ),
    "7 failed, estimated": Case(ATTENTION, "estimate is still standing", bank("failed"), documents=ESTIMATED),
    "7 before 12: failed, though paid": Case(SKIP, "is failed", card("failed", has_date_paid=True)),
    # 8: not an order yet, or not received. Neither a payment date nor a total makes it one.
    "8 draft": Case(WAIT, "still a draft", card("checkout-draft")),
    "8 pending": Case(WAIT, "nothing is paid", card("pending")),
    "8 pending, by bank": Case(WAIT, "nothing is paid", bank("pending")),
    "8 before 10: pending again after the estimate": Case(
        WAIT, "nothing is paid", bank("pending"), documents=ESTIMATED
    ),
    "8 before 11: draft, on completion": Case(WAIT, "still a draft", card("draft"), ON_COMPLETE),
    # 9: completed: an invoice, whatever the payment and the flags.
    "9 completed": Case(INVOICE, "is completed", card("completed")),
    "9 completed, unpaid on paper": Case(INVOICE, "is completed", card("completed", has_date_paid=False)),
    "9 completed, partly refunded before": Case(INVOICE, "is completed", card("completed", has_refunds=True)),
    "9 before 10: completed, by bank": Case(INVOICE, "is completed", bank("completed")),
    "9 before 10: completed, estimated": Case(
        INVOICE, "is completed", bank("completed"), documents=ESTIMATED
    ),
    "9 before 11: completed, on completion": Case(INVOICE, "is completed", card("completed"), ON_COMPLETE),
    # 10: to be paid by bank transfer: one estimate, and then the money is waited for.
    "10 received": Case(ESTIMATE, "bank transfer", BANK),
    "10 received, estimated": Case(WAIT, "payment has not come in", BANK, documents=ESTIMATED),
    "10 changed after the estimate": Case(
        WAIT, "payment has not come in", bank("on-hold", total="1.00"), documents=ESTIMATED
    ),
    "10 before 11: an estimate waits for no completion": Case(ESTIMATE, "bank transfer", BANK, ON_COMPLETE),
    "10 before 11: estimated, on completion": Case(
        WAIT, "payment has not come in", BANK, ON_COMPLETE, ESTIMATED
    ),
    "10 needs the money to be missing": Case(INVOICE, "processing", bank("processing"), documents=ESTIMATED),
    "10 needs a bank payment": Case(INVOICE, "on-hold", card("on-hold")),
    # 11: the invoice waits for completion.
    "11 processing": Case(WAIT, "issueInvoiceOnComplete", config=ON_COMPLETE),
    "11 on-hold": Case(WAIT, "issueInvoiceOnComplete", card("on-hold"), ON_COMPLETE),
    "11 paid by bank, estimated": Case(
        WAIT, "issueInvoiceOnComplete", bank("processing"), ON_COMPLETE, ESTIMATED
    ),
    "11 both flags: no estimate, and the invoice waits": Case(
        WAIT, "issueInvoiceOnComplete", BANK, BOTH_FLAGS
    ),
    # 12: received.
    "12 processing": Case(INVOICE, "is processing"),
    "12 processing, payable on delivery": Case(
        INVOICE, "is processing", card("processing", payment_method="cod", has_date_paid=False)
    ),
    "12 on-hold, not by bank": Case(INVOICE, "is on-hold", card("on-hold", has_date_paid=False)),
    "12 on-hold, by bank, with the flag": Case(INVOICE, "bank transfer", BANK, INVOICE_FOR_BANK),
    "12 the flag was set after the estimate": Case(
        INVOICE, "bank transfer", BANK, INVOICE_FOR_BANK, ESTIMATED
    ),
    "12 free of charge": Case(INVOICE, "is processing", card("processing", payment_method="", total="0.00")),
}


@pytest.mark.parametrize("case", ROWS.values(), ids=ROWS.keys())
def test_the_first_row_that_fits_decides(case: Case) -> None:
    verdict = decided(
        case.order, deleted=case.deleted, config=case.config, policy=case.policy, documents=case.documents
    )

    assert verdict.decision is case.expected
    assert case.says in verdict.reason


def test_a_credit_note_is_asked_for_where_it_can_be_made() -> None:
    verdict = decided(card("refunded"), documents=INVOICED)

    assert verdict.reason.endswith("a credit note is due, to be made in Space Invoices.")


STATUSES = [
    # not an order yet
    ("checkout-draft", Standing.NOT_YET_AN_ORDER, WAIT, WAIT),
    ("auto-draft", Standing.NOT_YET_AN_ORDER, WAIT, WAIT),
    ("draft", Standing.NOT_YET_AN_ORDER, WAIT, WAIT),
    ("new", Standing.NOT_YET_AN_ORDER, WAIT, WAIT),
    # not received yet: an abandoned checkout must not become an invoice
    ("pending", Standing.PENDING, WAIT, WAIT),
    # received
    ("on-hold", Standing.ON_HOLD, INVOICE, ESTIMATE),
    ("processing", Standing.PROCESSING, INVOICE, INVOICE),
    ("completed", Standing.COMPLETED, INVOICE, INVOICE),
    # dead
    ("cancelled", Standing.DEAD, SKIP, SKIP),
    ("failed", Standing.DEAD, SKIP, SKIP),
    ("refunded", Standing.DEAD, SKIP, SKIP),
    ("trash", Standing.DEAD, SKIP, SKIP),
]


@pytest.mark.parametrize(("status", "reached", "paid_by_card", "awaits_bank_payment"), STATUSES)
def test_each_standard_status_has_its_meaning(
    status: str, reached: Standing, paid_by_card: Decision, awaits_bank_payment: Decision
) -> None:
    assert standing(card(status), {}) is reached
    assert decided(card(status)).decision is paid_by_card
    assert decided(bank(status)).decision is awaits_bank_payment


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
    for_bank: bool, on_complete: bool, status: str, by_card: Decision, by_bank: Decision
) -> None:
    config = Config(issue_invoice_for_bank_payment=for_bank, issue_invoice_on_complete=on_complete)

    assert decided(card(status), config=config).decision is by_card
    assert decided(bank(status), config=config).decision is by_bank


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
def test_a_mapped_custom_status_means_what_the_store_says(
    mapped_to: str, by_card: Decision, by_bank: Decision
) -> None:
    policy = Policy(status_map={"backorder": mapped_to})

    assert decided(card("backorder"), policy=policy).decision is by_card
    assert decided(bank("backorder"), policy=policy).decision is by_bank


def test_the_map_outweighs_a_payment_date() -> None:
    verdict = decided(
        bank("backorder", has_date_paid=True), policy=Policy(status_map={"backorder": "on-hold"})
    )

    assert verdict.decision is ESTIMATE


@pytest.mark.parametrize("mapped_to", ["cancelled", "refunded"])
def test_an_invoiced_order_that_is_cancelled_by_a_custom_status_needs_a_credit_note(mapped_to: str) -> None:
    verdict = decided(card("returned"), policy=Policy(status_map={"returned": mapped_to}), documents=INVOICED)

    assert verdict.decision is ATTENTION
    assert "credit note" in verdict.reason


@pytest.mark.parametrize(
    "status_map",
    [
        {},
        {"another": "processing"},
        {"in-transit": "posted"},  # mapped to what is no standard status
    ],
)
def test_an_unmapped_custom_status_counts_as_paid_if_the_order_is(status_map: dict[str, str]) -> None:
    policy = Policy(status_map=status_map)

    paid = decided(bank("in-transit", has_date_paid=True), policy=policy)
    unpaid = decided(bank("in-transit"), policy=policy)

    assert paid.decision is INVOICE
    assert unpaid.decision is WAIT


def test_an_unpaid_order_in_an_unmapped_status_waits_and_says_which_status_to_map() -> None:
    verdict = decided(bank("backorder"))

    assert verdict.decision is WAIT
    assert "backorder" in verdict.reason
    assert "map" in verdict.reason


def test_a_paid_custom_status_waits_for_completion_if_the_store_says_so() -> None:
    assert decided(card("in-transit"), config=ON_COMPLETE).decision is WAIT


def test_no_map_changes_what_a_standard_status_means() -> None:
    policy = Policy(status_map={"pending": "completed", "cancelled": "processing"})

    assert decided(card("pending"), policy=policy).decision is WAIT
    assert decided(card("cancelled"), policy=policy).decision is SKIP


@pytest.mark.parametrize(
    ("methods", "payment_method", "expected"),
    [
        (frozenset({"bacs"}), "bacs", ESTIMATE),
        (frozenset({"bacs"}), "cheque", INVOICE),
        (frozenset({"bacs"}), "BACS", INVOICE),  # WooCommerce's ids are exact
        (frozenset({"bacs"}), "", INVOICE),
        (frozenset({"bacs", "cheque"}), "cheque", ESTIMATE),
        (frozenset({"upn_nalog"}), "upn_nalog", ESTIMATE),
        (frozenset({"upn_nalog"}), "bacs", INVOICE),  # the store's list replaces the default
        (frozenset(), "bacs", INVOICE),
    ],
)
def test_a_store_names_its_bank_methods(
    methods: frozenset[str], payment_method: str, expected: Decision
) -> None:
    order = bank("on-hold", payment_method=payment_method)

    assert decided(order, policy=Policy(bank_payment_methods=methods)).decision is expected


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
def test_a_store_may_treat_pending_as_received(order: Order, config: Config, expected: Decision) -> None:
    assert decided(order, config=config, policy=Policy(issue_pending=True)).decision is expected


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
def test_amounts_are_compared_as_numbers(invoiced: str, now: str, expected: Decision) -> None:
    verdict = decided(card("completed", total=now), documents=Documents(invoice=Document(invoiced, "EUR")))

    assert verdict.decision is expected


@pytest.mark.parametrize("documents", [ESTIMATED, INVOICED, ESTIMATED_AND_INVOICED])
def test_no_document_is_due_twice(documents: Documents) -> None:
    issued = {name for name in ("invoice", "estimate") if getattr(documents, name)}

    for status, config in product(STANDARD_STATUSES, [DEFAULTS, INVOICE_FOR_BANK, ON_COMPLETE, BOTH_FLAGS]):
        for order in (card(status), bank(status)):
            assert decided(order, config=config, documents=documents).decision not in issued
