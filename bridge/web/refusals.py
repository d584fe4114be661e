"""Counts refused requests in the ledger for their stores, off the request's path and a few times a minute."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import datetime

import structlog

from bridge.db import Ledger
from bridge.ledger import stores

PAUSE = 10.0  # seconds between two rounds of writing
CLOSE_WITHIN = 10.0  # seconds, of gunicorn's `graceful_timeout`

log = structlog.get_logger(__name__)


class Refusals:
    """Keeps counts in memory, which a thread of its own writes.

    Anybody can send any number of requests that are refused. So each process writes at most once in ten
    seconds for a store, and no answer waits for that. While the ledger is away, the counts are kept. A
    process that is killed loses those of its last seconds.
    """

    def __init__(
        self,
        ledger: Ledger,
        now: Callable[[], datetime],
        *,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._ledger = ledger
        self._now = now
        self._is_closing = threading.Event()
        self._sleep = sleep or self._is_closing.wait
        self._lock = threading.Lock()
        self._counts: dict[int, tuple[int, datetime]] = {}  # by the stores' ids: how many, and the last one
        self._has_counts = threading.Event()
        self._pid: int | None = None
        self._thread: threading.Thread | None = None

    def note(self, store_id: int) -> None:
        """Count a request that was refused for this store, which exists. Returns at once."""
        self._keep(store_id, 1, self._now())
        if self._pid != os.getpid():  # threads do not survive the fork of a gunicorn worker
            self._start()
        self._has_counts.set()

    def close(self) -> None:
        """Write what is not written yet, if the ledger takes it in time, and end this process' thread."""
        self._is_closing.set()
        self._has_counts.set()
        if self._thread is not None and self._pid == os.getpid():
            self._thread.join(CLOSE_WITHIN)

    def _keep(self, store_id: int, number: int, at: datetime) -> None:
        with self._lock:
            before, last_at = self._counts.get(store_id, (0, at))
            self._counts[store_id] = before + number, max(last_at, at)

    def _start(self) -> None:
        with self._lock:
            if self._pid != os.getpid():
                self._thread = threading.Thread(target=self._run, name="refusals", daemon=True)
                self._thread.start()
                self._pid = os.getpid()

    def _run(self) -> None:
        while not self._is_closing.is_set():
            self._has_counts.wait()
            self._has_counts.clear()
            self._write()
            self._sleep(PAUSE)
        self._write()  # what has come in the last pause

    def _write(self) -> None:
        with self._lock:
            counts, self._counts = self._counts, {}
        for store_id, (number, at) in counts.items():
            try:
                # Each store in a transaction of its own: no row is locked while another one is waited for.
                with self._ledger.write() as connection:
                    stores.count_refused(connection, store_id, number, at)
            except Exception as error:  # this thread must outlive any
                log.warning("refused requests could not be counted", error=type(error).__name__)
                self._keep(store_id, number, at)
                self._has_counts.set()
