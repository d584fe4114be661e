"""`python -m bench.sweeping N`: sweeps a ledger N times, as the worker does; writes how long each took."""

from __future__ import annotations

import json
import sys
import time

from bridge.maintenance.sweep import sweep
from worker.runtime import context


def main(times: int) -> None:
    """Sweep, and announce nothing of what is found."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        sweep(context())
        seconds.append(time.perf_counter() - began)
    json.dump(seconds, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]))
