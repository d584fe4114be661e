"""The faults: what is done to a running bridge, to what it stands on, and to the wire to Space Invoices."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from bridge.ledger import LedgerUnavailableError
from bridge.ledger.tables import issuances
from tests import proc
from tests.chaos.disk import Disk
from tests.chaos.wire import MODES, PASS, Wire
from tests.running import RunningBridge
from tests.servers import PostgresServer, RedisServer

BRIDGE = ("receiver", "worker", "schedule")


@dataclass
class Stage:
    """All that a fault can be done to."""

    bridge: RunningBridge
    redis: RedisServer
    postgres: PostgresServer | None
    wire: Wire
    disk: Disk | None
    random: Random
    haste: float = 1.0
    in_flight: int = 0  # requests that were under way as something was killed

    def pause(self, least: float, most: float) -> None:
        """Let a random while pass, in seconds, while the load goes on."""
        time.sleep(self.random.uniform(least, most) / self.haste)

    @contextmanager
    def noting_what_is_in_flight(self) -> Iterator[None]:
        """Around a kill: what is being sent just before it, or still counts as such after it."""
        before = self._sending()
        yield
        self.in_flight += max(before, self._sending())

    def _sending(self) -> int:
        try:
            return self.bridge.count(issuances, "sending")
        except LedgerUnavailableError:
            return 0


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault by its name, and how it is done and mended: when `strike` returns, all is well again."""

    name: str
    strike: Callable[[Stage], None]


def faults_for(stage: Stage) -> Sequence[Fault]:
    """Every fault that can be done on this stage."""
    found = [
        *(Fault(f"the {part} killed", _killing(part)) for part in BRIDGE),
        *(Fault(f"the {part} ended by SIGTERM", _stopping(part)) for part in BRIDGE),
        Fault("one process of the receiver killed", _kill_one_receiver),
        Fault("the whole bridge killed", _killing(*BRIDGE)),
        Fault("Redis killed", _kill_redis),
        Fault("Redis flushed", _flush_redis),
        Fault("Redis paused", _pause_redis),
        *(Fault(f"Space Invoices: {mode.name}", _misbehaving(number)) for number, mode in enumerate(MODES)),
        Fault("the worker killed while Space Invoices is slow", _kill_worker_while_slow),
    ]
    if stage.postgres is not None:
        found += [
            Fault("PostgreSQL killed", _kill_postgres),
            Fault("PostgreSQL restarted", _restart_postgres),
            Fault("everything killed", _kill_everything),
        ]
    if stage.disk is not None:
        found.append(Fault("the ledger's disk full", _fill_disk))
    return found


def _killing(*parts: str) -> Callable[[Stage], None]:
    def strike(stage: Stage) -> None:
        with stage.noting_what_is_in_flight():
            for part in parts:
                stage.bridge.parts[part].kill()
        stage.pause(0, 1)
        for part in parts:
            stage.bridge.parts[part].start()
        stage.pause(0.5, 2)

    return strike


def _stopping(part: str) -> Callable[[Stage], None]:
    def strike(stage: Stage) -> None:
        process = stage.bridge.parts[part]
        # Until a part listens to signals, SIGTERM ends it as it ends any process.
        has_just_begun = time.monotonic() - process.started_at < 5
        status = process.stop(within=60)
        if not (status == 0 or (has_just_begun and status == -signal.SIGTERM)):
            raise AssertionError(f"the {part} ended with status {status} on SIGTERM")
        stage.bridge.parts[part].start()
        stage.pause(0.5, 1)

    return strike


def _kill_one_receiver(stage: Stage) -> None:
    master = stage.bridge.parts["receiver"].process
    assert master is not None
    children = proc.children(master.pid)
    if children:
        os.kill(stage.random.choice(children), signal.SIGKILL)
    stage.pause(0.5, 1)


def _kill_redis(stage: Stage) -> None:
    stage.redis.kill()
    stage.pause(0.5, 3)
    stage.redis.start()


def _flush_redis(stage: Stage) -> None:
    with stage.redis.client() as client:
        client.flushall()
    stage.pause(0.2, 1)


def _pause_redis(stage: Stage) -> None:
    process = stage.redis.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    stage.pause(1, 4)
    process.send_signal(signal.SIGCONT)


def _misbehaving(number: int) -> Callable[[Stage], None]:
    def strike(stage: Stage) -> None:
        stage.wire.mode = MODES[number]
        stage.pause(0.5, 4)
        stage.wire.mode = PASS

    return strike


def _kill_worker_while_slow(stage: Stage) -> None:
    stage.wire.mode = next(mode for mode in MODES if mode.name == "slow")
    stage.pause(1.5, 2.5)
    _killing("worker")(stage)
    stage.wire.mode = PASS


def _kill_postgres(stage: Stage) -> None:
    assert stage.postgres is not None
    with stage.noting_what_is_in_flight():
        stage.postgres.kill()
        stage.pause(0, 3)
        stage.postgres.start()


def _restart_postgres(stage: Stage) -> None:
    assert stage.postgres is not None
    with stage.noting_what_is_in_flight():
        stage.postgres.stop()
        stage.postgres.start()
    stage.pause(0.5, 1)


def _kill_everything(stage: Stage) -> None:
    assert stage.postgres is not None
    with stage.noting_what_is_in_flight():
        for part in BRIDGE:
            stage.bridge.parts[part].kill()
        stage.redis.kill()
        stage.postgres.kill()
        stage.pause(0, 1)
        stage.postgres.start()
    stage.redis.start()
    for part in BRIDGE:
        stage.bridge.parts[part].start()
    stage.pause(0.5, 2)


def _fill_disk(stage: Stage) -> None:
    assert stage.disk is not None
    with stage.noting_what_is_in_flight():
        with stage.disk.filled():
            stage.pause(1, 4)
        if stage.postgres is not None and not stage.postgres.answers():
            stage.postgres.kill()
            stage.postgres.start()
