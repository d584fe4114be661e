"""The timeline of an order: deliveries with their decisions, attempts, and operators' actions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from bridge.ledger.actions import Action
from bridge.ledger.attempts import Attempt
from bridge.ledger.deliveries import WEBHOOK, Delivery
from bridge.ledger.finds import Find


@dataclass(frozen=True, slots=True)
class Event:
    """What happened at a moment, and its result, under the names that `orders explain` prints."""

    at: datetime
    what: str
    result: str


def timeline(
    deliveries: Sequence[Delivery],
    attempts: Sequence[Attempt],
    actions: Sequence[Action],
    finds: Sequence[Find] = (),
) -> Sequence[Event]:
    """All events in time order; of the same moment, a cause before its effect.

    A find tells why its delivery did not come by a webhook.

    Each sequence has to be in the order in which it happened.
    """
    found = {find.delivery_id: find for find in finds}
    events = [
        event for delivery in deliveries for event in _delivery_events(delivery, found.get(delivery.id))
    ]
    events += map(_action_event, actions)
    events += map(_attempt_event, attempts)
    return sorted(events, key=lambda event: event.at)  # a stable sort keeps the order of the same moment


def _delivery_events(delivery: Delivery, find: Find | None) -> Iterator[Event]:
    result = delivery.reason or delivery.state
    if delivery.source != WEBHOOK:
        result = f"{_way(delivery, find)}: {result}"
    if delivery.duplicates == 0:
        yield Event(delivery.received_at, f"delivery {delivery.id}", f"{delivery.topic}: {result}")
        return
    # A deletion is processed each time it arrives, and the ledger keeps the last result.
    first, again = ("arrived", result) if delivery.is_deletion else (result, "the same body")
    yield Event(delivery.received_at, f"delivery {delivery.id}", f"{delivery.topic}: {first}")
    times = f"for the last of {delivery.duplicates + 1} times"
    yield Event(delivery.last_received_at, f"delivery {delivery.id} again", f"{times}: {again}")


def _way(delivery: Delivery, find: Find | None) -> str:
    """How a delivery came that no webhook brought, and why none did."""
    if find is None:
        return f"came by {delivery.source}"
    late = ""
    if find.changed_at is not None:
        minutes = max(0, round((find.found_at - find.changed_at).total_seconds() / 60))
        late = f", {minutes} minutes after the change"
    return f"came by {delivery.source}{late} (the webhook: {find.reason})"


def _attempt_event(attempt: Attempt) -> Event:
    if attempt.outcome is None:
        return Event(attempt.started_at, f"attempt for the {attempt.kind}", "under way")
    result = attempt.outcome
    if attempt.duration_ms is not None:
        result += f" after {attempt.duration_ms / 1000:.1f} s"
    if attempt.status is not None:
        result += f", status {attempt.status}"
    if attempt.excerpt:
        result += f": {attempt.excerpt}"
    return Event(attempt.started_at, f"attempt for the {attempt.kind}", result)


def _action_event(action: Action) -> Event:
    subject = "the order"
    if action.order_id is None:
        subject = f"issuance {action.issuance_id}" if action.issuance_id else f"delivery {action.delivery_id}"
    return Event(action.at, f"{action.verb} of {subject} by {action.who}", action.result)
