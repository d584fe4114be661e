"""The worker's Celery app: `celery -A worker.app worker`, and `... beat` for the schedule."""

from __future__ import annotations

import sys

from celery.signals import setup_logging, worker_ready

from bridge.broker import SWEEP, make_celery
from bridge.settings import load_settings_or_exit
from bridge.telemetry import STDOUT, configure_logging

SWEEP_INTERVAL = 3.0  # seconds

settings = load_settings_or_exit()
app = make_celery(settings.broker_url.get_secret_value())
app.conf.update(
    # Threads, since a worker waits for Space Invoices most of the time.
    worker_pool="threads",
    worker_concurrency=32,
    include=["worker.tasks"],
    beat_schedule={
        # While no worker runs, sweeps must not pile up without end. Their age is told by two machines'
        # clocks, so it is a generous one.
        "sweep": {"task": SWEEP, "schedule": SWEEP_INTERVAL, "options": {"expires": 300}}
    },
    # In memory: the sweep's schedule has no state worth a file.
    beat_scheduler="celery.beat:Scheduler",
)


@setup_logging.connect(weak=False)
def _set_up_logging(**_: object) -> None:
    configure_logging(settings.log_format, to=STDOUT)
    # Celery prints a banner as it starts, and a farewell, which are no log lines.
    sys.stdout = sys.stderr
    sys.__stdout__ = sys.__stderr__  # type: ignore[misc]


@worker_ready.connect(weak=False)
def _sweep_at_start(**_: object) -> None:
    """Take up at once what was left when the last worker stopped."""
    app.send_task(SWEEP, retry=False)
