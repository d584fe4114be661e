"""What an operator does to documents and deliveries: a function for each verb, safe to repeat, and recorded.

Each is one transaction: it locks the order, moves the issuance, decides on the order again, and records the
action. What workers and other operators do at that moment comes before or after it. A call that changes
nothing is not recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from sqlalchemy import Connection

from bridge.db import Ledger
from bridge.issuance import Verdict
from bridge.ledger import actions, attempts, deliveries, issuances, kept_deliveries, orders, stores
from bridge.ledger.actions import Action
from bridge.ledger.deliveries import Delivery
from bridge.ledger.issuances import DUE, FAILED, HELD, ISSUED, SENDING, WITHDRAWN, Issuance
from bridge.ledger.orders import KnownOrder
from bridge.ledger.stores import Store
from bridge.pipeline.decide import settle
from bridge.spaceinvoices import Effect

_Subject = TypeVar("_Subject")


@dataclass(frozen=True, slots=True)
class Report(Generic[_Subject]):
    """The result of a verb, and the message to the operator.

    `subject`: the delivery, issuance or order as it is now; None if there is none of that id. `is_fulfilled`:
    things stand as was wished, by this call (then `has_changed`) or since before.
    """

    subject: _Subject | None
    message: str
    is_fulfilled: bool = False
    has_changed: bool = False


def doubtful(ledger: Ledger, issuance_ids: Sequence[int]) -> Sequence[Issuance]:
    """The issuances that `resend` sends again, although Space Invoices may have the document already."""
    with ledger.read() as connection:
        rows = [issuances.get(connection, id_) for id_ in issuance_ids]
        return [row for row in rows if row is not None and _is_doubtful(connection, row)]


def resend(
    ledger: Ledger, issuance_id: int, *, cleared_attempt: int | None, who: str, now: datetime
) -> Report[Issuance]:
    """Send a document again that is held, has failed, or was withdrawn by an operator.

    A document that may exist is sent again only if somebody has looked for it. `cleared_attempt` is the
    last attempt that is known to have issued nothing: if another operator sent the document again meanwhile,
    that look is out of date.
    """
    with ledger.write() as connection:
        if (locked := lock(connection, issuance_id)) is None:
            return _no_such_issuance(issuance_id)
        issuance, order = locked
        if issuance.attempt_id != cleared_attempt and _is_doubtful(connection, issuance):
            return Report(
                issuance,
                f"{_named(issuance)} may have been issued by its last attempt. Nothing is changed: "
                "look for it in Space Invoices, and try again.",
            )
        if not issuances.send_again(connection, issuance_id, now):
            return _why_not_resent(issuance, order, now)
        after, verdict = follow_up(connection, "resend", issuance, order, who=who, now=now)
        if after.state != DUE:
            message = (
                f"{_named(issuance)} was {issuance.state} and is not sent again but withdrawn, for it is not "
                f"due. {verdict.reason} If it falls due again, it is sent."
            )
            return Report(after, message, has_changed=True)
        message = f"{_named(after)} is due again{when_sent(stores.get(connection, order.store_id))}."
        return _changed(connection, after, verdict, message)


def mark_issued(ledger: Ledger, issuance_id: int, *, who: str, now: datetime) -> Report[Issuance]:
    """Record for good that the document exists, by an operator's word. It is never sent again."""
    with ledger.write() as connection:
        if (locked := lock(connection, issuance_id)) is None:
            return _no_such_issuance(issuance_id)
        issuance, order = locked
        total, currency, content = _worth(connection, issuance, order)
        if not issuances.note_as_issued(
            connection, issuance_id, now, total=total, currency=currency, content=content
        ):
            return _unmoved(issuance, wished=ISSUED)
        after, verdict = follow_up(connection, "mark-issued", issuance, order, who=who, now=now)
        return _changed(connection, after, verdict, f"{_named(after)} is marked as issued.")


