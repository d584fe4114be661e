"""What a process of the worker is made of: ledger and API access, publisher, and sending threads."""

from __future__ import annotations

import threading
from collections.abc import Collection
from functools import cache

from bridge.broker import TaskPublisher
from bridge.db import Ledger
from bridge.pipeline.context import Context
from bridge.pipeline.dispatch import Dispatcher
from bridge.pipeline.rate_limiter import RateLimiter
from bridge.settings import Settings
from worker.app import app, settings

ROW_TIMEOUT = 2.0  # seconds


class Sending:
    """The dispatcher of this process, from the first hint on until the process is to end."""

    threads = 8  # of a child of a pool of processes; else as many as the pool has

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._dispatcher: Dispatcher | None = None
        self._is_stopping = False

    def wake(self, store_ids: Collection[int]) -> None:
        """These stores may have something due. In a process that is to end, the hint is left to the sweep."""
        with self._lock:
            if store_ids and self._dispatcher is None and not self._is_stopping:
                self._dispatcher = Dispatcher(self._context, threads=self.threads)
        if self._dispatcher is not None:
            self._dispatcher.wake(store_ids)

    def stop_claiming(self) -> None:
        """Claim nothing more: what is due is another worker's, or the next one's."""
        with self._lock:
            self._is_stopping = True
        if self._dispatcher is not None:
            self._dispatcher.stop_claiming()

    def close(self) -> None:
        """Wait until the requests under way have ended, and their outcomes are recorded."""
        self.stop_claiming()
        if self._dispatcher is not None:
            self._dispatcher.close()


class Runtime:
    """A process' own: of a pool of processes, each child has one. It opens nothing before it is used."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.publisher = TaskPublisher(app)
        self.context = make_context(settings)
        self.sending = Sending(self.context)


@cache
def runtime() -> Runtime:
    """This process' runtime."""
    return Runtime(settings())


def make_context(settings: Settings, *, connections: int = 20) -> Context:
    """A context with so many connections of its own to the ledger, at most."""
    return Context(
        # What waits for a row holds a thread, and the sweep tries again.
        ledger=Ledger(settings.ledger_url, pool_size=connections, row_timeout=ROW_TIMEOUT),
        vault=settings.vault(),
        api_url=settings.api_url,
        api_timeout=settings.api_timeout,
        config_ttl=settings.config_ttl,
        public_url=settings.public_url,
        rate_limiter=RateLimiter(settings.request_rate, broker_url=settings.broker_url.get_secret_value()),
    )
