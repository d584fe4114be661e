"""How fast deliveries are acknowledged, beside a bare view that checks a signature and inserts a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from bench.ground import Ground
from bench.load import Outcome
from bench.results import Bound, Result, alternate
from bench.servers import Plan
from tests.support.servers import free_port

CONNECTIONS = (1, 16, 64)
AT_LEAST = Bound(at_least=0.85)
P99_AT_MOST = Bound(at_most=1.5)


def ack(ground: Ground) -> Iterator[Result]:
    """New orders, at several numbers of connections."""
    for connections in CONNECTIONS:
        how = amount(ground.plan, connections)
        ours, theirs = alternate(
            ground.plan.rounds, partial(ground.bridge.send, **how), partial(ground.bare.send, **how)
        )
        at = f"at {connections} connection{'s' * (connections > 1)}"
        yield from figures(at, ours, theirs, AT_LEAST, P99_AT_MOST)


def amount(plan: Plan, connections: int) -> dict[str, int]:
    """How much is sent at once, for about two seconds."""
    full = 1_000 if connections == 1 else 4_000
    return {
        "count": plan.size(full, smoke=20),
        "warm_up": plan.size(200, smoke=2),
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


def ack_while_the_broker_is_down(ground: Ground) -> Iterator[Result]:
    """Two receivers over one ledger, one of which finds no broker where it should be."""
    cut_off = ground.bridge.twin(SPACEBRIDGE_BROKER_URL=f"redis://127.0.0.1:{free_port()}/0")
    how = amount(ground.plan, 16)
    with cut_off.receiving():
        ours, theirs = alternate(
            ground.plan.rounds, partial(cut_off.send, **how), partial(ground.bridge.send, **how)
        )
    yield from figures("at 16 connections", ours, theirs, Bound(at_least=0.95), None)


def ack_of_repeats(ground: Ground) -> Iterator[Result]:
    """Each delivery again, beside new ones."""
    new, again = [], []
    how = amount(ground.plan, 16)
    for _ in range(ground.plan.rounds):
        first = ground.bridge.take_numbers(how["count"] + how["warm_up"])
        new.append(ground.bridge.send(first=first, **how))
        again.append(ground.bridge.send(first=first, **how))
    yield from figures("at 16 connections", again, new, Bound(at_least=1.0), None)
