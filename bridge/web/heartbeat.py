"""Notes in the ledger, every two seconds, that a receiver is up: what lies between two notes is a gap."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import datetime

import structlog

from bridge.db import Ledger
from bridge.ledger import absences
from bridge.ledger.absences import INTERVAL, LONGEST_GAP, Gap

CLOSE_WITHIN = 1.0  # seconds: a beat takes milliseconds, and one that waits for the ledger is of no use
MOST_NAMED = 10  # stores in a line of the log
# It goes on while the machine is suspended, and nobody sets it. macOS has it under the other name.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

log = structlog.get_logger(__name__)


class Heartbeat:
    """A thread of this process that beats while the process takes deliveries and can write to the ledger.

    Deliveries of a time without any receiver's beat are lost: nobody answered, or the answer was a 503. A
    process that was not interrupted knows that by itself, however the clocks of its machine and of others are
    set meanwhile. The first beat after a start, or after the ledger was away, looks at the ledger's last one.
    """

    def __init__(
        self,
        ledger: Ledger,
        now: Callable[[], datetime],
        *,
        sleep: Callable[[float], object] | None = None,
        elapsed: Callable[[], float] = lambda: time.clock_gettime(_CLOCK),
    ) -> None:
        """`elapsed`: seconds by a clock that nobody sets."""
        self._ledger = ledger
        self._now = now
        self._is_closing = threading.Event()
        self._sleep = sleep or self._is_closing.wait
        self._elapsed = elapsed
        self._beat_at: float | None = None  # by `elapsed`
        self._is_failing = False
        self._pid: int | None = None
        self._thread: threading.Thread | None = None

    def start(self, is_up: Callable[[], bool] = lambda: True) -> None:
        """Beat in this process, after any fork, until it is closed, or `is_up` says that it takes no more."""
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, args=(is_up,), name="heartbeat", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Beat no more in this process."""
        self._is_closing.set()
        if self._thread is not None and self._pid == os.getpid():
            self._thread.join(CLOSE_WITHIN)

    def _run(self, is_up: Callable[[], bool]) -> None:
        while is_up() and not self._is_closing.is_set():
            try:
                self._beat()
                self._is_failing = False
            except Exception as error:  # this thread must outlive any
                if not self._is_failing:  # an outage is one line
                    log.warning("the receiver cannot write to the ledger", error=type(error).__name__)
                self._is_failing = True
            self._sleep(INTERVAL)

    def _beat(self) -> None:
        """One transaction. For one that waits for the ledger, it counts when it began: requests wait, too."""
        asked_at = self._elapsed()
        is_going_on = self._beat_at is not None and asked_at - self._beat_at <= LONGEST_GAP.total_seconds()
        gap = None
        with self._ledger.write() as connection:
            if not (is_going_on and absences.go_on(connection, self._now())):
                gap = absences.beat(connection, self._now())
        self._beat_at = self._elapsed()
        if gap is not None and gap.stores:
            _report(gap)


def _report(gap: Gap) -> None:
    log.warning(
        "no receiver was up or had the ledger: orders of that time may be lost",
        seconds=round((gap.ended_at - gap.began_at).total_seconds()),
        since=gap.began_at.isoformat(timespec="seconds"),
        number=len(gap.stores),
        stores=", ".join(gap.stores[:MOST_NAMED]) + (", ..." if len(gap.stores) > MOST_NAMED else ""),
        mend="spacebridge doctor",
    )
