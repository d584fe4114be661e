"""Faults of the wires: to Space Invoices, to PostgreSQL and to Redis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.chaos.pipes import Pipe
from tests.chaos.stage import Fault, Stage
from tests.chaos.wire import MODES, PASS, Mode


def faults(stage: Stage) -> Sequence[Fault]:
    """Those that can be done on this stage."""
    found = [Fault(f"Space Invoices: {mode.name}", _misbehaving(mode)) for mode in MODES]
    for server, pipe in stage.pipes.items():
        found += [
            Fault(f"the wire to {server} slow", _changing(pipe, Pipe.slow)),
            Fault(f"the wire to {server} cut amid messages", _changing(pipe, Pipe.cut_amid)),
            Fault(f"the wire to {server} carries nothing", _changing(pipe, Pipe.stand_still)),
            Fault(f"the wire to {server} carries nothing, and is cut", _standing_still_and_cut(pipe)),
        ]
    return found


def _misbehaving(mode: Mode) -> Callable[[Stage], None]:
    def strike(stage: Stage) -> None:
        stage.wire.mode = mode
        stage.pause(0.5, 4)
        stage.wire.mode = PASS

    return strike


def _changing(pipe: Pipe, change: Callable[[Pipe], None]) -> Callable[[Stage], None]:
    def strike(stage: Stage) -> None:
        # It may be the answer to a claim or to an outcome that does not get through.
        with stage.noting_what_is_in_flight():
            change(pipe)
            stage.pause(1, 4)
            pipe.mend()

    return strike


def _standing_still_and_cut(pipe: Pipe) -> Callable[[Stage], None]:
    def strike(stage: Stage) -> None:
        with stage.noting_what_is_in_flight():
            pipe.stand_still()
            stage.pause(1, 4)
            pipe.cut()
            pipe.mend()

    return strike
