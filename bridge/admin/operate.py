"""What an operator does by hand: a function for each verb, safe to repeat, recorded with who and when.

Each is one transaction: the order is locked, the issuance moved, its order decided on anew, and the action
recorded. Whatever workers and other operators do at that moment comes before or after it. What changes
nothing is not recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from sqlalchemy import Connection

from bridge.db import Ledger
from bridge.ledger import actions, attempts, deliveries, issuances, kept_deliveries, orders, stores
from bridge.ledger.actions import Action
from bridge.ledger.deliveries import Delivery
from bridge.ledger.issuances import DUE, FAILED, HELD, ISSUED, SENDING, WITHDRAWN, Issuance
from bridge.ledger.orders import KnownOrder
from bridge.ledger.stores import Store
from bridge.pipeline.decide import Reconciliation, settle
from bridge.spaceinvoices import Effect

_Subject = TypeVar("_Subject")


@dataclass(frozen=True, slots=True)
class Report(Generic[_Subject]):
    """What came of an operator's wish, and the sentences to tell it in.

    `subject` is what it was about, as it stands now; None if there is none of that id. `is_fulfilled`:
    things stand as was wished, by this call (then `has_changed`) or since before.
    """

    subject: _Subject | None
    is_fulfilled: bool
    has_changed: bool
    message: str


def doubtful(ledger: Ledger, issuance_ids: Sequence[int]) -> Sequence[Issuance]:
    """Those that can be sent again, and of which Space Invoices may have the document already."""
    with ledger.read() as connection:
        found = [issuances.get(connection, one) for one in issuance_ids]
        return [one for one in found if one is not None and _is_at_rest(one) and _may_exist(connection, one)]


def resend(
    ledger: Ledger, issuance_id: int, *, cleared_attempt: int | None, who: str, now: datetime
) -> Report[Issuance]:
    """Have a document sent again that is held, has failed, or was withdrawn by an operator.

    A document that may exist is sent again only if somebody has looked for it. `cleared_attempt` is the
    last attempt that this is known of to have issued nothing: if another operator had it sent again
    meanwhile, that look is out of date.
    """
    with ledger.write() as connection:
        locked = _lock(connection, issuance_id)
        if locked is None:
            return _no_such_issuance(issuance_id)
        found, order = locked
        if found.attempt_id != cleared_attempt and _is_at_rest(found) and _may_exist(connection, found):
            message = (
                f"{_named(found)} may have been issued by its last attempt. Nothing is changed: "
                "look for it in Space Invoices, and try again."
            )
            return Report(found, is_fulfilled=False, has_changed=False, message=message)
        if not issuances.send_again(connection, issuance_id, now):
            return _why_not_resent(found, order, now)
        after, settlement = _follow_up(connection, "resend", found, order, who=who, now=now)
        if after.state != DUE:
            message = (
                f"{_named(found)} was {found.state} and is not sent again but withdrawn, for it is not due. "
                f"{settlement.verdict.reason} If it falls due again, it is sent."
            )
            return Report(after, is_fulfilled=False, has_changed=True, message=message)
        message = f"{_named(after)} is due again{when_sent(stores.get(connection, order.store_id))}."
        return _changed(connection, after, settlement, message)


def mark_issued(ledger: Ledger, issuance_id: int, *, who: str, now: datetime) -> Report[Issuance]:
    """Take an operator's word that the document exists. It is never sent again, and this is for good."""
    with ledger.write() as connection:
        locked = _lock(connection, issuance_id)
        if locked is None:
            return _no_such_issuance(issuance_id)
        found, order = locked
        total, currency, content = _worth(connection, found, order)
        if not issuances.note_as_issued(
            connection, issuance_id, now, total=total, currency=currency, content=content
        ):
            return _unmoved(found, wished=ISSUED)
        after, settlement = _follow_up(connection, "mark-issued", found, order, who=who, now=now)
        return _changed(connection, after, settlement, f"{_named(after)} is marked as issued.")


