"""The timeline of an order: what came in, was decided, and was sent, and what operators did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from bridge.ledger.actions import Action
from bridge.ledger.attempts import Attempt
from bridge.ledger.deliveries import Delivery


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, and what came of it."""

    at: datetime
    what: str
    result: str


def tell(
    deliveries: Sequence[Delivery], attempts: Sequence[Attempt], actions: Sequence[Action]
) -> Sequence[Event]:
    """All of it in time order. At the same moment, what causes comes before what is caused by it.

    Each sequence is in the order in which it happened.
    """
    events = [event for one in deliveries for event in _of_delivery(one)]
    events += [_of_action(one) for one in actions]
    events += [_of_attempt(one) for one in attempts]
    return sorted(events, key=lambda event: event.at)  # which leaves those of the same moment as they are


def _of_delivery(delivery: Delivery) -> Iterator[Event]:
    result = delivery.reason or delivery.state
    if delivery.duplicates == 0:
        yield Event(delivery.received_at, f"delivery {delivery.id}", f"{delivery.topic}: {result}")
        return
    # A deletion is processed each time it arrives, and the result is that of the last time.
    first, again = ("arrived", result) if delivery.is_deletion else (result, "the same body")
    yield Event(delivery.received_at, f"delivery {delivery.id}", f"{delivery.topic}: {first}")
    times = f"for the last of {delivery.duplicates + 1} times"
    yield Event(delivery.last_received_at, f"delivery {delivery.id} again", f"{times}: {again}")


def _of_attempt(attempt: Attempt) -> Event:
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


def _of_action(action: Action) -> Event:
    about = "the order"
    if action.order_id is None:
        about = f"issuance {action.issuance_id}" if action.issuance_id else f"delivery {action.delivery_id}"
    return Event(action.at, f"{action.verb} of {about} by {action.who}", action.result)
