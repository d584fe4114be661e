"""How much memory each process takes, at rest and after many deliveries, beside bare ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

from bench.ground import Ground
from bench.results import Bound, Result
from bench.sides import Side
from bench.waiting import wait_for

CHUNK = 2_000  # deliveries that are sent before it is waited for the worker
AT_MOST = Bound(at_most=1.5)
FEW = 10  # that show that the worker has started


def memory(ground: Ground) -> Iterator[Result]:
    """Receiver, and worker with schedule, as process trees. One run: a round would take as long again."""
    little, much = ground.plan.size(1_000, smoke=20), ground.plan.size(100_000, smoke=60)
    sides: Sequence[Side] = (ground.bridge, ground.bare)
    with ExitStack() as stack:
        for side in sides:
            side.send(FEW)
            stack.enter_context(side.working())
        stack.enter_context(ground.bare.schedule.running())
        ground.sandbox.wait_for_issued(2 * FEW)
        wait_until_at_rest(sides)
        yield from beside("idle", taken(ground.bridge), taken(ground.bare), AT_MOST)
        for side in sides:
            pass_through(side, little)
        after_little = taken(ground.bridge)
        for side in sides:
            pass_through(side, much - little)
        after_much = taken(ground.bridge)
        after = f"after {much:,} deliveries"
        yield from beside(after, after_much, taken(ground.bare), AT_MOST)
        yield from beside(f"{after}, beside after {little:,}", after_much, after_little, Bound(at_most=1.1))


def taken(side: Side) -> Mapping[str, float]:
    """MiB of each part."""
    return {
        "receiver": side.receiver.memory(),
        "worker and schedule": side.worker.memory() + side.schedule.memory(),
    }


def wait_until_at_rest(sides: Sequence[Side]) -> None:
    """Wait until no part of them takes more than a second before: whatever starts has started then."""
    before: Sequence[float] = []

    def is_at_rest() -> bool:
        nonlocal before
        now = [size for side in sides for size in taken(side).values()]
        last, before = before, now
        return bool(last) and all(new < 1.01 * old for new, old in zip(now, last, strict=True))

    wait_for(is_at_rest, every=1.0, within=60, what="memory at rest")


def beside(
    when: str, ours: Mapping[str, float], theirs: Mapping[str, float], bound: Bound
) -> Iterator[Result]:
    """A line for each part."""
    for part, size in ours.items():
        yield Result(f"{part}, {when}", "MiB", [size], [theirs[part]], bound)


def pass_through(side: Side, count: int) -> None:
    """Send so many orders and see their documents issued, without a long queue at any time."""
    before = side.sandbox.issued()
    for start in range(0, count, CHUNK):
        side.send(min(CHUNK, count - start), connections=16)
        wait_for(lambda: side.queue.length() < FEW, every=0.2, within=600, what="a short queue")
    side.sandbox.wait_for_issued(before + count)
