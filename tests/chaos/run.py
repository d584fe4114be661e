"""One run of the faults suite: a bridge under load, faults at random moments, and the accounts at the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

from rich.console import Console
from rich.table import Table

from tests.chaos import lives
from tests.chaos.accounts import Accounts, draw_up
from tests.chaos.disk import MEBIBYTE, may_mount, mounted
from tests.chaos.faults import BRIDGE, Fault, Stage, faults_for
from tests.chaos.load import Load, Sent
from tests.chaos.wire import Wire
from tests.running import RunningBridge
from tests.servers import PostgresServer, RedisServer, wait_until

DISK = 2048 * MEBIBYTE
API_TIMEOUT = 3  # seconds
A_FAULT_LASTS = 3.0  # seconds, about


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does. It goes on until so many deliveries are acknowledged and so many faults done."""

    database: str  # sqlite | postgresql
    deliveries: int
    faults: int
    rate: float  # deliveries/second
    seed: int
    kinds: Callable[[str], bool] = lambda name: True  # of which kinds of fault
    haste: float = 1.0  # what the faults and the time between them are shortened by
    settle_within: float = 900.0  # seconds


@dataclass(frozen=True, slots=True)
class Result:
    """What happened, and whether it adds up."""

    accounts: Accounts
    sent: Sent
    faults: Counter[str]
    left_out: list[str]


def run(plan: Plan, folder: Path, *, tell: Callable[[str], None]) -> Result:
    """Carry out a plan in a folder of its own; `tell` is given a line on each thing that happens."""
    random = Random(plan.seed)
    with ExitStack() as stack:
        stage = _set_up(plan, folder, random, stack)
        faults = [fault for fault in faults_for(stage) if plan.kinds(fault.name)]
        bridge = stage.bridge
        bridge.add_store("shop")
        bridge.wait_for_config("shop")
        load = Load(bridge.url, "shop", lives.deliveries(Random(plan.seed)), rate=plan.rate)
        load.start()
        try:
            done = _strike(plan, stage, faults, load, tell)
            wait_until(
                lambda: len(load.sent.acknowledged) >= plan.deliveries,
                f"{plan.deliveries} acknowledged deliveries",
                within=2 * plan.deliveries / plan.rate + 60,
            )
        finally:
            sent = load.stop()
        tell(f"{len(sent.acknowledged):,} deliveries are acknowledged; waiting until all of them are settled")
        bridge.wait_until_settled(within=plan.settle_within)
        for part in reversed(BRIDGE):
            assert bridge.parts[part].stop() == 0, f"the {part} did not stop in order"
        accounts = draw_up(
            bridge.ledger,
            sent,
            bridge.sandbox(),
            held_at_most=stage.in_flight + stage.wire.untold,
        )
    left_out = [] if may_mount() else ["the ledger's disk full: only root may mount a small one"]
    return Result(accounts, sent, done, left_out)


def _set_up(plan: Plan, folder: Path, random: Random, stack: ExitStack) -> Stage:
    disk = stack.enter_context(mounted(folder / "disk", DISK)) if may_mount() else None
    on_disk = disk.folder if disk else folder
    redis = stack.enter_context(RedisServer())
    postgres = None
    if plan.database == "postgresql":
        # Small enough a log of what is to be written for a small disk.
        postgres = PostgresServer(on_disk, max_wal_size="256MB", min_wal_size="64MB")
        stack.enter_context(postgres)
    wire = stack.enter_context(Wire())
    bridge = RunningBridge(
        folder,
        database_url=postgres.url if postgres else "",
        broker_url=redis.new_url(),
        # What Space Invoices allows, and some time to be killed in.
        sandbox_options=["--rate-limit", "100", "--latency", "50"],
        SPACEBRIDGE_API_TIMEOUT=str(API_TIMEOUT),
        SPACEBRIDGE_API_URL=f"http://127.0.0.1:{wire.port}/v1",
        SPACEBRIDGE_DATA_DIR=str(on_disk / "data"),
    )
    wire.target_port = bridge.sandbox_port
    stack.enter_context(bridge)
    return Stage(bridge, redis, postgres, wire, disk, random, plan.haste)


def _strike(
    plan: Plan, stage: Stage, faults: Sequence[Fault], load: Load, tell: Callable[[str], None]
) -> Counter[str]:
    """Do faults at random moments, each kind as often as the others."""
    done: Counter[str] = Counter()
    waiting: list[Fault] = []
    started = time.monotonic()
    while done.total() < plan.faults:
        waiting = waiting or stage.random.sample(faults, len(faults))
        fault = waiting.pop()
        stage.pause(0, 2 * _calm(plan, len(load.sent.acknowledged), done.total()))
        at = time.monotonic()
        fault.strike(stage)
        done[fault.name] += 1
        tell(
            f"{at - started:6.1f} s  {len(load.sent.acknowledged):6,} acknowledged  "
            f"{fault.name} ({time.monotonic() - at:.1f} s)"
        )
    return done


def _calm(plan: Plan, acknowledged: int, done: int) -> float:
    """Seconds to the next fault, on average, for the faults to be spread over the whole load."""
    left = max(0, plan.deliveries - acknowledged) / plan.rate
    return max(0.3, left / (plan.faults - done) - A_FAULT_LASTS)


def show(result: Result, console: Console) -> None:
    """Print the faults that were done and the accounts."""
    table = Table(box=None, show_header=False, title="Faults", title_justify="left")
    for name, number in sorted(result.faults.items()):
        table.add_row(name, str(number))
    console.print(table)
    for left_out in result.left_out:
        console.print(f"left out: {left_out}")
    console.print(f"answers: {dict(result.sent.answers)}")
    console.print(result.accounts.as_table())
    for problem in result.accounts.problems[:50]:
        console.print(problem, style="red", markup=False)
    verdict = "do NOT add up" if result.accounts.problems else "add up"
    console.print(f"{result.faults.total()} faults: the accounts {verdict}.")
