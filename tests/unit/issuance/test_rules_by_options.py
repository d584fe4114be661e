"""What a store's options make of an order, and what counts as a change after its documents."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.issuance import Document
from tests.support.deciding import (
    ATTENTION,
    BANK,
    CREATED,
    DOCUMENT,
    DONE,
    ESTIMATE,
    INVOICE,
    LATER,
    SKIP,
    WAIT,
    decided,
)

# What a store's options decide.


@pytest.mark.parametrize(
    ("created", "is_local", "expected"),
    [
        (CREATED, False, INVOICE),  # the very moment
        (CREATED + timedelta(seconds=1), False, INVOICE),
        (CREATED - timedelta(seconds=1), False, SKIP),
        (datetime(2019, 5, 1, tzinfo=UTC), False, SKIP),
        (None, False, INVOICE),  # nothing tells
        # A time of the shop's own is one of many moments, of which the latest is 12 hours after it in UTC.
        (CREATED - timedelta(hours=12), True, INVOICE),
        (CREATED - timedelta(hours=12, seconds=1), True, SKIP),
    ],
)
def test_orders_of_before_a_date_are_left_alone(
    created: datetime | None, is_local: bool, expected: str
) -> None:
    verdict = decided(created=created, created_is_local=is_local, issue_from=CREATED)

    assert verdict.label == expected
    assert decided(created=created, created_is_local=is_local).label == INVOICE  # `all`


@pytest.mark.parametrize("documents", [{"estimate": DOCUMENT}, {"invoice": DOCUMENT}])
def test_an_order_that_has_a_document_is_not_from_before(documents: dict[str, Any]) -> None:
    assert decided(**documents, issue_from=LATER).label in {INVOICE, DONE}


@pytest.mark.parametrize(("sub_orders", "expected"), [("ask", ATTENTION), ("issue", INVOICE), ("skip", SKIP)])
def test_sub_orders_says_what_becomes_of_parts_of_orders(sub_orders: str, expected: str) -> None:
    assert decided(parent_id=328, sub_orders=sub_orders).label == expected
    assert decided(sub_orders=sub_orders).label == INVOICE


@pytest.mark.parametrize(("test_orders", "expected"), [("skip", SKIP), ("issue", INVOICE)])
def test_test_orders_says_what_becomes_of_test_orders(test_orders: str, expected: str) -> None:
    assert decided(is_test=True, test_orders=test_orders).label == expected
    assert decided(test_orders=test_orders).label == INVOICE


@pytest.mark.parametrize(("zero_total", "expected"), [("skip", SKIP), ("issue", INVOICE)])
@pytest.mark.parametrize("total", ["0", "0.00", "-0.00", ".0"])
def test_zero_total_says_what_becomes_of_totals_of_0(total: str, zero_total: str, expected: str) -> None:
    assert decided(total=total, zero_total=zero_total).label == expected
    assert decided(total=total, zero_total=zero_total, status="completed").label == expected
    assert decided(zero_total=zero_total).label == INVOICE


def test_a_total_of_0_with_refunds_is_not_paid_back() -> None:
    assert decided(total="0.00", paid_back="0.00", has_refunds=True).rule == "received"


@pytest.mark.parametrize(
    ("knobs", "expected"),
    [
        ({"status": "on-hold"}, WAIT),
        ({"status": "processing"}, INVOICE),  # paid, or payable on delivery
        ({"status": "completed"}, INVOICE),
        ({"status": "pending", "has_date_paid": False, "issue_pending": True}, INVOICE),  # opted in
        (BANK, ESTIMATE),
        ({**BANK, "issue_invoice_for_bank_payment": True}, INVOICE),
    ],
)
def test_an_invoice_may_wait_for_the_payment_of_what_is_on_hold(knobs: dict[str, Any], expected: str) -> None:
    assert decided(**knobs, unpaid_on_hold="wait").label == expected


@pytest.mark.parametrize(
    ("invoiced_meta", "invoiced_by", "expected"),
    [
        ({"apollo_invoice_id"}, {"apollo_invoice_id": "1"}, SKIP),
        ({"apollo_invoice_id"}, {"_wcpdf_invoice_number": "1"}, INVOICE),
        ({"_wcpdf_invoice_number", "b"}, {"_wcpdf_invoice_number": "1", "apollo_invoice_id": "2"}, SKIP),
        (set(), {"apollo_invoice_id": "1"}, INVOICE),
        ({"apollo_invoice_id"}, {}, INVOICE),
    ],
)
def test_a_store_names_the_metadata_of_other_plugins(
    invoiced_meta: set[str], invoiced_by: dict[str, str], expected: str
) -> None:
    verdict = decided(invoiced_meta=frozenset(invoiced_meta), invoiced_by=invoiced_by)

    assert verdict.label == expected


def test_of_several_plugins_the_first_by_name_is_named() -> None:
    verdict = decided(invoiced_meta=frozenset({"b", "a", "c"}), invoiced_by={"c": "3", "b": "2"})

    assert verdict.reason == "Another plugin has invoiced the order: b is 2."


@pytest.mark.parametrize(("kind", "decision"), [("invoice", DONE), ("estimate", INVOICE)])
def test_a_plugins_number_says_nothing_of_an_order_with_a_document_of_ours(kind: str, decision: str) -> None:
    documents: dict[str, Any] = {kind: DOCUMENT}

    verdict = decided(invoiced_by={"apollo_invoice_id": "64ab"}, **documents)

    assert verdict.label == decision


# What changed after the invoice.


@pytest.mark.parametrize("part", ["lines", "customer"])
@pytest.mark.parametrize(
    ("invoiced", "now", "expected"),
    [
        ("a", "a", DONE),
        ("a", "b", ATTENTION),
        ("", "b", DONE),  # issued by a version that did not keep it
        ("a", "", DONE),  # the delivery does not tell
        ("", "", DONE),
    ],
)
def test_lines_and_customer_are_compared_where_both_are_known(
    part: str, invoiced: str, now: str, expected: str
) -> None:
    details: dict[str, Any] = {part: now}

    verdict = decided(invoice=replace(DOCUMENT, **{part: invoiced}), **details)

    assert verdict.label == expected


def test_a_customer_who_was_erased_is_no_other_customer() -> None:
    assert decided(invoice=replace(DOCUMENT, customer="a"), customer="b", is_anonymized=True).label == DONE


def test_the_total_says_more_than_the_lines_and_they_more_than_the_customer() -> None:
    invoice = Document("122.00", "EUR", lines="a", customer="a")

    assert decided(invoice=invoice, lines="b", customer="b", total="1").rule == "changed_after_invoice"
    assert decided(invoice=invoice, lines="b", customer="b").rule == "items_changed"


def test_a_credit_note_is_asked_for_where_it_can_be_made() -> None:
    verdict = decided(status="refunded", invoice=DOCUMENT)

    assert verdict.reason.endswith("a credit note is due, to be made in Space Invoices.")


@pytest.mark.parametrize("total", ["122", "122.0", "1.22E+2"])
def test_an_estimate_over_the_same_amount_is_no_other(total: str) -> None:
    assert decided(**BANK, estimate=DOCUMENT, total=total).rule == "estimated"
