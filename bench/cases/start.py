"""How soon the bridge is ready after its start, beside bare gunicorn and Celery."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence

from bench.bare import Bare
from bench.ground import Ground
from bench.processes import Process
from bench.results import Bound, Result, alternate
from bench.servers import Site
from bench.sides import Side, answers
from bench.waiting import wait_for
from tests.support.servers import free_port

AT_MOST = Bound(at_most=1.5)
WAITING = 10  # messages that the worker finds


def start_of_up(site: Site) -> Iterator[Result]:
    """`spacebridge up` until its receiver is ready, over a ledger that is there, or is to be made first."""
    folder, port = site.new_folder("up"), free_port()
    up = Process(
        ["bridge", "up", "--port", str(port), "--data-dir", str(folder / "data")],
        folder=site.plan.checkout,
        environment={"SPACEBRIDGE_LOG_FORMAT": "json"},
        log=folder / "log",
    )

    def of_up() -> Sequence[float]:
        shutil.rmtree(folder / "data", ignore_errors=True)
        return [seconds_until_ready(port, up) for _ in ("the first time", "again")]

    with site.sandbox() as sandbox:
        bare = Bare(site, sandbox, "embedded")
        parts = (bare.worker, bare.schedule, bare.receiver)
        ours, theirs = alternate(site.plan.rounds, of_up, lambda: [seconds_until_ready(bare.port, *parts)])
    for position, what in enumerate(("for the first time", "again")):
        measured, baseline = [each[position] for each in ours], [each[0] for each in theirs]
        yield Result(f"`up` {what}", "s", measured, baseline, AT_MOST)


def start_of_worker(ground: Ground) -> Iterator[Result]:
    """The worker's command until it takes its first task."""

    def of_bridge() -> float:
        ground.bridge.send(WAITING)
        return seconds_until_at_work(ground.bridge)

    def of_bare() -> float:
        ground.bare.publish(WAITING)
        return seconds_until_at_work(ground.bare)

    ours, theirs = alternate(ground.plan.rounds, of_bridge, of_bare)
    yield Result("worker to its first task", "s", ours, theirs, AT_MOST)


def seconds_until_ready(port: int, *processes: Process) -> float:
    """Start these, the last of them the receiver or what starts it, and wait for its answer."""
    began = time.monotonic()
    for process in processes:
        process.start()
    try:
        wait_for(lambda: answers(port), every=0.01, within=60, what="a ready receiver")
        return time.monotonic() - began
    finally:
        for process in processes:
            process.stop()


def seconds_until_at_work(side: Side) -> float:
    """Start the worker, and wait until it takes a message."""
    before = side.sandbox.issued()
    began = time.monotonic()
    with side.working():
        taken = time.monotonic() - began
        side.sandbox.wait_for_issued(before + WAITING)
    return taken
