"""The worker's Celery app, `celery --app worker.app worker`, which reads the settings when it needs them."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import structlog
from celery import Celery
from celery.signals import setup_logging, worker_ready

from bridge.broker import configuration
from bridge.ready_file import say_that_it_is_ready
from bridge.settings import Settings, load_settings_or_exit
from bridge.telemetry import STDOUT, configure_logging, multiprocess

log = structlog.get_logger(__name__)


@cache
def settings() -> Settings:
    """The process' settings. A wrong one ends the process with one sentence."""
    return load_settings_or_exit()


def _configuration() -> dict[str, Any]:
    return configuration(settings().broker_url.get_secret_value()) | {
        # Threads, since a worker waits for Space Invoices most of the time.
        "worker_pool": "threads",
        "worker_concurrency": 32,
        # For a pool of processes, whose child is killed then. Threads know no limit, and need none: each
        # request, and each wait for a lock, has its own. It lies beyond any lease: what was under way is
        # nobody's by then. There is no soft limit, since an exception amid a request would leave its outcome
        # unknown.
        "task_time_limit": 600 + 4 * settings().api_timeout,
    }


multiprocess.share()  # before the tasks import the counters
app = Celery("spacebridge", include=["worker.tasks", "worker.steps", "worker.metrics"])
app.add_defaults(_configuration)


@setup_logging.connect(weak=False)
def _set_up_logging(**_: object) -> None:
    configure_logging(settings().log_format, to=STDOUT)
    # Celery prints a banner as it starts, and a farewell, which are no log lines.
    sys.stdout = sys.stderr
    sys.__stdout__ = sys.__stderr__  # type: ignore[misc]


@worker_ready.connect(weak=False)
def _tell_that_it_is_ready(sender: Any, **_: object) -> None:
    log.info("worker ready", at_once=sender.controller.concurrency)
    say_that_it_is_ready()
