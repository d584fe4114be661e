"""Asks other servers for metrics about them, with a timeout, and with one request at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

import structlog

_Result = TypeVar("_Result")

log = structlog.get_logger(__name__)


class SingleFlight(Generic[_Result]):
    """Runs a function in one thread at a time: a server that hangs does not block ever more threads."""

    def __init__(self, name: str, work: Callable[[], _Result], *, keep: float = 0.0) -> None:
        """`name` is for the log. `work` may raise, and may take any time.

        `keep`: seconds for which a result is returned again instead of running it anew.
        """
        self._name = name
        self._work = work
        self._lock = threading.Lock()
        self._running: Future[_Result] | None = None
        self._keep = keep
        self._kept_until = 0.0  # by time.monotonic

    def result(self, *, timeout: float) -> _Result | None:
        """The result that is kept, or else of the run that is under way or begins now.

        None if it fails, or takes longer than `timeout` (seconds).
        """
        try:
            return self._start().result(timeout)
        except Exception as error:
            log.warning("metrics are told in part", lacking=self._name, error=type(error).__name__)
            return None

    def _start(self) -> Future[_Result]:
        with self._lock:
            is_over = self._running is None or self._running.done()
            if self._running is None or (is_over and time.monotonic() >= self._kept_until):
                self._running = Future()
                # A daemon, so that the process does not wait for it at its end.
                threading.Thread(target=self._run, args=(self._running,), daemon=True).start()
            return self._running

    def _run(self, future: Future[_Result]) -> None:
        try:
            result = self._work()
            self._kept_until = time.monotonic() + self._keep
            future.set_result(result)
        except Exception as error:
            future.set_exception(error)
