"""How long a shop's orders take to compare, how much memory that takes, and what it costs the receiver."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.ground import Ground
from bench.load import Outcome
from bench.processes import Process
from bench.results import Bound, Result, alternate
from bench.servers import ROOT, python_of
from bench.waiting import wait_for
from tests.support.servers import free_port

ORDERS = 100_000  # of a year
RATE, SECONDS = 50.0, 8  # deliveries/s, and for how long, while the receiver is measured
LONGEST = 20 * 60.0  # seconds, at the polite pace
LARGEST = 100.0  # MiB

_KEYS = re.compile(r"(ck_\w+)|(cs_\w+)")


def reconcile(ground: Ground) -> Iterator[Result]:
    """All orders by content, once; then what an endless comparison costs those who deliver."""
    orders = ground.plan.size(ORDERS, smoke=150)
    count = ground.plan.size(round(RATE * SECONDS), smoke=10)
    with _shop(ground.site.new_folder("shop"), orders) as shop:
        seeded = _step(ground, shop, "seed")
        done = _step(ground, shop, "compare")
        if (done["compared"], done["found"]) != (seeded["orders"], 0):
            raise RuntimeError(f"of {seeded['orders']} orders, these were compared and found: {done}")
        yield Result("all compared", "s", [done["seconds"]], [LONGEST], Bound(at_most=1.0))
        yield Result("memory", "MiB", [done["mebibytes"]], [LARGEST], Bound(at_most=1.0))

        def beside() -> Outcome:
            with _comparing(ground):
                return ground.bridge.send(count, rate=RATE)

        ours, theirs = alternate(ground.plan.rounds, beside, lambda: ground.bridge.send(count, rate=RATE))
    measured, baseline = ([one.p99 * 1000 for one in side] for side in (ours, theirs))
    yield Result(f"p99 at {RATE:.0f} deliveries/s", "ms", measured, baseline, Bound(at_most=1.1))


@contextmanager
def _shop(folder: Path, orders: int) -> Iterator[Mapping[str, str]]:
    """The stand-in of a shop, in a process of its own: its address and keys."""
    port = free_port()
    log = folder / "log"
    arguments = ["bridge", "sandbox", "--shop", "--port", str(port), "--orders", str(orders)]
    process = Process(arguments, folder=ROOT, environment={}, log=log)
    found: dict[str, str] = {"url": f"http://127.0.0.1:{port}"}

    def has_keys() -> bool:
        process.check()
        for key, secret in _KEYS.findall(log.read_text()):
            found.update({"key": key} if key else {"secret": secret})
        return len(found) == 3

    with process.running():
        wait_for(has_keys, every=0.1, within=120, what="the keys of the shop's stand-in")
        yield found


def _step(ground: Ground, shop: Mapping[str, str], step: str) -> Mapping[str, Any]:
    done = subprocess.run(
        _command(ground, step),
        **_where(ground),
        input=json.dumps(shop).encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    result: Mapping[str, Any] = json.loads(done.stdout)
    return result


@contextmanager
def _comparing(ground: Ground) -> Iterator[None]:
    """While a comparison is under way, which is killed at the end: it may be."""
    process = subprocess.Popen(
        _command(ground, "compare"),
        **_where(ground),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield
        if process.poll() is not None and not ground.plan.smoke:
            raise RuntimeError("the comparison ended before the deliveries: it needs more orders")
    finally:
        process.kill()
        process.wait()


def _command(ground: Ground, step: str) -> Sequence[str]:
    return [python_of(ground.plan.checkout), "-m", "bench.comparing", step]


def _where(ground: Ground) -> dict[str, Any]:
    environment = {**os.environ, **ground.bridge.environment, "PYTHONPATH": str(ground.plan.checkout)}
    return {"cwd": ground.bridge.folder, "env": environment}
