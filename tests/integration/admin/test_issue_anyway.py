"""Orders that an operator has issued anyway: which rules that lifts, what is kept of it, and what is sent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.admin import operate
from bridge.admin.issue_anyway import issue_anyway
from bridge.admin.operate import Report
from bridge.issuance import StoreOptions
from bridge.ledger import actions, issuances, store_pauses, stores
from bridge.ledger.orders import KnownOrder
from tests.support.shop import Shop, at, forward_issuance

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

PAID: dict[str, Any] = {"status": "processing"}
TEST_MODE = {"meta_data": [{"id": 1, "key": "_wcpay_mode", "value": "test"}]}
# What keeps an order back, and the words of it.
LIFTED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "old": ({}, {"issue_from": datetime(2027, 1, 1, tzinfo=UTC)}, "from before the bridge"),
    "test": (TEST_MODE, {}, "a test order"),
    "negative": ({"total": "-5.00"}, {}, "no document can be negative"),
    "paid back": ({"refunds": [{"total": "-126.98"}]}, {}, "paid back before any invoice"),
    "nothing": ({"total": "0.00"}, {"zero_total": "skip"}, "nothing is to be paid"),
    "sub-order": ({"parent_id": 9}, {}, "a part of order 9"),
    "sub-order skipped": ({"parent_id": 9}, {"sub_orders": "skip"}, "a part of order 9"),
}
NOT_LIFTED: dict[str, tuple[dict[str, Any], str]] = {
    "cancelled": ({"status": "cancelled"}, "The order is cancelled."),
    "erased": ({"meta_data": [{"key": "_anonymized", "value": "yes"}]}, "erased in the shop"),
    "invoiced elsewhere": (
        {"meta_data": [{"key": "apollo_invoice_id", "value": "7"}]},
        "Another plugin has invoiced the order",
    ),
}


def with_policy(shop: Shop, **options: Any) -> None:
    with shop.context.ledger.write() as connection:
        store = stores.get(connection, shop.store_id)
        stores.set_options(connection, store, StoreOptions(**options), shop.clock.now())


def issue(
    shop: Shop, resource_id: int = 1, *, why: str | None = None, who: str = "ana"
) -> Report[KnownOrder]:
    return issue_anyway(
        shop.context.ledger, shop.store_id, resource_id, why=why, who=who, now=shop.clock.now()
    )


def done_to_it(shop: Shop) -> list[tuple[str, str, str]]:
    with shop.context.ledger.read() as connection:
        found = actions.of_resource(connection, shop.store_id, 1)
        assert all(one.order_id is not None and one.issuance_id is None for one in found)
        return [(one.who, one.verb, one.result) for one in found]


def sent(shop: Shop) -> dict[str, Any]:
    """The body of the last order that the sandbox was sent."""
    listed = shop.sandbox.test_client().get("/sandbox/documents").json["documents"]
    assert listed
    return dict(listed[-1])


@pytest.mark.parametrize("kept_back", LIFTED.values(), ids=LIFTED)
def test_an_order_that_a_rule_keeps_back_is_issued_by_a_persons_word_once(
    shop: Shop, kept_back: tuple[dict[str, Any], dict[str, Any], str]
) -> None:
    fields, policy, words = kept_back
    with_policy(shop, **policy)
    assert shop.process(shop.receive(at(1, **{**PAID, **fields}))) == []
    before = shop.order()
    assert words in (before.reason or "")
    report = issue(shop, why="the owner asked for it")
    assert (report.is_fulfilled, report.has_changed) == (True, True)
    assert report.message == (
        "The invoice of order 1 of shop is due, and sent within seconds while the bridge runs."
    )
    assert report.subject == shop.order()
    assert shop.order().issue_anyway_by == "ana"
    assert shop.states() == {"invoice": "due"}
    ((who, verb, result),) = done_to_it(shop)
    assert (who, verb) == ("ana", "issue")
    assert result == (f"the owner asked for it; was {before.decision} -> invoice: {shop.order().reason}")
    again = issue(shop, who="ben")
    assert (again.is_fulfilled, again.has_changed) == (True, False)
    assert again.message.startswith("Order 1 of shop is issued anyway already, by ana. invoice: ")
    assert len(done_to_it(shop)) == 1


@pytest.mark.parametrize("kept_back", NOT_LIFTED.values(), ids=NOT_LIFTED)
def test_what_no_word_of_a_person_lifts_is_not_issued_and_nothing_changes(
    shop: Shop, kept_back: tuple[dict[str, Any], str]
) -> None:
    fields, words = kept_back
    shop.process(shop.receive(at(1, **{**PAID, **fields})))
    before = shop.order()
    report = issue(shop)
    assert (report.is_fulfilled, report.has_changed) == (False, False)
    assert report.message.startswith("Order 1 of shop is not issued. skip: ")
    assert words in report.message
    assert report.message.endswith(" Nothing is changed.")
    assert report.subject == shop.order() == before
    assert done_to_it(shop) == []


def test_an_order_that_is_not_paid_yet_is_issued_when_it_is(shop: Shop) -> None:
    with_policy(shop, issue_from=datetime(2027, 1, 1, tzinfo=UTC))
    shop.process(shop.receive(at(1, status="pending")))
    assert shop.order().decision == "skip"
    report = issue(shop)
    assert (report.is_fulfilled, report.has_changed) == (True, True)
    assert report.message == "Order 1 of shop: wait. The checkout was begun and nothing is paid (pending)."
    assert done_to_it(shop) == [("ana", "issue", "was skip -> wait: " + (shop.order().reason or ""))]
    assert shop.process(shop.receive(at(2, **PAID)))
    again = issue(shop)
    assert (again.is_fulfilled, again.has_changed) == (True, False)


def test_an_order_that_dies_after_the_word_was_given_is_not_issued(shop: Shop) -> None:
    shop.process(shop.receive(at(1, **PAID, parent_id=9)))
    issue(shop)
    shop.process(shop.receive(at(2, status="cancelled", parent_id=9)))
    assert shop.states() == {"invoice": "withdrawn"}
    again = issue(shop)
    assert (again.is_fulfilled, again.has_changed) == (False, False)


def test_an_order_that_has_its_invoice_needs_none(shop: Shop) -> None:
    (invoice,) = shop.process(shop.receive(at(1, **PAID)))
    forward_issuance(shop.context, invoice)
    report = issue(shop)
    assert (report.is_fulfilled, report.has_changed) == (True, False)
    assert (
        report.message
        == "Order 1 of shop is not issued. done: The order has its invoice. Nothing is changed."
    )
    assert shop.order().issue_anyway_by is None
    assert shop.documents() == ["invoice"]


def test_a_document_that_an_operator_withdrew_stays_so(shop: Shop) -> None:
    (invoice,) = shop.process(shop.receive(at(1, **PAID)))
    operate.withdraw(shop.context.ledger, invoice, who="ana", now=shop.clock.now())
    report = issue(shop)
    assert not report.is_fulfilled
    assert "withdrawn by ana" in report.message
    assert shop.states() == {"invoice": "withdrawn"}


def test_an_order_that_is_not_known_is_named(shop: Shop) -> None:
    report = issue(shop, 404)
    assert (report.subject, report.is_fulfilled, report.has_changed) == (None, False, False)
    assert report.message.startswith("Nothing is known of an order 404 of store shop: it goes by its id")


def test_of_several_orders_of_an_id_it_is_the_youngest(shop: Shop) -> None:
    for second, key, created in ((1, "a", "2020"), (2, "b", "2021")):
        dates = dict.fromkeys(("date_created_gmt", "date_created"), f"{created}-01-01T00:00:00")
        shop.process(shop.receive(at(second, **PAID, parent_id=9, order_key=key, **dates)))
    report = issue(shop)
    assert report.subject is not None
    assert report.subject.order_key == "b"


def test_a_paused_store_is_told_of(shop: Shop) -> None:
    shop.process(shop.receive(at(1, **PAID, parent_id=9)))
    with shop.context.ledger.write() as connection:
        store_pauses.pause(
            connection, shop.store_id, reason="by ana", now=shop.clock.now(), next_probe_at=None
        )
    assert issue(shop).message == (
        "The invoice of order 1 of shop is due, and sent when its store goes on, which is paused (by ana)."
    )


def test_the_estimate_of_an_order_that_is_issued_anyway_is_sent_as_one(shop: Shop) -> None:
    shop.process(shop.receive(at(1, status="on-hold", payment_method="bacs", parent_id=9)))
    assert issue(shop).message.startswith("The estimate of order 1 of shop is due")
    forward(shop)
    assert shop.documents() == ["estimate"]
    shop.process(shop.receive(at(2, **PAID, payment_method="bacs", parent_id=9)))
    forward(shop)
    assert shop.documents() == ["estimate", "invoice"]


def forward(shop: Shop) -> None:
    with shop.context.ledger.read() as connection:
        due = [one for one in issuances.of_order(connection, shop.order().id) if one.state == "due"]
    for one in due:
        forward_issuance(shop.context, one.id)


def test_what_is_sent_says_what_was_decided(shop: Shop) -> None:
    """Space Invoices decides the kind by itself: by the flags, and by words that it knows."""
    with_policy(
        shop,
        status_map={"awaiting": "on-hold", "shipped": "completed"},
        bank_payment_methods=frozenset({"bacs", "cheque"}),
    )
    shop.process(shop.receive(at(1, status="awaiting", payment_method="cheque")))
    forward(shop)
    shop.process(shop.receive(at(2, status="shipped", payment_method="cheque")))
    forward(shop)
    assert shop.documents() == ["estimate", "invoice"]
    assert sent(shop)["status"] == "completed"
    assert shop.order().decision == "done"
