"""How fast recorded orders become documents, beside a bare Celery task that does one POST."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime

from bench.results import Bound, Result, alternate
from bench.servers import Database, Sandbox, Site
from bench.sides import Bare, Bridge, Side, wait_for

STORES = 20
POLL_INTERVAL = 0.2  # seconds between looks at the sandbox
WITHIN = 900.0  # seconds, for all of a backlog


def drain(site: Site, database: Database, *, at_least: float) -> Iterator[Result]:
    """A backlog that was recorded while no worker ran."""
    count = site.plan.size(1_500, smoke=40)
    with site.sandbox() as sandbox:
        bridge, bare = Bridge(site, sandbox, database, stores=STORES), Bare(site, sandbox, database)
        with bridge.receiving():
            ours, theirs = alternate(
                site.plan.rounds,
                lambda: drained(bridge, sandbox, count, lambda: record(bridge, count)),
                lambda: drained(bare, sandbox, count, lambda: bare.publish(count)),
            )
        yield Result("orders", "/s", ours, theirs, Bound(at_least=at_least))


def drain_with_latency(site: Site, database: Database) -> Iterator[Result]:
    """The same while Space Invoices takes 100 ms for an answer: 32 in flight would be 320 a second."""
    count = site.plan.size(1_500, smoke=40)
    with site.sandbox("--rate-limit", "100000", "--latency", "100") as sandbox:
        bridge = Bridge(site, sandbox, database, stores=STORES)
        with bridge.receiving():
            ours = [
                drained(bridge, sandbox, count, lambda: record(bridge, count))
                for _ in range(site.plan.rounds)
            ]
        yield Result("orders", "/s", ours, [320.0], Bound(at_least=0.9))


def record(bridge: Bridge, count: int) -> None:
    """Have the receiver record so many orders, and announce them to a worker that is still to come."""
    bridge.send(count, connections=16)


def drained(side: Side, sandbox: Sandbox, count: int, fill: Callable[[], None]) -> float:
    """Fill the queue, start the worker (and the schedule), and see all documents issued: orders a second.

    The clock runs from the moment that the worker takes the first message, when it has started, to that at
    which the last document was issued.
    """
    before = sandbox.issued()
    fill()
    with side.working():
        began = time.time()
        wait_for(
            lambda: sandbox.issued() >= before + count,
            every=POLL_INTERVAL,
            within=WITHIN,
            what=f"{count} documents",
        )
        (last,) = sandbox.documents(before + count - 1)[-1:]
    return count / (datetime.fromisoformat(last["issuedAt"]).timestamp() - began)
