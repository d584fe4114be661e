"""How fast recorded orders become documents, beside a bare Celery task that does one POST."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

from bench.ground import Ground
from bench.results import Bound, Result, alternate
from bench.servers import Database, Site
from bench.sides import Side
from bench.tested import Bridge

STORES = 20
COUNT = 4_000  # orders


def drain(ground: Ground, *, at_least: float) -> Iterator[Result]:
    """A backlog that was recorded while no worker ran."""
    count = ground.plan.size(COUNT, smoke=40)
    ours, theirs = alternate(
        ground.plan.rounds,
        lambda: drained(ground.bridge, count, partial(record, ground.bridge, count)),
        lambda: drained(ground.bare, count, partial(ground.bare.publish, count)),
    )
    yield Result("orders", "/s", ours, theirs, Bound(at_least=at_least))


def drain_with_latency(site: Site, database: Database) -> Iterator[Result]:
    """The same while Space Invoices takes 100 ms for an answer: 32 in flight would be 320 a second."""
    count = site.plan.size(COUNT, smoke=40)
    with site.sandbox("--rate-limit", "100000", "--latency", "100") as sandbox:
        bridge = Bridge(site, sandbox, database, stores=STORES)
        with bridge.receiving():
            ours = [drained(bridge, count, partial(record, bridge, count)) for _ in range(site.plan.rounds)]
        yield Result("orders", "/s", ours, [320.0], Bound(at_least=0.9))


def record(bridge: Bridge, count: int) -> None:
    """Have the receiver record so many orders, and announce them to a worker that is still to come."""
    bridge.send(count, connections=16)


def drained(side: Side, count: int, fill: Callable[[], None]) -> float:
    """Fill the queue, start the worker, and see all documents issued: orders a second.

    The clock runs from the moment that the worker takes the first message, when it has started, to that at
    which the last document was issued.
    """
    before = side.sandbox.issued()
    fill()
    with side.working():
        began = time.time()
        last = side.sandbox.wait_for_issued(before + count)
    return count / (last - began)
