"""What this process works with: its ledger and API access, its publisher, and its sending threads."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from functools import cache
from typing import Any

from celery import bootsteps

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
    """The dispatcher of this process, while its worker runs."""

    def __init__(self) -> None:
        self._dispatcher: Dispatcher | None = None

    def start(self, threads: int) -> None:
        """Have this many threads send."""
        self._dispatcher = Dispatcher(context(), threads=threads)
        # What is there by now stays. Of what comes and goes with each order, next to nothing is in a circle.
        gc.freeze()
        gc.set_threshold(20_000)

    def wake(self, store_ids: Iterable[int]) -> None:
        """These stores may have something due. A hint that comes too early or too late is the sweep's."""
        if self._dispatcher is not None:
            self._dispatcher.wake(store_ids)

    def stop_claiming(self) -> None:
        """Claim nothing more: what is due is another worker's, or the next one's."""
        if self._dispatcher is not None:
            self._dispatcher.stop_claiming()

    def close(self) -> None:
        """Wait until the requests under way have ended, and their outcomes are recorded."""
        if self._dispatcher is not None:
            self._dispatcher.close()


sending = Sending()


class SendingStep(bootsteps.StartStopStep):
    """Runs the sending threads beside the pool, which has as many for tasks."""

    requires = ("celery.worker.components:Pool",)

    def start(self, parent: Any) -> None:
        sending.start(parent.concurrency)

    def close(self, parent: Any) -> None:
        sending.stop_claiming()

    def stop(self, parent: Any) -> None:
        sending.close()


app.steps["worker"].add(SendingStep)
