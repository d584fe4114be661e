"""How fast deliveries are acknowledged, beside a bare view that checks a signature and inserts a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from bench.load import Outcome
from bench.results import Bound, Result, alternate
from bench.servers import Database, Site
from bench.sides import Bare, Bridge
from tests.servers import free_port

CONNECTIONS = (1, 16, 64)
AT_LEAST = Bound(at_least=0.85)
P99_AT_MOST = Bound(at_most=1.5)


def ack(site: Site, database: Database) -> Iterator[Result]:
    """New orders, at several numbers of connections."""
    with site.sandbox() as sandbox:
        bridge, bare = Bridge(site, sandbox, database), Bare(site, sandbox, database)
        with bridge.receiving(), bare.receiving():
            for connections in CONNECTIONS:
                how = amount(site, connections)
                ours, theirs = alternate(
                    site.plan.rounds, partial(bridge.send, **how), partial(bare.send, **how)
                )
                at = f"at {connections} connection{'s' * (connections > 1)}"
                yield from figures(at, ours, theirs, AT_LEAST, P99_AT_MOST)


def amount(site: Site, connections: int) -> dict[str, int]:
    """How much is sent at once, for about two seconds."""
    full = 1_000 if connections == 1 else 4_000
    return {
        "count": site.plan.size(full, smoke=20),
        "warm_up": site.plan.size(200, smoke=2),
        "connections": connections,
    }


def figures(
    at: str, ours: Sequence[Outcome], theirs: Sequence[Outcome], rate: Bound, p99: Bound | None
) -> Iterator[Result]:
    """The lines of one comparison."""
    lines: Sequence[tuple[str, str, Callable[[Outcome], float], Bound | None]] = [
        ("answers", "/s", lambda one: one.answers_a_second, rate),
        ("p50", "ms", lambda one: one.p50 * 1000, None),
        ("p99", "ms", lambda one: one.p99 * 1000, p99),
    ]
    for what, unit, figure, bound in lines:
        measured, baseline = ([figure(one) for one in side] for side in (ours, theirs))
        yield Result(f"{what} {at}", unit, measured, baseline, bound)


def ack_while_the_broker_is_down(site: Site, database: Database) -> Iterator[Result]:
    """Two receivers over one ledger, one of which finds no broker where it should be."""
    with site.sandbox() as sandbox:
        bridge = Bridge(site, sandbox, database)
        nowhere = f"redis://127.0.0.1:{free_port()}/0"
        cut_off = bridge.twin(SPACEBRIDGE_BROKER_URL=nowhere)
        with bridge.receiving(), cut_off.receiving():
            ours, theirs = alternate(
                site.plan.rounds,
                partial(cut_off.send, **amount(site, 16)),
                partial(bridge.send, **amount(site, 16)),
            )
        yield from figures("at 16 connections", ours, theirs, Bound(at_least=0.95), None)


def ack_of_repeats(site: Site, database: Database) -> Iterator[Result]:
    """Each delivery again, beside new ones."""
    with site.sandbox() as sandbox:
        bridge = Bridge(site, sandbox, database)
        new, again = [], []
        how = amount(site, 16)
        with bridge.receiving():
            for _ in range(site.plan.rounds):
                first = bridge.take_numbers(how["count"] + how["warm_up"])
                new.append(bridge.send(**how, first=first))
                again.append(bridge.send(**how, first=first))
        yield from figures("at 16 connections", again, new, Bound(at_least=1.0), None)