def withdraw(ledger: Ledger, issuance_id: int, *, who: str, now: datetime) -> Report[Issuance]:
    """Have a document issued no more, whatever is decided on its order later; `resend` takes that back."""
    with ledger.write() as connection:
        locked = _lock(connection, issuance_id)
        if locked is None:
            return _no_such_issuance(issuance_id)
        found, order = locked
        if not issuances.withdraw_for_good(connection, issuance_id, now, who=who):
            return _unmoved(found, wished=WITHDRAWN)
        after, settlement = _follow_up(connection, "withdraw", found, order, who=who, now=now)
        message = f"{_named(after)} is withdrawn."
        if _may_exist(connection, after):
            message += " If Space Invoices has it after all, mark it as issued."
        return _changed(connection, after, settlement, message)


def replay(ledger: Ledger, delivery_id: int, *, who: str, now: datetime) -> Report[Delivery]:
    """Have a delivery processed once more, as after a failure. What was issued is not issued again."""
    with ledger.write() as connection:
        found = deliveries.lock(connection, delivery_id)
        if found is None:
            message = (
                f"Delivery {delivery_id} cannot be replayed: there is none of this id. "
                "`spacebridge deliveries list` shows the newest."
            )
            return Report(None, is_fulfilled=False, has_changed=False, message=message)
        if kept_deliveries.replay(connection, delivery_id):
            result = f"was {found.state}, is to be processed again"
            actions.record(connection, Action(now, who, "replay", result, delivery_id, issuance_id=None))
            message = f"Delivery {delivery_id} is processed again within seconds, while the bridge runs."
            after = deliveries.get(connection, delivery_id)
            return Report(after, is_fulfilled=True, has_changed=True, message=message)
    if found.state == deliveries.RECEIVED:
        message = f"Delivery {delivery_id} waits to be processed already: nothing is changed."
        return Report(found, is_fulfilled=True, has_changed=False, message=message)
    message = f"Delivery {delivery_id} cannot be replayed: it is {found.state} ({found.reason})."
    return Report(found, is_fulfilled=False, has_changed=False, message=message)


def ignore(ledger: Ledger, delivery_id: int, *, who: str, now: datetime) -> Report[Delivery]:
    """Have a delivery wait for nobody: one that is quarantined, unreadable, or could not be processed."""
    with ledger.write() as connection:
        found = deliveries.lock(connection, delivery_id)
        if found is None:
            message = (
                f"Delivery {delivery_id} cannot be ignored: there is none of this id. "
                "`spacebridge deliveries list` shows the newest."
            )
            return Report(None, is_fulfilled=False, has_changed=False, message=message)
        if kept_deliveries.ignore(
            connection, delivery_id, f"ignored by {who}; was {found.state}: {found.reason}"
        ):
            actions.record(
                connection, Action(now, who, "ignore", f"was {found.state}", delivery_id, issuance_id=None)
            )
            after = deliveries.get(connection, delivery_id)
            message = f"Delivery {delivery_id} is ignored: it changes no order."
            return Report(after, is_fulfilled=True, has_changed=True, message=message)
    is_fulfilled = found.state == deliveries.IGNORED
    message = (
        f"Delivery {delivery_id} is {found.state}{' already' if is_fulfilled else ''}: nothing is changed."
    )
    return Report(found, is_fulfilled=is_fulfilled, has_changed=False, message=message)


def _lock(connection: Connection, issuance_id: int) -> tuple[Issuance, KnownOrder] | None:
    found = issuances.get(connection, issuance_id)
    if found is None:
        return None
    order = orders.lock(connection, found.order_id)
    return _of_order(connection, order.id, issuance_id), order  # read anew: it may have moved until then


def _of_order(connection: Connection, order_id: int, issuance_id: int) -> Issuance:
    return next(one for one in issuances.of_order(connection, order_id) if one.id == issuance_id)


def _is_at_rest(issuance: Issuance) -> bool:
    """Whether nothing but an operator gets it going again."""
    return issuance.state in {HELD, FAILED} or issuance.withdrawn_by is not None


def _may_exist(connection: Connection, issuance: Issuance) -> bool:
    """Whether one of its attempts may have had an effect, whatever state it was moved to since."""
    return any(
        one.outcome in {None, Effect.UNKNOWN}
        for one in attempts.of_order(connection, issuance.order_id)
        if one.kind == issuance.kind
    )


