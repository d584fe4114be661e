"""What a decision makes of an order's issuances, and what is shown of one that is stuck."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.issuance import Decision, Details, Kind, Order
from bridge.ledger.issuances import DUE, FAILED, HELD, ISSUED, NOT_ADDED_YET, SENDING, WITHDRAWN, Issuance
from bridge.ledger.orders import KnownOrder
from bridge.pipeline.decide import OrderState, decide_on
from tests.support.deciding import ESTIMATE, INVOICE, bank, card
from tests.support.stored import NOW, ORDER, STORE, issuance

PAID, CANCELLED, UNPAID = card("processing"), card("cancelled"), bank("on-hold")
BY_ANA = "ana"


def order_state(snapshot: Order, *documents: Issuance) -> OrderState:
    return OrderState.of(replace(ORDER, snapshot=snapshot), documents)


def decided(state: OrderState) -> tuple[str, str]:
    """What is shown of the decision, which is what the order keeps, too."""
    verdict = decide_on(state, STORE)
    order = state.order
    assert (order.decision, order.reason, order.rule) == (verdict.label, verdict.reason, verdict.rule)
    assert order.decided_version == STORE.decision_version
    assert state.uncounted == [verdict]
    return verdict.label, verdict.rule


@pytest.mark.parametrize(
    ("snapshot", "document", "shown", "states"),
    [
        (PAID, issuance(INVOICE, DUE), ("invoice", "received"), {INVOICE: DUE}),
        (PAID, issuance(INVOICE, SENDING), ("invoice", "sending"), {INVOICE: SENDING}),
        (PAID, issuance(INVOICE, ISSUED), ("done", "invoiced"), {INVOICE: ISSUED}),
        (PAID, issuance(INVOICE, HELD), ("attention", "held"), {INVOICE: HELD}),
        (PAID, issuance(INVOICE, FAILED), ("attention", "failed"), {INVOICE: FAILED}),
        (PAID, issuance(INVOICE, WITHDRAWN), ("invoice", "received"), {INVOICE: DUE}),
        (
            PAID,
            issuance(INVOICE, WITHDRAWN, withdrawn_by=BY_ANA),
            ("skip", "withdrawn"),
            {INVOICE: WITHDRAWN},
        ),
        # No invoice is due any more.
        (CANCELLED, issuance(INVOICE, DUE), ("skip", "dead"), {INVOICE: WITHDRAWN}),
        (CANCELLED, issuance(INVOICE, SENDING), ("attention", "cancelled_after_invoice"), {INVOICE: SENDING}),
        (CANCELLED, issuance(INVOICE, ISSUED), ("attention", "cancelled_after_invoice"), {INVOICE: ISSUED}),
        (CANCELLED, issuance(INVOICE, HELD), ("attention", "held"), {INVOICE: HELD}),
        (CANCELLED, issuance(INVOICE, FAILED), ("skip", "dead"), {INVOICE: FAILED}),
        (CANCELLED, issuance(INVOICE, WITHDRAWN), ("skip", "dead"), {INVOICE: WITHDRAWN}),
        (
            CANCELLED,
            issuance(INVOICE, WITHDRAWN, withdrawn_by=BY_ANA),
            ("skip", "dead"),
            {INVOICE: WITHDRAWN},
        ),
        # The invoice is due, whatever became of the estimate.
        (PAID, issuance(ESTIMATE, DUE), ("invoice", "received"), {ESTIMATE: WITHDRAWN, INVOICE: DUE}),
        (PAID, issuance(ESTIMATE, SENDING), ("invoice", "received"), {ESTIMATE: SENDING, INVOICE: DUE}),
        (PAID, issuance(ESTIMATE, ISSUED), ("invoice", "received"), {ESTIMATE: ISSUED, INVOICE: DUE}),
        (PAID, issuance(ESTIMATE, HELD), ("attention", "held"), {ESTIMATE: HELD, INVOICE: DUE}),
        (PAID, issuance(ESTIMATE, FAILED), ("invoice", "received"), {ESTIMATE: FAILED, INVOICE: DUE}),
        (
            PAID,
            issuance(ESTIMATE, WITHDRAWN, withdrawn_by=BY_ANA),
            ("invoice", "received"),
            {ESTIMATE: WITHDRAWN, INVOICE: DUE},
        ),
        # The payment is awaited.
        (UNPAID, issuance(ESTIMATE, SENDING), ("wait", "estimated"), {ESTIMATE: SENDING}),
        (UNPAID, issuance(ESTIMATE, FAILED), ("attention", "failed"), {ESTIMATE: FAILED}),
    ],
)
def test_an_issuance_follows_the_decision_and_one_that_is_stuck_is_shown(
    snapshot: Order, document: Issuance, shown: tuple[str, str], states: dict[Kind, str]
) -> None:
    state = order_state(snapshot, document)
    assert decided(state) == shown
    assert {kind: one.state for kind, one in state.issuances.items()} == states
    assert state.has_something_due == (DUE in states.values())
    # What was read stays as it was, so that what has changed can be written.
    assert state.saved_order == replace(ORDER, snapshot=snapshot)
    assert state.saved_issuances == {document.kind: document}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (issuance(INVOICE, HELD), "Whether the invoice was issued is not known: "),
        (issuance(INVOICE, FAILED), "The invoice could not be issued: "),
        (issuance(INVOICE, WITHDRAWN, withdrawn_by=BY_ANA), "The invoice was withdrawn by ana: "),
    ],
)
def test_the_reason_names_the_issuance_that_is_stuck(document: Issuance, words: str) -> None:
    verdict = decide_on(order_state(PAID, document), STORE)
    assert verdict.reason.startswith(words)
    assert "issuance 21" in verdict.reason
    assert verdict.kind is None


def test_a_document_that_falls_due_first_is_new_and_goes_again_if_it_is_not_due_before_it_is_saved() -> None:
    state = order_state(PAID)
    assert decided(state) == ("invoice", "received")
    assert state.issuances == {INVOICE: Issuance.new(ORDER, INVOICE)}
    assert state.issuances[INVOICE].id == NOT_ADDED_YET
    state.order = replace(state.order, snapshot=CANCELLED)
    decide_on(state, STORE)
    assert state.issuances == {}
    assert not state.has_something_due
    assert [one.rule for one in state.uncounted] == ["received", "dead"]


@pytest.mark.parametrize(
    ("details", "rule"),
    [
        (Details(), "invoiced"),
        (Details(lines="the lines", customer="the customer"), "invoiced"),
        (Details(lines="other lines", customer="the customer"), "items_changed"),
        (Details(lines="the lines", customer="another"), "customer_changed"),
    ],
)
def test_an_order_is_compared_with_what_its_invoice_was_sent_for(details: Details, rule: str) -> None:
    sent = replace(issuance(INVOICE, ISSUED), content="the lines.the customer")
    assert decided(order_state(replace(PAID, details=details), sent))[1] == rule
    assert decided(order_state(PAID, replace(sent, content=None)))[1] == "invoiced"
    for change in ({"total": "1.00"}, {"currency": "USD"}, {"total": None}, {"currency": None}):
        assert decided(order_state(PAID, replace(sent, **change)))[1] == "changed_after_invoice"


CHILD = card("processing", parent_id=9)


@pytest.mark.parametrize(
    ("order", "shown"),
    [
        (replace(ORDER, snapshot=CHILD), ("attention", "sub_order")),
        (replace(ORDER, snapshot=CHILD, is_from_before=True), ("invoice", "received")),
        (replace(ORDER, snapshot=CHILD, issue_anyway_by=BY_ANA), ("invoice", "received")),
        (replace(ORDER, snapshot=CANCELLED, former_key="wc_order_1"), ("attention", "key_changed")),
        (replace(ORDER, deleted_at=NOW), ("skip", "deleted")),
    ],
)
def test_what_applies_to_one_order_alone_is_considered(order: KnownOrder, shown: tuple[str, str]) -> None:
    assert decided(OrderState.of(order, ())) == shown


def test_nothing_is_decided_on_an_order_that_the_shop_has_not_described() -> None:
    state = OrderState.of(replace(ORDER, snapshot=None), ())
    assert not state.is_known
    assert order_state(PAID).is_known
    with pytest.raises(ValueError, match="order 11"):
        decide_on(state, STORE)


def test_a_decision_waits_for_the_stores_config() -> None:
    assert decide_on(order_state(PAID), replace(STORE, config=None)).decision is Decision.WAIT
