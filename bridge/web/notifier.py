"""Tells the workers of new deliveries, off the request's path and many at a time."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Sequence

import structlog

log = structlog.get_logger(__name__)

# Seconds after an announcement in which ids are gathered for the next one, for each id in it: the more come,
# the longer, so that few are as soon announced as many are announced together.
PAUSE, LONGEST_PAUSE = 0.005, 0.05
MOST_AT_ONCE = 50  # ids a message
PAUSE_AFTER_FAILURE = 1.0  # seconds before a broker that was down is tried again


class Notifier:
    """Announces ids from a thread of its own: the first at once, and those that soon follow together.

    Publishing a message costs as much as recording a delivery, and with the broker down it may block for
    seconds. What is lost here, in a crash or an outage, the sweep finds.
    """

    def __init__(
        self, announce: Callable[[Sequence[int]], bool], *, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        """`announce` sends one message and says whether the broker took it."""
        self._announce = announce
        self._sleep = sleep
        self._ids: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._start_lock = threading.Lock()
        self._pid: int | None = None

    def notify(self, delivery_id: int) -> None:
        """Announce a delivery soon. Returns at once, whatever state the broker is in."""
        if self._pid != os.getpid():  # threads do not survive the fork of a gunicorn worker
            self._start()
        self._ids.put(delivery_id)

    def _start(self) -> None:
        with self._start_lock:
            if self._pid != os.getpid():
                threading.Thread(target=self._run, name="notifier", daemon=True).start()
                self._pid = os.getpid()  # not before: where there can be no thread, the next delivery tries

    def _run(self) -> None:
        while True:
            batch = self._wait_for_some()
            try:
                announced = self._announce(batch)
            except Exception:  # of whatever kind: this thread must outlive it
                log.exception("announcing failed; the sweep takes over")
                announced = False
            if not announced:
                self._sleep(PAUSE_AFTER_FAILURE)
                self._forget_what_waits()
            elif len(batch) < MOST_AT_ONCE:
                # Asleep, not waiting for the next id: to be woken by each takes the processor from requests.
                self._sleep(min(PAUSE * len(batch), LONGEST_PAUSE))

    def _wait_for_some(self) -> Sequence[int]:
        batch = [self._ids.get()]
        while len(batch) < MOST_AT_ONCE:
            try:
                batch.append(self._ids.get_nowait())
            except queue.Empty:
                break
        return batch

    def _forget_what_waits(self) -> None:
        """Leave to the sweep what came in while the broker was down: a queue here must not grow."""
        while True:
            try:
                self._ids.get_nowait()
            except queue.Empty:
                return
