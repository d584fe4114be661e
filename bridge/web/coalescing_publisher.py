"""Publishes the ids of new deliveries to the workers, off the request's path and many in a message."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

import structlog

log = structlog.get_logger(__name__)

# Seconds after a message in which ids are gathered for the next one, for each id in it: the more come, the
# longer, so that few are published at once and many together.
PAUSE, LONGEST_PAUSE = 0.005, 0.05
MOST_AT_ONCE = 50  # ids a message
PAUSE_AFTER_FAILURE = 1.0  # seconds before a broker that was down is tried again


class CoalescingPublisher:
    """Publishes ids from a thread of its own: the first at once, and those that soon follow together.

    A message costs as much as an INSERT, and with the broker down it may block for seconds. Ids may be lost,
    in a crash or an outage: the sweep finds their deliveries.
    """

    def __init__(
        self, send: Callable[[Sequence[int]], bool], *, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        """`send` sends one message with these ids and returns whether the broker took it."""
        self._send = send
        self._sleep = sleep
        self._ids: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._start_lock = threading.Lock()
        self._pid: int | None = None

    def publish(self, delivery_id: int) -> None:
        """Publish a delivery's id soon. Returns at once, even if the broker is down."""
        if self._pid != os.getpid():  # threads do not survive the fork of a gunicorn worker
            self._start()
        self._ids.put(delivery_id)

    def _start(self) -> None:
        with self._start_lock:
            if self._pid != os.getpid():
                threading.Thread(target=self._run, name="publisher", daemon=True).start()
                self._pid = os.getpid()  # not before: where no thread can start, the next delivery tries

    def _run(self) -> None:
        while True:
            ids = [self._ids.get(), *islice(self._waiting(), MOST_AT_ONCE - 1)]
            try:
                is_sent = self._send(ids)
            except Exception:  # this thread must outlive any
                log.exception("announcing failed; the sweep takes over")
                is_sent = False
            if not is_sent:
                self._sleep(PAUSE_AFTER_FAILURE)
                for _ in self._waiting():  # left to the sweep: a queue here must not grow
                    pass
            elif len(ids) < MOST_AT_ONCE:
                # Asleep, not waiting for the next id: to be woken by each takes the processor from requests.
                self._sleep(min(PAUSE * len(ids), LONGEST_PAUSE))

    def _waiting(self) -> Iterator[int]:
        """Take the ids that wait now from the queue."""
        with suppress(queue.Empty):
            while True:
                yield self._ids.get_nowait()
