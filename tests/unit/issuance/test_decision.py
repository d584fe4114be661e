"""The decision's 21 rows: which document of an order is due now, or why none is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import pytest

from bridge.issuance import LABELS, Decision, Document, Kind, Verdict
from tests.support.deciding import (
    ATTENTION,
    BANK,
    DOCUMENT,
    DONE,
    ESTIMATE,
    INVOICE,
    LATER,
    SKIP,
    WAIT,
    decided,
)


class Row(NamedTuple):
    """A row of the table: what it decides, by which rule, what the reason has to say, and when it does."""

    decision: str
    rule: str
    says: str
    knobs: Mapping[str, Any]


ROWS: Mapping[str, Row] = {
    # Nobody knows whether the store is active.
    "1 config unknown": Row(WAIT, "no_config", "has not been fetched", {"config": None}),
    "2 inactive": Row(SKIP, "inactive", "inactive", {"active": False}),
    # 3: `trash` in a snapshot says the same as the deletion itself.
    "3 deleted": Row(SKIP, "deleted", "was deleted", {"deleted": True}),
    "3 trashed": Row(SKIP, "deleted", "was deleted", {"status": "trash"}),
    "3 mapped to trash": Row(
        SKIP, "deleted", "was deleted", {"status": "binned", "status_map": {"binned": "trash"}}
    ),
    "3 deleted, invoiced": Row(
        ATTENTION, "deleted_after_invoice", "after its invoice.", {"deleted": True, "invoice": DOCUMENT}
    ),
    "3 deleted, estimated": Row(
        ATTENTION, "deleted_after_estimate", "after its estimate.", {"deleted": True, "estimate": DOCUMENT}
    ),
    "3 deleted, with both": Row(
        ATTENTION,
        "deleted_after_invoice",
        "after its invoice.",
        {"deleted": True, "invoice": DOCUMENT, "estimate": DOCUMENT},
    ),
    # 4: the sum that was paid back, where it is known.
    "4 refunded in part": Row(
        ATTENTION,
        "refunded_after_invoice",
        "its invoice over 122.00 EUR, and 10.00 EUR was paid back: a credit note is due",
        {"invoice": DOCUMENT, "paid_back": "10.00", "has_refunds": True},
    ),
    "4 refunded, in full": Row(
        ATTENTION,
        "refunded_after_invoice",
        "and 122.00 EUR was paid back",
        {"invoice": DOCUMENT, "status": "refunded", "paid_back": "122.00", "has_refunds": True},
    ),
    "4 refunded, which lists no refund": Row(
        ATTENTION, "refunded_after_invoice", "all of it was", {"invoice": DOCUMENT, "status": "refunded"}
    ),
    "4 mapped to refunded": Row(
        ATTENTION,
        "refunded_after_invoice",
        "all of it was",
        {"invoice": DOCUMENT, "status": "returned", "status_map": {"returned": "refunded"}},
    ),
    "4 refunds of which no sum is known": Row(
        ATTENTION, "refunded_after_invoice", "a part of it was", {"invoice": DOCUMENT, "has_refunds": True}
    ),
    "4 refunded, then failed": Row(
        ATTENTION,
        "refunded_after_invoice",
        "5.00 EUR was paid back",
        {"invoice": DOCUMENT, "status": "failed", "paid_back": "5.00"},
    ),
    "4 cancelled": Row(
        ATTENTION,
        "cancelled_after_invoice",
        "it is cancelled now: a credit note",
        {"invoice": DOCUMENT, "status": "cancelled"},
    ),
    "4 failed": Row(
        ATTENTION,
        "failed_after_invoice",
        "its payment failed: a credit note",
        {"invoice": DOCUMENT, "status": "failed"},
    ),
    "4 mapped to failed": Row(
        ATTENTION,
        "failed_after_invoice",
        "its payment failed: a credit note",
        {"invoice": DOCUMENT, "status": "bounced", "status_map": {"bounced": "failed"}},
    ),
    "4 dead by its name": Row(
        ATTENTION,
        "dead_after_invoice",
        "it is chargeback now: a credit note",
        {"invoice": DOCUMENT, "status": "chargeback"},
    ),
    # 5: other money than was invoiced. The reason names both.
    "5 another total": Row(
        ATTENTION,
        "changed_after_invoice",
        "invoiced 122.00 EUR, now 150.00 EUR",
        {"invoice": DOCUMENT, "total": "150.00"},
    ),
    "5 another currency": Row(
        ATTENTION,
        "changed_after_invoice",
        "invoiced 122.00 EUR, now 122.00 USD",
        {"invoice": DOCUMENT, "currency": "USD"},
    ),
    "5 other lines": Row(
        ATTENTION,
        "items_changed",
        "lines changed after its invoice",
        {"invoice": replace(DOCUMENT, lines="a"), "lines": "b"},
    ),
    "5 another customer": Row(
        ATTENTION,
        "customer_changed",
        "name, address or VAT id changed after the invoice",
        {"invoice": replace(DOCUMENT, customer="a"), "customer": "b", "is_anonymized": False},
    ),
    # 6: no status and no flag asks for more.
    "6 invoiced": Row(DONE, "invoiced", "has its invoice", {"invoice": DOCUMENT}),
    "6 with its estimate": Row(
        DONE, "invoiced", "has its invoice", {"invoice": DOCUMENT, "estimate": Document("1.00", "EUR")}
    ),
    # 7: the reason says how it died.
    "7 cancelled": Row(SKIP, "dead", "is cancelled.", {"status": "cancelled"}),
    "7 failed": Row(SKIP, "dead", "is failed.", {"status": "failed", "has_date_paid": True}),
    "7 refunded": Row(SKIP, "dead", "is refunded.", {"status": "refunded", "paid_back": "122.00"}),
    "7 mapped": Row(
        SKIP, "dead", "is returned.", {"status": "returned", "status_map": {"returned": "cancelled"}}
    ),
    "7 estimated": Row(
        ATTENTION,
        "dead_after_estimate",
        "is cancelled, and its estimate is still standing",
        {**BANK, "status": "cancelled", "estimate": DOCUMENT},
    ),
    "8 erased in the shop": Row(SKIP, "anonymized", "erased in the shop", {"is_anonymized": True}),
    "8 estimated": Row(
        SKIP, "anonymized", "erased in the shop", {**BANK, "is_anonymized": True, "estimate": DOCUMENT}
    ),
    "9 invoiced by another plugin": Row(
        SKIP,
        "invoiced_elsewhere",
        "Another plugin has invoiced the order: apollo_invoice_id is 64ab.",
        {"invoiced_by": {"apollo_invoice_id": "64ab"}},
    ),
    "10 a test order": Row(SKIP, "test_order", "test mode (test_orders)", {"is_test": True}),
    "11 from before": Row(
        SKIP,
        "before_issue_from",
        "created 2026-11-23 11:49, and documents are issued for orders from 2026-11-24 11:49 UTC (issue",
        {"issue_from": LATER},
    ),
    # 12: neither a payment date nor a total makes it one.
    "12 a draft": Row(WAIT, "draft", "still a draft (checkout-draft)", {"status": "checkout-draft"}),
    "12 pending": Row(
        WAIT, "pending", "nothing is paid (pending)", {"status": "pending", "has_date_paid": False}
    ),
    "12 pending, with a date": Row(
        WAIT,
        "pending",
        "date_paid says that it was paid",
        {"status": "pending", "has_date_paid": True},
    ),
    "12 pending again after the estimate": Row(
        WAIT, "pending", "nothing is paid", {**BANK, "status": "pending", "estimate": DOCUMENT}
    ),
    "12 a custom status, unpaid": Row(
        WAIT,
        "unknown_status",
        "map it in the store's status_map, such as backorder:processing",
        {"status": "backorder", "has_date_paid": False},
    ),
    "12 a custom status, with a date": Row(
        WAIT, "unknown_status", "The status backorder", {"status": "backorder", "has_date_paid": True}
    ),
    "13 below 0": Row(
        ATTENTION, "negative_total", "-10.00 EUR, and no document can be negative", {"total": "-10.00"}
    ),
    "14 paid back before": Row(
        SKIP,
        "paid_back",
        "All of it, 122.00 EUR, was paid back before any invoice",
        {"paid_back": "122.00", "has_refunds": True},
    ),
    "14 more than that": Row(SKIP, "paid_back", "before any invoice", {"paid_back": "122.01"}),
    "15 nothing to pay": Row(SKIP, "zero_total", "(zero_total)", {"total": "0.00", "zero_total": "skip"}),
    "16 a part of another": Row(
        ATTENTION,
        "sub_order",
        "part of order 328, and would be invoiced beside it",
        {"parent_id": 328},
    ),
    "16 skipped": Row(
        SKIP,
        "sub_order_skipped",
        "part of order 328, which has the document (sub_orders)",
        {"parent_id": 328, "sub_orders": "skip"},
    ),
    # 17: an invoice, whatever the payment and the flags.
    "17 completed": Row(INVOICE, "completed", "is completed.", {"status": "completed"}),
    "17 completed, unpaid on paper": Row(
        INVOICE, "completed", "is completed.", {"status": "completed", "has_date_paid": False}
    ),
    "17 mapped": Row(
        INVOICE, "completed", "is completed.", {"status": "shipped", "status_map": {"shipped": "completed"}}
    ),
    "17 completed, paid back in part": Row(
        INVOICE,
        "completed",
        "is completed; 10.00 EUR of it were paid back before.",
        {"status": "completed", "paid_back": "10.00", "has_refunds": True},
    ),
    # 18: one estimate, and then the money is waited for.
    "18 received": Row(ESTIMATE, "by_bank", "to be paid by bank transfer.", BANK),
    "18 paid back in part": Row(
        ESTIMATE, "by_bank", "transfer; 1.00 EUR of it were", {**BANK, "paid_back": "1.00"}
    ),
    "18 estimated": Row(WAIT, "estimated", "payment has not come in", {**BANK, "estimate": DOCUMENT}),
    "18 nothing to estimate": Row(WAIT, "zero_estimate", "nothing to estimate", {**BANK, "total": "0.00"}),
    "18 changed since": Row(
        ATTENTION,
        "estimate_changed",
        "it says 122.00 EUR, and 130.00 EUR are to be paid",
        {**BANK, "estimate": DOCUMENT, "total": "130.00"},
    ),
    "18 changed to nothing": Row(
        ATTENTION,
        "estimate_changed",
        "it says 122.00 EUR, and 0 EUR are",
        {**BANK, "estimate": DOCUMENT, "total": "0"},
    ),
    "18 another currency": Row(
        ATTENTION,
        "estimate_changed",
        "122.00 USD are to be paid",
        {**BANK, "estimate": DOCUMENT, "currency": "USD"},
    ),
    "19 processing": Row(
        WAIT,
        "on_completion",
        "on completion (issueInvoiceOnComplete).",
        {"issue_invoice_on_complete": True},
    ),
    "19 by bank, with both flags": Row(
        WAIT,
        "on_completion",
        "issueInvoiceOnComplete",
        {**BANK, "issue_invoice_on_complete": True, "issue_invoice_for_bank_payment": True},
    ),
    "20 on hold": Row(
        WAIT,
        "unpaid",
        "waits for the payment (unpaid_on_hold).",
        {"status": "on-hold", "unpaid_on_hold": "wait"},
    ),
    "20 mapped": Row(
        WAIT,
        "unpaid",
        "waits for the payment",
        {"status": "parked", "status_map": {"parked": "on-hold"}, "unpaid_on_hold": "wait"},
    ),
    "21 processing": Row(INVOICE, "received", "was received and is processing.", {}),
    "21 payable on delivery": Row(
        INVOICE, "received", "is processing.", {"payment_method": "cod", "has_date_paid": False}
    ),
    "21 on hold, not by bank": Row(INVOICE, "received", "is on-hold.", {"status": "on-hold"}),
    "21 free of charge": Row(INVOICE, "received", "is processing.", {"payment_method": "", "total": "0.00"}),
    "21 by bank, with the flag": Row(
        INVOICE,
        "received",
        "is to be paid by bank transfer.",
        {**BANK, "issue_invoice_for_bank_payment": True},
    ),
    "21 the flag was set after the estimate": Row(
        INVOICE,
        "received",
        "bank transfer.",
        {**BANK, "issue_invoice_for_bank_payment": True, "estimate": DOCUMENT},
    ),
    "21 paid by bank": Row(
        INVOICE, "received", "is processing.", {**BANK, "status": "processing", "estimate": DOCUMENT}
    ),
    "21 paid back in part": Row(
        INVOICE, "received", "is processing; 10.00 EUR of it were", {"paid_back": "10.00"}
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_a_row_decides_where_its_condition_holds(row: Row) -> None:
    verdict = decided(**row.knobs)

    assert (verdict.label, verdict.rule) == (row.decision, row.rule)
    assert row.says in verdict.reason


def number(name: str) -> int:
    return int(name.partition(" ")[0])


RULES_OF_ROW = {
    row: {ROWS[name].rule for name in ROWS if number(name) == row} for row in sorted(set(map(number, ROWS)))
}
# What a row's condition takes for granted, and its example does not say.
NEEDED: Mapping[int, Mapping[str, Any]] = {
    5: {"paid_back": "0"},
    6: {"paid_back": "0", "total": "122.00", "currency": "EUR"},
    7: {"invoice": None},
    9: {"invoice": None, "estimate": None},
    11: {"invoice": None, "estimate": None},
    14: {"invoice": None, "total": "122.00"},
    18: {"issue_invoice_for_bank_payment": False},
    20: {"payment_method": "stripe_cc"},
}


# Two rows whose conditions exclude each other: other documents, another status, method or total.
NEVER_MEET = {
    *product((5, 6), (7,)),
    *product((4, 5, 6), (14,)),
    *product((7,), (12, 17, 18, 20)),
    *product((12, 17), (18, 20)),
    *((6, 13), (6, 15), (12, 17), (13, 14), (13, 15), (14, 15), (18, 20)),
}


def meetings(first: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """This row with each later one whose condition can hold at once, by the examples above."""
    for (name, one), (other_name, other) in product(ROWS.items(), repeat=2):
        pair = number(name), number(other_name)
        if pair[0] != first or pair[1] <= first or pair in NEVER_MEET:
            continue
        mine = {**NEEDED.get(first, {}), **one.knobs}
        if all(mine[knob] == other.knobs[knob] for knob in mine.keys() & other.knobs.keys()):
            yield other_name, {**other.knobs, **mine}


@pytest.mark.parametrize("row", range(1, 21))
def test_the_first_row_that_fits_decides(row: int) -> None:
    met = set()
    for other, knobs in meetings(row):
        assert decided(**knobs).rule in RULES_OF_ROW[row], other
        met.add((row, number(other)))

    assert met == {(row, other) for other in range(row + 1, 22)} - NEVER_MEET


def test_there_are_21_rows_and_no_two_share_a_rule() -> None:
    assert list(RULES_OF_ROW) == list(range(1, 22))
    assert len(set().union(*RULES_OF_ROW.values())) == sum(map(len, RULES_OF_ROW.values()))


def test_a_decision_has_the_name_that_ledgers_and_metrics_know_it_by() -> None:
    assert LABELS == ["invoice", "estimate", "wait", "skip", "done", "attention"]


@pytest.mark.parametrize("decision", Decision)
@pytest.mark.parametrize("kind", [None, *Kind])
def test_a_verdict_names_a_kind_of_document_if_one_is_to_be_issued_and_else_none(
    decision: Decision, kind: Kind | None
) -> None:
    if (decision is Decision.ISSUE) == (kind is not None):
        assert Verdict(decision, "The reason.", "rule", kind).label == (kind or decision)
    else:
        with pytest.raises(ValueError, match="a verdict names a kind"):
            Verdict(decision, "The reason.", "rule", kind)


# What lifts a rule.

LIFTED: Mapping[int, dict[str, Any]] = {
    10: {"is_test": True},
    11: {"issue_from": LATER},
    13: {"total": "-10.00"},
    14: {"paid_back": "122.00"},
    15: {"total": "0.00", "zero_total": "skip"},
    16: {"parent_id": 328},
}


@pytest.mark.parametrize("knobs", [*LIFTED.values(), {"parent_id": 328, "sub_orders": "skip"}])
def test_an_order_is_issued_anyway_in_spite_of_what_keeps_it_back(knobs: dict[str, Any]) -> None:
    assert decided(**knobs).label in {SKIP, ATTENTION}
    assert decided(**knobs, issue_anyway=True).label == INVOICE
    assert decided(**knobs, **BANK, issue_anyway=True).label in {ESTIMATE, WAIT}


@pytest.mark.parametrize("name", [name for name in ROWS if number(name) not in {*LIFTED, 21}])
def test_issue_anyway_lifts_no_other_rule(name: str) -> None:
    row = ROWS[name]

    assert decided(**{**row.knobs, "issue_anyway": True}).rule == row.rule


def test_no_word_of_a_person_makes_an_estimate_over_nothing() -> None:
    verdict = decided(**BANK, total="0.00", zero_total="skip", issue_anyway=True)

    assert verdict.rule == "zero_estimate"


@pytest.mark.parametrize("row", LIFTED)
def test_an_order_from_before_the_rules_keeps_its_road(row: int) -> None:
    verdict = decided(**LIFTED[row], is_from_before=True)

    assert (verdict.label == INVOICE) == (row in {11, 16})


# An order whose key the shop has changed.


def test_an_order_whose_key_was_changed_gets_no_second_document_and_a_person_hears_of_it() -> None:
    verdict = decided(invoice=DOCUMENT, former_key="wc_order_of_before")

    assert (verdict.label, verdict.rule) == (ATTENTION, "key_changed")
    assert verdict.reason.startswith("The shop changed the order's key")
    assert verdict.reason.endswith("The order has its invoice.")


@pytest.mark.parametrize(
    ("knobs", "rule"),
    [
        ({"status": "pending", "has_date_paid": False}, "key_changed"),
        ({"status": "cancelled"}, "key_changed"),
        ({**BANK, "estimate": DOCUMENT}, "key_changed"),
        # It goes its way, and what asks for a person already says more.
        ({}, "received"),
        (BANK, "by_bank"),
        ({"total": "-1"}, "negative_total"),
        ({"invoice": DOCUMENT, "status": "failed"}, "failed_after_invoice"),
    ],
)
def test_a_changed_key_is_said_where_nothing_more_is(knobs: dict[str, Any], rule: str) -> None:
    assert decided(**knobs, former_key="wc_order_of_before").rule == rule
