"""Faults of the machines: their clocks, a full disk, a power failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.chaos.killing import kill_everything, start_bridge
from tests.chaos.stage import ROLES, Fault, Stage

STEPS = (-120.0, -30.0, -5.0, 5.0, 30.0, 120.0)  # seconds
REDIS = "redis"  # has a clock of its own as well


def faults(stage: Stage) -> Sequence[Fault]:
    """Those that can be done on this stage."""
    found = []
    if stage.clocks is not None:
        found.append(Fault("all clocks step", lambda stage: _step(stage, _clocks(stage))))
        if stage.has_a_clock_for_each:
            found += [Fault(f"the clock of a {role} steps", _stepping_one(role)) for role in ROLES]
            found.append(Fault("the clock of Redis steps", lambda stage: _step(stage, [REDIS])))
    if stage.disk is not None:
        found.append(Fault("the ledger's disk full", _fill_disk))
        if stage.disk.image is not None:
            found.append(Fault("a power failure", _lose_power))
    return found


def let_clocks_differ(stage: Stage) -> None:
    """Put the clocks off by some seconds."""
    if stage.clocks is not None:
        _put_off(stage, _clocks(stage))


def _put_off(stage: Stage, parts: Sequence[str]) -> None:
    assert stage.clocks is not None
    off = stage.clocks_off
    ahead = stage.random.uniform(-off, off)
    for part in parts:
        if stage.has_a_clock_for_each:
            ahead = stage.random.uniform(-off, off)
        stage.clocks.set(part, ahead)


def _clocks(stage: Stage) -> Sequence[str]:
    return [*stage.names(*ROLES), REDIS]


def _stepping_one(role: str) -> Callable[[Stage], None]:
    return lambda stage: _step(stage, [stage.random.choice(stage.names(role))])


def _step(stage: Stage, parts: Sequence[str]) -> None:
    """A step, the same for all of them, and another one back to about the right time."""
    assert stage.clocks is not None
    ahead = stage.random.choice(STEPS)
    with stage.noting_what_is_in_flight():  # whose leases may end by that
        for part in parts:
            stage.clocks.set(part, ahead)
        stage.pause(1, 4)
        _put_off(stage, parts)


def _fill_disk(stage: Stage) -> None:
    assert stage.disk is not None
    with stage.noting_what_is_in_flight():
        with stage.disk.filled():
            stage.pause(1, 4)
        if stage.postgres is not None and not stage.postgres.answers():
            stage.postgres.kill()
            stage.postgres.start()


def _lose_power(stage: Stage) -> None:
    """What was not synced is gone, and so is all that ran. Space Invoices and the shop are elsewhere."""
    assert stage.disk is not None
    with stage.noting_what_is_in_flight():
        with stage.disk.without_power():
            kill_everything(stage)
            stage.bridge.ledger.close()
            stage.pause(0, 1)
        if stage.postgres is not None:
            stage.postgres.start()
    stage.redis.start()
    start_bridge(stage)
