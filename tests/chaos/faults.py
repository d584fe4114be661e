"""The faults: what is done to a running bridge, to what it stands on, and to the wires between them."""

from __future__ import annotations

from collections.abc import Sequence

from tests.chaos import killing, machines, standing, wires
from tests.chaos.stage import Fault, Stage


def faults_for(stage: Stage) -> Sequence[Fault]:
    """Every fault that can be done on this stage."""
    return [fault for part in (killing, standing, wires, machines) for fault in part.faults(stage)]


def left_out(stage: Stage) -> Sequence[str]:
    """What cannot be done on this machine, and why."""
    found = []
    if stage.clocks is None:
        found.append("clocks that step and differ: libfaketime's wheel has no library for this machine")
    if stage.disk is None:
        found.append("the ledger's disk full: only root may mount a small one")
    if stage.disk is None or stage.disk.image is None:
        found.append("a power failure: it takes root, loop devices and mkfs.ext4")
    return found
