"""Copies a ledger, and is killed as soon as so many batches of rows were copied, as by a power cut.

`python -m tests.killed_copy SOURCE TARGET BATCHES`; without a batch of that number, it comes to its end.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys

from bridge.ledger import Ledger
from bridge.ledger.copying import copy


def run(source: str, target: str, batches: int) -> None:
    """Copy between these URLs, up to the end of this batch, counted from 1."""
    counted = itertools.count(1)

    def report(_table: str, _rows: int) -> None:
        if next(counted) == batches:
            os.kill(os.getpid(), signal.SIGKILL)

    copy(Ledger(source), Ledger(target), report=report)


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], int(sys.argv[3]))
