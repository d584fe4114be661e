"""How long an order takes from the shop to its document, beside the bare chain of the same libraries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial

from bench.ground import Ground
from bench.load import quantile
from bench.results import Bound, Result, alternate
from bench.servers import issued_at
from bench.sides import Side

RATE = 20.0  # orders/s
SECONDS = 10
WARM_UP = 50


def recorded_to_issued(ground: Ground) -> Iterator[Result]:
    """From the moment an order is sent, so that on both sides the commit and the message are in it."""
    count = ground.plan.size(round(RATE * SECONDS), smoke=10)
    with ExitStack() as stack:
        sides: Sequence[Side] = (ground.bridge, ground.bare)
        for side in sides:
            before = ground.sandbox.issued()
            side.send(WARM_UP, connections=4)
            stack.enter_context(side.working())
            ground.sandbox.wait_for_issued(before + WARM_UP)
        ours, theirs = alternate(
            ground.plan.rounds, partial(_times, ground.bridge, count), partial(_times, ground.bare, count)
        )
    for what, share in (("p50", 0.5), ("p99", 0.99)):
        measured, baseline = ([quantile(one, share) * 1000 for one in side] for side in (ours, theirs))
        yield Result(f"{what} at {RATE:.0f} orders/s", "ms", measured, baseline, Bound(at_most=1.3))


def _times(side: Side, count: int) -> Sequence[float]:
    """Seconds from sent to issued, of each order."""
    before, first = side.sandbox.issued(), side.take_numbers(count)
    outcome = side.send(count, first=first, rate=RATE)
    side.sandbox.wait_for_issued(before + count)
    issued = {one["orderId"]: issued_at(one) for one in side.sandbox.documents(before)}
    return [issued[first + position] - sent for position, sent in enumerate(outcome.sent_at)]