def withdraw(ledger: Ledger, issuance_id: int, *, who: str, now: datetime) -> Report[Issuance]:
    """Never issue a document, whatever is decided on its order later; `resend` takes that back."""
    with ledger.write() as connection:
        if (locked := lock(connection, issuance_id)) is None:
            return _no_such_issuance(issuance_id)
        issuance, order = locked
        if not issuances.withdraw_for_good(connection, issuance_id, now, who=who):
            return _unmoved(issuance, wished=WITHDRAWN)
        after, verdict = follow_up(connection, "withdraw", issuance, order, who=who, now=now)
        message = f"{_named(after)} is withdrawn."
        if _may_exist(connection, after):
            message += " If Space Invoices has it after all, mark it as issued."
        return _changed(connection, after, verdict, message)


def replay(ledger: Ledger, delivery_id: int, *, who: str, now: datetime) -> Report[Delivery]:
    """Process a delivery once more, as after a failure. What was issued is not issued again."""
    with ledger.write() as connection:
        delivery = deliveries.lock(connection, delivery_id)
        if delivery is None:
            return _no_such_delivery(delivery_id, "replayed")
        if kept_deliveries.replay(connection, delivery_id):
            result = f"was {delivery.state}, is to be processed again"
            actions.record(connection, Action(now, who, "replay", result, delivery_id, issuance_id=None))
            message = f"Delivery {delivery_id} is processed again within seconds, while the bridge runs."
            return Report(
                deliveries.get(connection, delivery_id), message, is_fulfilled=True, has_changed=True
            )
    if delivery.state == deliveries.RECEIVED:
        message = f"Delivery {delivery_id} waits to be processed already: nothing is changed."
        return Report(delivery, message, is_fulfilled=True)
    message = f"Delivery {delivery_id} cannot be replayed: it is {delivery.state} ({delivery.reason})."
    return Report(delivery, message)


def ignore(ledger: Ledger, delivery_id: int, *, who: str, now: datetime) -> Report[Delivery]:
    """Set aside a delivery that waits for a person: quarantined, unreadable, or not processed."""
    with ledger.write() as connection:
        delivery = deliveries.lock(connection, delivery_id)
        if delivery is None:
            return _no_such_delivery(delivery_id, "ignored")
        was = f"was {delivery.state}"
        if kept_deliveries.ignore(connection, delivery_id, f"ignored by {who}; {was}: {delivery.reason}"):
            actions.record(connection, Action(now, who, "ignore", was, delivery_id, issuance_id=None))
            message = f"Delivery {delivery_id} is ignored: it changes no order."
            return Report(
                deliveries.get(connection, delivery_id), message, is_fulfilled=True, has_changed=True
            )
    is_ignored = delivery.state == deliveries.IGNORED
    already = " already" if is_ignored else ""
    message = f"Delivery {delivery_id} is {delivery.state}{already}: nothing is changed."
    return Report(delivery, message, is_fulfilled=is_ignored)


def lock(connection: Connection, issuance_id: int) -> tuple[Issuance, KnownOrder] | None:
    """Lock the order of an issuance, and return both as they are then; None if there is no such issuance."""
    issuance = issuances.get(connection, issuance_id)
    if issuance is None:
        return None
    order = orders.lock(connection, issuance.order_id)
    return _of_order(connection, order.id, issuance_id), order  # the issuance may have changed until then


def follow_up(
    connection: Connection, verb: str, before: Issuance, order: KnownOrder, *, who: str, now: datetime
) -> tuple[Issuance, Verdict]:
    """Decide on the order of an issuance that was moved, and record the action with its result."""
    verdict = settle(connection, stores.get(connection, order.store_id), order, now).verdict
    after = _of_order(connection, order.id, before.id)
    result = f"was {before.state}, is {after.state} -> {verdict}"
    actions.record(connection, Action(now, who, verb, result, delivery_id=None, issuance_id=before.id))
    return after, verdict


def _of_order(connection: Connection, order_id: int, issuance_id: int) -> Issuance:
    return next(row for row in issuances.of_order(connection, order_id) if row.id == issuance_id)


