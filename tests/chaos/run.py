"""One run of the faults suite: a bridge under load, faults at random moments, and the accounts at the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from rich.console import Console
from rich.table import Table

from tests.chaos import clocks, lives
from tests.chaos.accounts import Accounts, draw_up
from tests.chaos.disk import MEBIBYTE, mounted
from tests.chaos.faults import faults_for, left_out
from tests.chaos.load import Load, Sent
from tests.chaos.machines import REDIS, let_clocks_differ
from tests.chaos.pipes import Pipe
from tests.chaos.stage import API_TIMEOUT, ROLES, Fault, Stage
from tests.chaos.wire import Wire
from tests.support.running import RunningBridge, answers
from tests.support.servers import PostgresServer, RedisServer, wait_until

DISK = 2048 * MEBIBYTE
WORKERS = 2
STORE = "shop"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does. It goes on until so many deliveries are acknowledged and so many faults done."""

    database: str  # sqlite | postgresql
    deliveries: int
    faults: int | None  # None: one of each kind
    rate: float  # deliveries/second
    seed: int
    kinds: Callable[[str], bool] = lambda name: True  # of which kinds of fault
    haste: float = 1.0  # what the faults and the time between them are shortened by
    clocks_off: float = 5.0  # seconds, at most, that the clock of a machine is off
    settle_within: float = 900.0  # seconds


@dataclass(frozen=True, slots=True)
class Result:
    """What happened, and whether it adds up."""

    accounts: Accounts
    sent: Sent
    faults: Counter[str]
    left_out: Sequence[str]


def run(plan: Plan, folder: Path, *, tell: Callable[[str], None]) -> Result:
    """Carry out a plan in a folder of its own; `tell` is given a line on each thing that happens."""
    random = Random(plan.seed)
    with ExitStack() as stack:
        stage = _set_up(plan, folder, random, stack)
        faults = [fault for fault in faults_for(stage) if plan.kinds(fault.name)]
        bridge = stage.bridge
        bridge.add_store(STORE)
        bridge.wait_for_config(STORE)
        if stage.disk is not None:
            stage.disk.sync()  # so that a power failure takes no more than what follows
        load = Load(bridge.urls, STORE, lives.deliveries(Random(plan.seed)), rate=plan.rate)
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
        settling_since = time.monotonic()
        bridge.wait_until_settled(within=plan.settle_within)
        tell(f"settled after {time.monotonic() - settling_since:.0f} s")
        for name in reversed(stage.names(*ROLES)):
            assert bridge.parts[name].stop() == 0, f"the {name} did not stop in order"
        accounts = draw_up(
            bridge.ledger,
            sent,
            bridge.sandbox(),
            held_at_most=stage.in_flight + stage.wire.untold,
        )
    return Result(accounts, sent, done, left_out(stage))


def _set_up(plan: Plan, folder: Path, random: Random, stack: ExitStack) -> Stage:
    disk = stack.enter_context(mounted(folder / "disk", DISK))
    on_disk = disk.folder if disk else folder
    own_clocks = stack.enter_context(clocks.opened(folder / "clocks"))
    redis = RedisServer(environment=own_clocks.environment(REDIS) if own_clocks else None)
    stack.enter_context(redis)
    servers = {"Redis": redis.port}
    postgres = None
    if plan.database == "postgresql":
        # Small enough a log of what is to be written for a small disk.
        postgres = PostgresServer(on_disk, max_wal_size="256MB", min_wal_size="64MB")
        stack.enter_context(postgres)
        servers["PostgreSQL"] = postgres.port
    wire = stack.enter_context(Wire())
    pipes = {name: stack.enter_context(Pipe(port, Random(plan.seed))) for name, port in servers.items()}

    def environment_of(part: str) -> Mapping[str, str]:
        return own_clocks.environment(part) if own_clocks and part != "sandbox" else {}

    settings = {
        "SPACEBRIDGE_BROKER_URL": _by_way_of(pipes["Redis"], redis.new_url(), redis.port),
        "SPACEBRIDGE_API_TIMEOUT": str(API_TIMEOUT),
        "SPACEBRIDGE_API_URL": f"http://127.0.0.1:{wire.port}/v1",
        "SPACEBRIDGE_DATA_DIR": str(on_disk / "data"),
        # While Redis is away, each worker keeps a pace of its own: together, less than Space Invoices allows.
        "SPACEBRIDGE_REQUEST_RATE": str(90 / WORKERS),
        "SPACEBRIDGE_WEB_WORKERS": "2",
    }
    if postgres is not None:
        settings["SPACEBRIDGE_DATABASE_URL"] = _by_way_of(pipes["PostgreSQL"], postgres.url, postgres.port)
    bridge = RunningBridge(
        folder,
        database_url=postgres.url if postgres else "",
        broker_url="",
        # What Space Invoices allows, and some time to be killed in.
        sandbox_options=["--rate-limit", "100", "--latency", "50"],
        workers=WORKERS,
        receivers=2 if postgres else 1,
        environment_of=environment_of,
        **settings,
    )
    wire.target_port = bridge.sandbox_port
    stage = Stage(bridge, redis, postgres, wire, pipes, own_clocks, disk, random, plan.haste, plan.clocks_off)
    let_clocks_differ(stage)
    stack.enter_context(bridge)
    return stage


def _by_way_of(pipe: Pipe, url: str, port: int) -> str:
    return url.replace(f":{port}/", f":{pipe.port}/")


def _strike(
    plan: Plan, stage: Stage, faults: Sequence[Fault], load: Load, tell: Callable[[str], None]
) -> Counter[str]:
    """Do faults at random moments, each kind as often as the others."""
    done: Counter[str] = Counter()
    waiting: list[Fault] = []
    started = time.monotonic()
    striking = 0.0  # seconds, all in all
    number = len(faults) if plan.faults is None else plan.faults
    while done.total() < number:
        waiting = waiting or stage.random.sample(faults, len(faults))
        fault = waiting.pop()
        # For the faults to be spread over the whole load; time that is lost is made up for.
        left = max(0, plan.deliveries - len(load.sent.acknowledged)) / plan.rate
        calm = left / (number - done.total()) - striking / max(1, done.total())
        stage.pause(0, 2 * max(0.3, calm))
        # What has not come back from the last one would not feel the next.
        for url in stage.bridge.urls:
            wait_until(partial(answers, f"{url}/readyz"), "a ready receiver", within=120)
        at = time.monotonic()
        fault.strike(stage)
        striking += time.monotonic() - at
        done[fault.name] += 1
        tell(
            f"{at - started:6.1f} s  {len(load.sent.acknowledged):6,} acknowledged  "
            f"{fault.name} ({time.monotonic() - at:.1f} s)"
        )
    return done


def show(result: Result, console: Console) -> None:
    """Print the faults that were done and the accounts."""
    table = Table(box=None, show_header=False, title="Faults", title_justify="left")
    for name, number in sorted(result.faults.items()):
        table.add_row(name, str(number))
    console.print(table)
    for reason in result.left_out:
        console.print(f"left out: {reason}")
    console.print(f"answers: {dict(result.sent.answers)}")
    console.print(result.accounts.as_table())
    for problem in result.accounts.problems[:50]:
        console.print(problem, style="red", markup=False)
    verdict = "do NOT add up" if result.accounts.problems else "add up"
    console.print(f"{result.faults.total()} faults: the accounts {verdict}.")
