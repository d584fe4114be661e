"""`python -m bench.sweeping N`: does all duties N times, as the schedule does; writes the seconds of each."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any


def main(times: int) -> None:
    """Do them, and announce nothing of what is found."""
    do_duties = _duties()
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        do_duties()
        seconds.append(time.perf_counter() - began)
    json.dump(seconds, sys.stdout)


def _duties() -> Callable[[], object]:
    """As the checkout has them, which may be a former version."""
    try:
        duties = import_module("bridge.maintenance.duties").DUTIES
    except ImportError:
        sweep = _first("sweep", "bridge.maintenance.sweep", "bridge.pipeline.sweep")
        context = _first("context", "worker.runtime", "worker.tasks")()
        return lambda: sweep(context)
    runtime = import_module("worker.runtime").runtime()
    return lambda: [duty.run(runtime.context) for duty in duties]


def _first(name: str, *modules: str) -> Any:
    """What has this name in the first of the modules that has it."""
    for module in modules:
        with suppress(ImportError, AttributeError):
            return getattr(import_module(module), name)
    raise RuntimeError(f"no module of the checkout has {name}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
