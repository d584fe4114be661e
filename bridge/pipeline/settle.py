"""Brings an order's issuances in line with what is known of it: decides, and carries the decision out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from bridge.issuance import Decision, Document, Documents, Verdict, decide
from bridge.ledger import issuances, orders
from bridge.ledger.issuances import Issuance
from bridge.ledger.orders import KnownOrder
from bridge.ledger.stores import Store

_MAY_EXIST = {issuances.SENDING, issuances.ISSUED, issuances.HELD}


@dataclass(frozen=True, slots=True)
class Settlement:
    """What was decided, and whether anything is due for it."""

    verdict: Verdict
    due: bool


def settle(connection: Connection, store: Store, order: KnownOrder, now: datetime) -> Settlement:
    """Decide on an order that the caller has locked and that has a snapshot, and carry it out.

    Decision and issuances change in the caller's one transaction, so nobody sees one without the other.
    """
    if order.snapshot is None:
        raise ValueError(f"nothing is known of order {order.id} to decide by")
    known = {issuance.kind: issuance for issuance in issuances.of_order(connection, order.id)}
    verdict = decide(
        order.snapshot,
        deleted=order.deleted_at is not None,
        config=store.decision_config,
        policy=store.policy,
        documents=Documents(
            invoice=_document(known.get("invoice")), estimate=_document(known.get("estimate"))
        ),
    )
    for issuance in known.values():
        if issuance.state == issuances.DUE and issuance.kind != verdict.decision:
            issuances.withdraw(connection, issuance.id, now)
    if verdict.decision in {Decision.INVOICE, Decision.ESTIMATE}:
        issuances.make_due(
            connection, store_id=store.id, order_id=order.id, kind=verdict.decision.value, now=now
        )
    shown = _for_the_operator(verdict, known)
    orders.save_verdict(connection, order.id, shown, store.decision_version)
    due = any(one.state == issuances.DUE for one in issuances.of_order(connection, order.id))
    return Settlement(shown, due)


def _document(issuance: Issuance | None) -> Document | None:
    if issuance is None or issuance.state not in _MAY_EXIST:
        return None
    return Document(total=issuance.total or "", currency=issuance.currency or "")


def _for_the_operator(verdict: Verdict, known: dict[str, Issuance]) -> Verdict:
    """The verdict as it is to be shown where an issuance is stuck: a decision cannot get it going."""
    for issuance in known.values():
        if issuance.state == issuances.HELD:
            return Verdict(
                Decision.ATTENTION,
                f"Whether the {issuance.kind} was issued is not known: look in Space Invoices, then mark "
                f"issuance {issuance.id} as issued or have it sent again.",
            )
        if issuance.state == issuances.FAILED and issuance.kind == verdict.decision:
            return Verdict(
                Decision.ATTENTION,
                f"The {issuance.kind} could not be issued: see the last error of issuance {issuance.id}.",
            )
        if issuance.withdrawn_by is not None and issuance.kind == verdict.decision:
            return Verdict(
                Decision.SKIP,
                f"The {issuance.kind} was withdrawn by {issuance.withdrawn_by}: have issuance {issuance.id} "
                "sent again if it is wanted after all.",
            )
        if issuance.state == issuances.SENDING and verdict.decision is Decision.DONE:
            return Verdict(Decision.INVOICE, "The invoice is being sent.")
    return verdict