def _worth(connection: Connection, issuance: Issuance, order: KnownOrder) -> tuple[str, str, str | None]:
    """Total, currency and content of the document: as sent, if that may have made it, else as known now."""
    if issuance.total is not None and issuance.currency is not None and _may_exist(connection, issuance):
        return issuance.total, issuance.currency, issuance.content
    if order.snapshot is None:
        raise ValueError(f"nothing is known of order {order.id}")
    return order.snapshot.total, order.snapshot.currency, attempts.content_of(order.snapshot)


def _follow_up(
    connection: Connection, verb: str, before: Issuance, order: KnownOrder, *, who: str, now: datetime
) -> tuple[Issuance, Reconciliation]:
    """Decide on the order as it stands after the move, and record what was done and what came of it."""
    settlement = settle(connection, stores.get(connection, order.store_id), order, now)
    after = _of_order(connection, order.id, before.id)
    verdict = settlement.verdict
    result = f"was {before.state}, is {after.state} -> {verdict}"
    actions.record(connection, Action(now, who, verb, result, delivery_id=None, issuance_id=before.id))
    return after, settlement


def _changed(
    connection: Connection, after: Issuance, settlement: Reconciliation, message: str
) -> Report[Issuance]:
    verdict = settlement.verdict
    message += f" Its order now: {verdict.label}. {verdict.reason}"
    for other in issuances.of_order(connection, after.order_id):
        if other.id != after.id and other.state == DUE:
            message += f" Its {other.kind}, issuance {other.id}, is due."
    return Report(after, is_fulfilled=True, has_changed=True, message=message)


def when_sent(store: Store) -> str:
    """When what is due of a store is sent, to be added to a sentence that says so."""
    if store.paused_at is None:
        return ", and sent within seconds while the bridge runs"
    return f", and sent when its store goes on, which is paused ({store.pause_reason})"


def _why_not_resent(found: Issuance, order: KnownOrder, now: datetime) -> Report[Issuance]:
    if found.state == WITHDRAWN:
        message = (
            f"{_named(found)} was withdrawn because it is not due, and is sent when it is. "
            f"Its order: {order.decision}. {order.reason}"
        )
        return Report(found, is_fulfilled=False, has_changed=False, message=message)
    if found.state == ISSUED:
        message = f"{_named(found)} is issued: sent again, it would be issued twice. Nothing is changed."
        return Report(found, is_fulfilled=False, has_changed=False, message=message)
    state = "is being sent at this moment" if found.state == SENDING else "is due already"
    if found.next_attempt_at is not None and found.next_attempt_at > now:
        state += f", and sent soon after {found.next_attempt_at.isoformat(' ', 'seconds')}"
    message = f"{_named(found)} {state}. Nothing is changed."
    return Report(found, is_fulfilled=True, has_changed=False, message=message)


def _unmoved(found: Issuance, *, wished: str) -> Report[Issuance]:
    """Why an issuance was neither marked as issued nor withdrawn."""
    if found.state == wished:
        by = f" by {found.withdrawn_by}" if found.withdrawn_by else ""
        message = f"{_named(found)} is {found.state} already{by}. Nothing is changed."
    elif found.state == SENDING:
        message = (
            f"{_named(found)} is being sent at this moment. Nothing is changed: wait a minute or two, then "
            f"see what came of it with `spacebridge orders show {found.store} {found.order}`."
        )
    else:
        message = (
            f"{_named(found)} is {found.state}, and a document that exists cannot be withdrawn: "
            "cancel it in Space Invoices."
        )
    return Report(found, is_fulfilled=found.state == wished, has_changed=False, message=message)


def _no_such_issuance(issuance_id: int) -> Report[Issuance]:
    message = f"There is no issuance {issuance_id}. `spacebridge issuances list` shows the youngest."
    return Report(None, is_fulfilled=False, has_changed=False, message=message)


def _named(issuance: Issuance) -> str:
    return f"Issuance {issuance.id}, the {issuance.kind} of order {issuance.order} of {issuance.store},"