def _is_doubtful(connection: Connection, issuance: Issuance) -> bool:
    """Whether only an operator sends the document again, and it may exist."""
    is_at_rest = issuance.state in {HELD, FAILED} or issuance.withdrawn_by is not None
    return is_at_rest and _may_exist(connection, issuance)


def _may_exist(connection: Connection, issuance: Issuance) -> bool:
    """Whether one of its attempts may have had an effect, whatever state it was moved to since."""
    return any(
        attempt.outcome in {None, Effect.UNKNOWN}
        for attempt in attempts.of_order(connection, issuance.order_id)
        if attempt.kind == issuance.kind
    )


def _worth(connection: Connection, issuance: Issuance, order: KnownOrder) -> tuple[str, str, str | None]:
    """Total, currency and content of the document: as sent, if that may have made it, else as known now."""
    if issuance.total is not None and issuance.currency is not None and _may_exist(connection, issuance):
        return issuance.total, issuance.currency, issuance.content
    if order.snapshot is None:
        raise ValueError(f"nothing is known of order {order.id}")
    return order.snapshot.total, order.snapshot.currency, attempts.content_of(order.snapshot)


def _changed(connection: Connection, after: Issuance, verdict: Verdict, message: str) -> Report[Issuance]:
    message += f" Its order now: {verdict.label}. {verdict.reason}"
    for other in issuances.of_order(connection, after.order_id):
        if other.id != after.id and other.state == DUE:
            message += f" Its {other.kind}, issuance {other.id}, is due."
    return Report(after, message, is_fulfilled=True, has_changed=True)


def when_sent(store: Store) -> str:
    """When documents of a store that are due are sent, as the end of a sentence."""
    if store.paused_at is None:
        return ", and sent within seconds while the bridge runs"
    return f", and sent when its store goes on, which is paused ({store.pause_reason})"


def _why_not_resent(issuance: Issuance, order: KnownOrder, now: datetime) -> Report[Issuance]:
    if issuance.state == WITHDRAWN:
        return Report(
            issuance,
            f"{_named(issuance)} was withdrawn because it is not due, and is sent when it is. "
            f"Its order: {order.decision}. {order.reason}",
        )
    if issuance.state == ISSUED:
        message = f"{_named(issuance)} is issued: sent again, it would be issued twice. Nothing is changed."
        return Report(issuance, message)
    state = "is being sent at this moment" if issuance.state == SENDING else "is due already"
    if issuance.next_attempt_at is not None and issuance.next_attempt_at > now:
        state += f", and sent soon after {issuance.next_attempt_at.isoformat(' ', 'seconds')}"
    return Report(issuance, f"{_named(issuance)} {state}. Nothing is changed.", is_fulfilled=True)


def _unmoved(issuance: Issuance, *, wished: str) -> Report[Issuance]:
    """Why an issuance was neither marked as issued nor withdrawn."""
    if issuance.state == wished:
        by = f" by {issuance.withdrawn_by}" if issuance.withdrawn_by else ""
        message = f"{_named(issuance)} is {wished} already{by}. Nothing is changed."
        return Report(issuance, message, is_fulfilled=True)
    if issuance.state == SENDING:
        return Report(
            issuance,
            f"{_named(issuance)} is being sent at this moment. Nothing is changed: wait a minute or two, "
            f"then see what came of it with `spacebridge orders show {issuance.store} {issuance.order}`.",
        )
    return Report(
        issuance,
        f"{_named(issuance)} is {issuance.state}, and a document that exists cannot be withdrawn: "
        "cancel it in Space Invoices.",
    )


def _no_such_issuance(issuance_id: int) -> Report[Issuance]:
    message = f"There is no issuance {issuance_id}. `spacebridge issuances list` shows the youngest."
    return Report(None, message)


def _no_such_delivery(delivery_id: int, verb: str) -> Report[Delivery]:
    message = f"Delivery {delivery_id} cannot be {verb}: there is none of this id."
    return Report(None, f"{message} `spacebridge deliveries list` shows the newest.")


def _named(issuance: Issuance) -> str:
    return f"Issuance {issuance.id}, the {issuance.kind} of order {issuance.order} of {issuance.store},"
