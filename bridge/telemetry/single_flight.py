"""Asks other servers for metrics about them, with a timeout, and with one request at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

import structlog

_Result = TypeVar("_Result")

log = structlog.get_logger(__name__)


class SingleFlight(Generic[_Result]):
    """Runs a function in one thread at a time: a server that hangs does not block ever more threads."""

    def __init__(self, name: str, work: Callable[[], _Result]) -> None:
        """`name` is for the log. `work` may raise, and may take any time."""
        self._name = name
        self._work = work
        self._lock = threading.Lock()
        self._running: Future[_Result] | None = None

    def result(self, *, timeout: float) -> _Result | None:
        """The result of the run that is under way, or begins now; None if it fails or times out (seconds)."""
        try:
            return self._start().result(timeout)
        except Exception as error:
            log.warning("metrics are told in part", lacking=self._name, error=type(error).__name__)
            return None

    def _start(self) -> Future[_Result]:
        with self._lock:
            if self._running is None or self._running.done():
                self._running = Future()
                # A daemon, so that the process does not wait for it at its end.
                threading.Thread(target=self._run, args=(self._running,), daemon=True).start()
            return self._running

    def _run(self, future: Future[_Result]) -> None:
        try:
            future.set_result(self._work())
        except Exception as error:
            future.set_exception(error)
