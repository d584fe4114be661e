"""How soon deliveries are acknowledged while the worker has much to do."""

from __future__ import annotations

from collections.abc import Iterator

from bench.ground import Ground
from bench.load import Outcome
from bench.results import Bound, Result, alternate
from bench.tested import Bridge

RATE = 50.0  # deliveries/s while it is measured: in a closed loop, no backlog would stay empty
SECONDS = 8
FEW = 20  # deliveries that show that the worker has started


def ack_while_draining(ground: Ground) -> Iterator[Result]:
    """Two bridges, of which one has a backlog and the other none; only one worker runs at a time."""
    backlog = ground.plan.size(10_000, smoke=600)
    count = ground.plan.size(round(RATE * SECONDS), smoke=10)
    busy = ground.bridge
    idle = Bridge(ground.site, ground.sandbox, ground.database, stores=len(busy.stores))

    def while_draining() -> Outcome:
        busy.send(max(1, backlog - busy.unsettled()), connections=16)
        with busy.working():
            outcome = busy.send(count, rate=RATE)
            if not busy.unsettled():
                raise RuntimeError("the backlog was drained before the end: it has to be longer")
        return outcome

    def with_no_backlog() -> Outcome:
        idle.send(FEW)
        with idle.working():
            idle.wait_until_settled()
            return idle.send(count, rate=RATE)

    with idle.receiving():
        ours, theirs = alternate(ground.plan.rounds, while_draining, with_no_backlog)
    for what, bound in (("p50", None), ("p99", Bound(at_most=2.0))):
        measured, baseline = ([getattr(one, what) * 1000 for one in side] for side in (ours, theirs))
        yield Result(f"{what} at {RATE:.0f} deliveries/s", "ms", measured, baseline, bound)
