"""Issues an order's document that a rule keeps back, by an operator's order."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from bridge.admin.operate import Report, when_sent
from bridge.db import Ledger
from bridge.issuance import Decision
from bridge.ledger import actions, issuances, orders, stores
from bridge.ledger.actions import Action
from bridge.ledger.orders import KnownOrder
from bridge.ledger.stores import Store
from bridge.pipeline.decide import OrderState, decide_on, save

VERB = "issue"


def issue_anyway(
    ledger: Ledger, store_id: int, resource_id: int, *, why: str | None, who: str, now: datetime
) -> Report[KnownOrder]:
    """Lift the rules on old orders, test orders, sub-orders, totals and refunds for one order, for good.

    All other rules still decide: an order that is not paid yet is issued when it is. Of several orders with
    this WooCommerce id, it is the youngest. One transaction; nothing changes if no document falls due by it.
    """
    with ledger.write() as connection:
        store = stores.get(connection, store_id)
        known = orders.of_resource(connection, store_id, resource_id)
        if not known:
            return Report(None, unknown_order(store.name, resource_id))
        order = orders.lock(connection, known[-1].id)
        return _issue(connection, store, order, why=why, who=who, now=now)


def unknown_order(store: str, resource_id: int) -> str:
    """The message that there is no order of this WooCommerce id."""
    return (
        f"Nothing is known of an order {resource_id} of store {store}: it goes by its id, which "
        f"`spacebridge orders list --store {store}` shows beside its number."
    )


def _issue(
    connection: Connection, store: Store, order: KnownOrder, *, why: str | None, who: str, now: datetime
) -> Report[KnownOrder]:
    name = f"Order {order.resource_id} of {store.name}"
    if order.issue_anyway_by is not None:
        message = f"{name} is issued anyway already, by {order.issue_anyway_by}."
        message += f" {order.decision}: {order.reason}"
        return Report(order, message, is_fulfilled=_is_on_its_way(order.decision))
    order_state = OrderState.of(order, issuances.of_order(connection, order.id))
    order_state.order = replace(order, issue_anyway_by=who)
    verdict = decide_on(order_state, store)
    is_done = verdict.decision is Decision.DONE
    if is_done or not _is_on_its_way(verdict.label):
        message = f"{name} is not issued. {verdict} Nothing is changed."
        return Report(order, message, is_fulfilled=is_done)
    save(connection, [order_state], now)
    reasons = f"{why}; " if why else ""
    result = f"{reasons}was {order.decision} -> {verdict}"
    actions.record(connection, Action(now, who, VERB, result, None, None, order_id=order.id))
    message = f"{name}: {verdict.label}. {verdict.reason}"
    if order_state.has_something_due:
        message = (
            f"The {verdict.label} of order {order.resource_id} of {store.name} is due{when_sent(store)}."
        )
    return Report(order_state.order, message, is_fulfilled=True, has_changed=True)


def _is_on_its_way(decision: str | None) -> bool:
    return decision not in {None, Decision.SKIP, Decision.ATTENTION}
