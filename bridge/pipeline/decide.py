"""Brings an order's issuances in line with what is known of it: decides, and carries the decision out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from bridge.db.after_commit import after_commit
from bridge.issuance import Decision, Document, Exceptions, Kind, Verdict, decide
from bridge.ledger import issuances, orders
from bridge.ledger.issuances import DUE, NOT_ADDED_YET, WITHDRAWN, Issuance
from bridge.ledger.orders import KnownOrder
from bridge.ledger.stores import Store
from bridge.telemetry import counts

_MAY_EXIST = {issuances.SENDING, issuances.ISSUED, issuances.HELD}


@dataclass(slots=True)
class OrderState:
    """An order that the caller has locked, with its issuances by kind: changed here, then saved.

    `order` and `issuances` are as they will be; the others as they were saved last.
    """

    order: KnownOrder
    issuances: dict[Kind, Issuance]
    saved_order: KnownOrder
    saved_issuances: Mapping[Kind, Issuance]
    uncounted: list[Verdict] = field(default_factory=list)  # what was decided since

    @classmethod
    def of(cls, order: KnownOrder, documents: Iterable[Issuance]) -> OrderState:
        """That of an order with these issuances."""
        by_kind = {one.kind: one for one in documents}
        return cls(order, dict(by_kind), order, by_kind)

    @property
    def is_known(self) -> bool:
        """Whether the shop has described the order; one that was just added is not known yet."""
        return self.order.snapshot is not None

    @property
    def has_something_due(self) -> bool:
        return any(one.state == DUE for one in self.issuances.values())


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What was decided, and whether anything is due for it."""

    verdict: Verdict
    due: bool


def decide_on(order_state: OrderState, store: Store) -> Verdict:
    """Decide on an order that has a snapshot, and change its state accordingly."""
    order, known = order_state.order, order_state.issuances
    if order.snapshot is None:
        raise ValueError(f"nothing is known of order {order.id} to decide by")
    verdict = decide(
        order.snapshot,
        deleted=order.deleted_at is not None,
        config=store.decision_config,
        policy=store.options,
        documents={kind: _document(one) for kind, one in known.items() if one.state in _MAY_EXIST},
        exceptions=Exceptions(
            issue_anyway=order.issue_anyway_by is not None,
            is_from_before=order.is_from_before,
            former_key=order.former_key,
        ),
    )
    shown = _for_the_operator(verdict, known)
    order_state.uncounted.append(shown)
    for kind, issuance in list(known.items()):
        if issuance.state == DUE and kind is not verdict.kind:
            _withdraw(known, issuance)
    if verdict.kind is not None:
        _make_due(known, order, verdict.kind)
    order_state.order = replace(
        order,
        decision=shown.label,
        reason=shown.reason,
        rule=shown.rule,
        decided_version=store.decision_version,
    )
    return shown


def save(connection: Connection, order_states: Collection[OrderState], now: datetime) -> None:
    """Write what has changed. Decision and issuances change together: nobody sees one without the other.

    New issuances have their ids then.
    """
    changed, withdrawn, due = [], [], []
    for order_state in order_states:
        if order_state.order != order_state.saved_order:
            changed.append(_dated(order_state, now))
        for kind, issuance in order_state.issuances.items():
            before = order_state.saved_issuances.get(kind)
            if before is not None and before.state == issuance.state:
                continue
            if issuance.state == DUE:
                due.append((issuance.store_id, issuance.order_id, kind))
            elif issuance.state == WITHDRAWN:
                withdrawn.append(issuance.id)
    orders.save(connection, changed)
    issuances.withdraw(connection, withdrawn, now)
    if due:
        added = issuances.make_due(connection, due, now)
        for order_state in order_states:
            for kind, issuance in order_state.issuances.items():
                if issuance.id == NOT_ADDED_YET:
                    order_state.issuances[kind] = replace(issuance, id=added[issuance.order_id, kind])
    for order_state in order_states:
        order_state.saved_order, order_state.saved_issuances = order_state.order, dict(order_state.issuances)
        _count(connection, order_state)


def _count(connection: Connection, order_state: OrderState) -> None:
    for shown in order_state.uncounted:
        after_commit(connection, partial(counts.decided, shown.label, shown.rule))
    order_state.uncounted = []


def _dated(order_state: OrderState, now: datetime) -> KnownOrder:
    """The order, of which it is kept since when its rule has decided."""
    if order_state.order.rule != order_state.saved_order.rule:
        order_state.order = replace(order_state.order, rule_since=now)
    return order_state.order


def settle(connection: Connection, store: Store, order: KnownOrder, now: datetime) -> Reconciliation:
    """Decide on one order that the caller has locked and that has a snapshot, and carry it out."""
    order_state = OrderState.of(order, issuances.of_order(connection, order.id))
    verdict = decide_on(order_state, store)
    save(connection, [order_state], now)
    return Reconciliation(verdict, order_state.has_something_due)


def _withdraw(known: dict[Kind, Issuance], issuance: Issuance) -> None:
    if issuance.id == NOT_ADDED_YET:
        del known[issuance.kind]
    else:
        known[issuance.kind] = replace(issuance, state=WITHDRAWN)


def _make_due(known: dict[Kind, Issuance], order: KnownOrder, kind: Kind) -> None:
    """A document that was withdrawn comes back to life, unless an operator withdrew it."""
    issuance = known.get(kind)
    if issuance is None:
        known[kind] = Issuance.new(order, kind)
    elif issuance.state == WITHDRAWN and issuance.withdrawn_by is None:
        known[kind] = replace(issuance, state=DUE)


def _document(issuance: Issuance) -> Document:
    lines, _, customer = (issuance.content or "").partition(".")
    return Document(issuance.total or "", issuance.currency or "", lines, customer)


def _for_the_operator(verdict: Verdict, known: Mapping[Kind, Issuance]) -> Verdict:
    """The verdict as it is to be shown where an issuance is stuck: a decision cannot get it going."""
    for issuance in known.values():
        if issuance.state == issuances.HELD:
            return Verdict(
                Decision.ATTENTION,
                f"Whether the {issuance.kind} was issued is not known: look in Space Invoices, then mark "
                f"issuance {issuance.id} as issued or have it sent again.",
                "held",
            )
        if issuance.state == issuances.FAILED and issuance.kind is verdict.kind:
            return Verdict(
                Decision.ATTENTION,
                f"The {issuance.kind} could not be issued: see the last error of issuance {issuance.id}.",
                "failed",
            )
        if issuance.withdrawn_by is not None and issuance.kind is verdict.kind:
            return Verdict(
                Decision.SKIP,
                f"The {issuance.kind} was withdrawn by {issuance.withdrawn_by}: have issuance {issuance.id} "
                "sent again if it is wanted after all.",
                "withdrawn",
            )
        if issuance.state == issuances.SENDING and verdict.decision is Decision.DONE:
            return Verdict.issue(issuance.kind, f"The {issuance.kind} is being sent.", "sending")
    return verdict
