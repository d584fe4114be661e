"""The worker's Celery app: `celery -A worker.app worker`, and `... beat` for the schedule."""

from __future__ import annotations

import sys
from typing import Any

import structlog
from celery.signals import setup_logging, worker_ready

from bridge.broker import SWEEP, make_celery
from bridge.settings import load_settings_or_exit
from bridge.telemetry import STDOUT, configure_logging, multiprocess

SWEEP_INTERVAL = 3.0  # seconds

log = structlog.get_logger(__name__)

settings = load_settings_or_exit()
multiprocess.share()
app = make_celery(settings.broker_url.get_secret_value())
app.conf.update(
    # Threads, since a worker waits for Space Invoices most of the time.
    worker_pool="threads",
    worker_concurrency=32,
    # For a pool of processes, whose child is killed then. Threads know no limit, and need none: each request,
    # and each wait for a lock, has its own. It lies beyond any lease: what was under way is nobody's by then.
    # There is no soft limit, since an exception amid a request would leave its outcome unknown.
    task_time_limit=600 + 4 * settings.api_timeout,
    include=["worker.tasks", "worker.metrics"],
    beat_schedule={
        # While no worker runs, sweeps must not pile up without end. Their age is told by two machines'
        # clocks, so it is a generous one.
        "sweep": {"task": SWEEP, "schedule": SWEEP_INTERVAL, "options": {"expires": 300, "retry": False}}
    },
    beat_scheduler="worker.scheduler:OneSchedule",
)


@setup_logging.connect(weak=False)
def _set_up_logging(**_: object) -> None:
    configure_logging(settings.log_format, to=STDOUT)
    # Celery prints a banner as it starts, and a farewell, which are no log lines.
    sys.stdout = sys.stderr
    sys.__stdout__ = sys.__stderr__  # type: ignore[misc]


@worker_ready.connect(weak=False)
def _sweep_at_start(sender: Any, **_: object) -> None:
    """Take up at once what was left when the last worker stopped."""
    log.info("worker ready", at_once=sender.controller.concurrency)
    app.send_task(SWEEP, retry=False)
