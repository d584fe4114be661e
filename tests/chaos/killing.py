"""Faults by which processes end: killed, or told to, of the bridge and of what it stands on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence

from tests.chaos.stage import ROLES, Fault, Stage
from tests.chaos.wire import MODES, PASS
from tests.support import proc
from tests.support.running import Process
from tests.support.servers import Server


def faults(stage: Stage) -> Sequence[Fault]:
    """Those that can be done on this stage."""
    found = [
        *(Fault(f"a {role} killed", _killing_one(role)) for role in ROLES),
        *(Fault(f"a {role} ended by SIGTERM", _stopping(role)) for role in ROLES),
        Fault("one process of a receiver killed", _kill_one_of_a_receiver),
        Fault("all workers killed while Space Invoices is slow", _kill_workers_while_slow),
        Fault("the whole bridge killed", lambda stage: _kill(stage, stage.processes(*ROLES))),
        Fault("Redis killed", _kill_redis),
        Fault("Redis flushed", _flush_redis),
    ]
    if stage.postgres is not None:
        postgres = stage.postgres
        found += [
            Fault("PostgreSQL killed", lambda stage: _end_server(stage, postgres, postgres.kill)),
            Fault("PostgreSQL restarted", lambda stage: _end_server(stage, postgres, postgres.stop)),
            Fault("everything killed", _kill_everything),
        ]
    return found


def kill_everything(stage: Stage) -> None:
    """End the bridge, Redis and PostgreSQL as if their machine had gone down."""
    for process in reversed(stage.processes(*ROLES)):  # workers first: they would go on without a ledger
        process.kill()
    stage.redis.kill()
    if stage.postgres is not None:
        stage.postgres.kill()


def start_bridge(stage: Stage) -> None:
    """Start all of its parts."""
    for process in stage.processes(*ROLES):
        process.start()
    stage.pause(0.5, 2)


def _killing_one(role: str) -> Callable[[Stage], None]:
    return lambda stage: _kill(stage, [stage.one_of(role)])


def _kill(stage: Stage, processes: Sequence[Process]) -> None:
    with stage.noting_what_is_in_flight():
        for process in processes:
            process.kill()
    stage.pause(0, 1)
    for process in processes:
        process.start()
    stage.pause(0.5, 2)


def _stopping(role: str) -> Callable[[Stage], None]:
    def strike(stage: Stage) -> None:
        process = stage.one_of(role)
        # Until a part listens to signals, SIGTERM ends it as it ends any process.
        has_just_begun = time.monotonic() - process.started_at < 5
        status = process.stop(within=60)
        if not (status == 0 or (has_just_begun and status == -signal.SIGTERM)):
            raise AssertionError(f"a {role} ended with status {status} on SIGTERM")
        process.start()
        stage.pause(0.5, 1)

    return strike


def _kill_one_of_a_receiver(stage: Stage) -> None:
    master = stage.one_of("receiver").process
    assert master is not None
    children = proc.children(master.pid)
    if children:
        os.kill(stage.random.choice(children), signal.SIGKILL)
    stage.pause(0.5, 1)


def _kill_workers_while_slow(stage: Stage) -> None:
    stage.wire.mode = next(mode for mode in MODES if mode.name == "slow")
    stage.pause(1.5, 2.5)
    _kill(stage, stage.processes("worker"))
    stage.wire.mode = PASS


def _kill_redis(stage: Stage) -> None:
    stage.redis.kill()
    stage.pause(0.5, 3)
    stage.redis.start()


def _flush_redis(stage: Stage) -> None:
    with stage.redis.client() as client:
        client.flushall()
    stage.pause(0.2, 1)


def _end_server(stage: Stage, server: Server, end: Callable[[], None]) -> None:
    with stage.noting_what_is_in_flight():
        end()
        stage.pause(0, 3)
        server.start()
    stage.pause(0.5, 1)


def _kill_everything(stage: Stage) -> None:
    assert stage.postgres is not None
    with stage.noting_what_is_in_flight():
        kill_everything(stage)
        stage.pause(0, 1)
        stage.postgres.start()
    stage.redis.start()
    start_bridge(stage)
