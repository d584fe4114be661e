"""What this process works with: its ledger and API access, its publisher, and its sending threads."""

from __future__ import annotations

import gc
import threading
from collections.abc import Collection
from functools import cache
from typing import Any

from celery import bootsteps
from celery.signals import worker_process_shutdown

from bridge.broker import TaskPublisher
from bridge.db import Ledger
from bridge.pipeline.context import Context
from bridge.pipeline.dispatch import Dispatcher
from bridge.pipeline.rate_limiter import RateLimiter
from worker.app import app, settings

ROW_TIMEOUT = 2.0  # seconds

publisher = TaskPublisher(app)


@cache
def context() -> Context:
    """This process' ledger and API access."""
    return Context(
        # What waits for a row holds a thread, and the sweep tries again.
        ledger=Ledger(settings.ledger_url, pool_size=20, row_timeout=ROW_TIMEOUT),
        vault=settings.vault(),
        api_url=settings.api_url,
        api_timeout=settings.api_timeout,
        config_ttl=settings.config_ttl,
        rate_limiter=RateLimiter(settings.request_rate, broker_url=settings.broker_url.get_secret_value()),
    )


class Sending:
    """The dispatcher of this process, from the first hint on until the process is to end.

    Of a pool of processes, each child has one.
    """

    threads = 8  # of a child of a pool of processes; else as many as the pool has

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._dispatcher: Dispatcher | None = None
        self._is_stopping = False

    def wake(self, store_ids: Collection[int]) -> None:
        """These stores may have something due. In a process that is to end, the hint is left to the sweep."""
        with self._lock:
            if store_ids and self._dispatcher is None and not self._is_stopping:
                self._dispatcher = Dispatcher(context(), threads=self.threads)
        if self._dispatcher is not None:
            self._dispatcher.wake(store_ids)

    def stop_claiming(self) -> None:
        """Claim nothing more: what is due is another worker's, or the next one's."""
        with self._lock:
            self._is_stopping = True
        if self._dispatcher is not None:
            self._dispatcher.stop_claiming()

    def close(self, **_: object) -> None:
        """Wait until the requests under way have ended, and their outcomes are recorded."""
        self.stop_claiming()
        if self._dispatcher is not None:
            self._dispatcher.close()


sending = Sending()
worker_process_shutdown.connect(sending.close)


class SendingStep(bootsteps.StartStopStep):
    """Has the sending threads end with the worker. They run beside the pool, which has as many for tasks."""

    requires = ("celery.worker.components:Pool",)

    def start(self, parent: Any) -> None:
        sending.threads = parent.concurrency
        # What is there by now stays. Of what comes and goes with each order, next to nothing is in a circle.
        gc.freeze()
        gc.set_threshold(20_000)

    def close(self, parent: Any) -> None:
        sending.stop_claiming()

    def stop(self, parent: Any) -> None:
        sending.close()


app.steps["worker"].add(SendingStep)
