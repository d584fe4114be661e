"""The tasks: each takes ids in, calls the pipeline, and announces what follows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import structlog

from bridge import broker
from bridge.pipeline import process, store_configs
from worker.app import app
from worker.failures import left_to_the_sweep
from worker.runtime import runtime

log = structlog.get_logger(__name__)


@app.task(name=broker.PROCESS_DELIVERIES)
def process_deliveries(ids: Sequence[int]) -> None:
    """Process deliveries, and have forwarded what is due for them."""
    with left_to_the_sweep(deliveries=len(ids)):
        work = process.process_deliveries(runtime().context, ids)
        runtime().publisher.configs(work.configs)
        runtime().sending.wake(work.due_stores)


@app.task(name=broker.FORWARD_STORES)
def forward_stores(ids: Sequence[int]) -> None:
    """Have the documents issued that are due of these stores."""
    runtime().sending.wake(ids)


@app.task(name=broker.REFRESH_CONFIGS)
def refresh_configs(ids: Sequence[int]) -> None:
    """Fetch the configs of stores. Open orders are decided on again where one has changed."""
    for one in ids:
        with left_to_the_sweep(store=one):
            store_configs.refresh_config(runtime().context, one)


@app.task(name=broker.SWEEP)
def sweep() -> None:
    """Sent by the schedule of a former version, which was a process of its own; the workers have one now."""
    _warn_of_former_schedule()


@app.task(name=broker.REDECIDE)
def redecide() -> None:
    """Sent by workers of a former version; a duty does it now."""


@cache
def _warn_of_former_schedule() -> None:
    log.warning(
        "a schedule of a former version still runs",
        mend="end `celery --app worker.app beat`: workers do its work",
    )
