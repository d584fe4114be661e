"""What years of deliveries in the ledger change, beside an empty one with as many stores."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from statistics import median

from bench.filling import fill, forget_that_stores_are_new
from bench.results import Bound, Result, alternate
from bench.servers import Database, Site
from bench.tested import Bridge


def growth(site: Site, database: Database) -> Iterator[Result]:
    """1,000,000 deliveries and 300,000 orders of 1,000 stores."""
    stores = site.plan.size(1_000, smoke=10)
    with site.sandbox() as sandbox:
        empty, full = (Bridge(site, sandbox, database, stores=stores) for _ in range(2))
        fill(full, site.plan.size(300_000, smoke=600))
        for bridge in (empty, full):
            forget_that_stores_are_new(bridge)
        sweeps = site.plan.size(50, smoke=3)
        ours, theirs = alternate(
            site.plan.rounds, lambda: median(full.sweep(sweeps)), lambda: median(empty.sweep(sweeps))
        )
        measured, baseline = ([seconds * 1000 for seconds in side] for side in (ours, theirs))
        yield Result("sweep", "ms", measured, baseline, Bound(at_most=2.0, is_difference=True))
        how = {"count": site.plan.size(1_500, smoke=20), "warm_up": site.plan.size(300, smoke=2)}
        with full.receiving(empty):
            of_full, of_empty = alternate(
                site.plan.rounds, partial(full.send, **how), partial(empty.send, **how)
            )
        measured, baseline = ([one.p50 * 1000 for one in side] for side in (of_full, of_empty))
        yield Result("ack, p50 at 1 connection", "ms", measured, baseline, Bound(at_most=1.1))
