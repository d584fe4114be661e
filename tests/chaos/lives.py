"""The lives of orders that the faults suite plays: what a shop sends of each, and what is due for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from bridge.issuance import address_of, content_digest
from tests.support.recorded import load

INVOICE, ESTIMATE = "invoice", "estimate"
SHOP = "https://shop.example/"
_TEMPLATE = load("life-of-a-store")[4].order()
_FIRST = datetime(2026, 1, 1, tzinfo=UTC)

# Status after status, with the document that is due while it is the order's newest (both flags off).
_Life = Sequence[tuple[str, str | None]]
_BANK = (("on-hold", ESTIMATE), ("processing", INVOICE), ("completed", INVOICE))
_PAID = (("processing", INVOICE),)
_TRASH = (("trash", None),)
_KINDS: Sequence[tuple[int, str, _Life]] = (
    (6, "stripe", _PAID),
    (3, "stripe", (("pending", None), ("processing", INVOICE), ("completed", INVOICE))),
    (2, "cod", (("processing", INVOICE), ("completed", INVOICE))),
    (2, "bacs", _BANK[:1]),
    (2, "bacs", _BANK),
    (1, "stripe", (("pending", None), ("cancelled", None))),
    (1, "stripe", (*_PAID, ("cancelled", None))),
    (1, "stripe", (("failed", None), *_PAID)),
    # What follows the trash is restored.
    (1, "bacs", (*_BANK[:1], *_TRASH)),
    (1, "stripe", (*_PAID, *_TRASH, *_PAID)),
    (1, "stripe", (("pending", None), *_TRASH, ("pending", None), *_PAID)),
    (1, "bacs", (*_BANK[:1], *_TRASH, *_BANK)),
    (1, "bacs", (*_BANK[:1], *_TRASH, *_BANK[:1], *_TRASH, *_BANK[:1])),
    (1, "stripe", (("pending", None), *_TRASH, *_PAID, *_TRASH)),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One delivery of an order's life: `due` is the document that its state is due, if any.

    The steps of a life with a deletion are sent `one_by_one`: a deletion says nothing of its time, so what it
    means follows from what arrived before it.
    """

    order: int
    position: int
    topic: str
    body: bytes
    due: str | None
    one_by_one: bool

    @property
    def is_deletion(self) -> bool:
        return self.topic == "order.deleted"

    @property
    def digest(self) -> bytes:
        """By which the ledger knows its delivery."""
        return content_digest(self.topic, self.body, address_of(SHOP) if self.is_deletion else "")


def lives(random: Random) -> Iterator[list[Step]]:
    """Lives without end, of every kind, each of another order, in the order in which the shop saved it."""
    number = 0
    weights = [weight for weight, _, _ in _KINDS]
    while True:
        number += 1
        _, method, states = random.choices(_KINDS, weights)[0]
        total = f"{random.randrange(100, 100_000) / 100:.2f}"
        yield [_step(number, position, method, total, states) for position in range(len(states))]


def deliveries(random: Random) -> Iterator[Step]:
    """The steps of many orders, mixed as in a busy shop: some repeated, some overtaking one another."""
    waiting: list[Step] = []
    for steps in lives(random):
        if len(steps) > 1 and random.random() < 0.2:
            first = random.randrange(len(steps) - 1)
            steps[first], steps[first + 1] = steps[first + 1], steps[first]
        if random.random() < 0.1:
            steps.append(random.choice(steps))
        waiting.extend(steps)
        # Later steps of an order come while others begin.
        while len(waiting) > 60:
            chosen = waiting[0 if random.random() < 0.5 else random.randrange(20)]
            if chosen.one_by_one:
                chosen = next(step for step in waiting if step.order == chosen.order)
            waiting.remove(chosen)
            yield chosen


def _step(number: int, position: int, method: str, total: str, states: _Life) -> Step:
    status, due = states[position]
    one_by_one = ("trash", None) in states
    if status == "trash":
        body: object = {"id": number}
        return Step(number, position, "order.deleted", json.dumps(body).encode(), due, one_by_one)
    created = _FIRST + timedelta(seconds=number)
    order = _TEMPLATE | {
        "id": number,
        "number": str(number),
        "order_key": f"wc_order_{number}",
        "status": status,
        "payment_method": method,
        "total": total,
        "date_paid": None,
        "date_paid_gmt": None,
        **_dates("date_created", created),
        **_dates("date_modified", created + timedelta(seconds=10 * position)),
        "_links": {"self": [{"href": f"{SHOP}wp-json/wc/v3/orders/{number}"}]},
    }
    restored = position > 0 and states[position - 1][0] == "trash"
    topic = "order.created" if position == 0 else "order.restored" if restored else "order.updated"
    return Step(number, position, topic, json.dumps(order).encode(), due, one_by_one)


def _dates(name: str, moment: datetime) -> dict[str, str]:
    """A moment as WooCommerce writes it: in the shop's time, which is UTC here, and in UTC."""
    return dict.fromkeys((name, f"{name}_gmt"), moment.strftime("%Y-%m-%dT%H:%M:%S"))
