"""The lives of orders that the faults suite plays: what a shop sends of each, and what is due for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from tests.recorded import load

INVOICE, ESTIMATE = "invoice", "estimate"
_TEMPLATE = load("life-of-a-store")[4].order()
_FIRST = datetime(2026, 1, 1, tzinfo=UTC)

# Status after status, with the document that is due while it is the order's newest (both flags off).
_BANK = (("on-hold", ESTIMATE), ("processing", INVOICE), ("completed", INVOICE))
_KINDS: Sequence[tuple[int, str, Sequence[tuple[str, str | None]]]] = (
    (6, "stripe", (("processing", INVOICE),)),
    (3, "stripe", (("pending", None), ("processing", INVOICE), ("completed", INVOICE))),
    (2, "cod", (("processing", INVOICE), ("completed", INVOICE))),
    (2, "bacs", _BANK[:1]),
    (2, "bacs", _BANK),
    (1, "stripe", (("pending", None), ("cancelled", None))),
    (1, "stripe", (("processing", INVOICE), ("cancelled", None))),
    (1, "bacs", (("on-hold", ESTIMATE), ("trash", None))),
    (1, "stripe", (("failed", None), ("processing", INVOICE))),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One delivery of an order's life: `due` is the document that its state is due, if any."""

    order: int
    position: int
    topic: str
    body: bytes
    due: str | None


@dataclass(frozen=True, slots=True)
class Life:
    """An order from its first delivery to its last, in the order in which the shop saved it."""

    order: int
    steps: Sequence[Step]


def lives(random: Random) -> Iterator[Life]:
    """Lives without end, of every kind, each of another order."""
    number = 0
    weights = [weight for weight, _, _ in _KINDS]
    while True:
        number += 1
        _, method, states = random.choices(_KINDS, weights)[0]
        total = f"{random.randrange(100, 100_000) / 100:.2f}"
        yield Life(
            number,
            [
                _step(number, position, method, total, status, due)
                for position, (status, due) in enumerate(states)
            ],
        )


def deliveries(random: Random) -> Iterator[Step]:
    """The steps of many orders, mixed as in a busy shop: some repeated, some overtaking one another."""
    waiting: list[Step] = []
    for life in lives(random):
        steps = list(life.steps)
        if len(steps) > 1 and random.random() < 0.2:
            steps[0], steps[1] = steps[1], steps[0]
        if random.random() < 0.1:
            steps.append(random.choice(steps))
        waiting.append(steps.pop(0))
        waiting.extend(steps)
        # Later steps of an order come while others begin.
        while len(waiting) > 60:
            yield waiting.pop(0 if random.random() < 0.5 else random.randrange(20))


def _step(number: int, position: int, method: str, total: str, status: str, due: str | None) -> Step:
    if status == "trash":
        return Step(number, position, "order.deleted", json.dumps({"id": number}).encode(), due)
    modified = _FIRST + timedelta(seconds=number + 10 * position)
    order = _TEMPLATE | {
        "id": number,
        "number": str(number),
        "order_key": f"wc_order_{number}",
        "status": status,
        "payment_method": method,
        "total": total,
        "date_paid": None,
        "date_paid_gmt": None,
        "date_modified_gmt": modified.strftime("%Y-%m-%dT%H:%M:%S"),
    }
    topic = "order.created" if position == 0 else "order.updated"
    return Step(number, position, topic, json.dumps(order).encode(), due)
