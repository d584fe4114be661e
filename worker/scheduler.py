"""The schedule, of which one runs at a time, however many are started over one ledger."""

from __future__ import annotations

import os
import select
import signal
from typing import Any

import structlog
from celery.beat import ScheduleEntry, Scheduler
from celery.signals import beat_init

from bridge.db import LedgerUnavailableError
from bridge.db.leader_lock import LeaderLock
from worker.app import settings

ASK_EVERY = 1.0  # seconds a schedule stands by before it asks again

log = structlog.get_logger(__name__)


class Stop:
    """That this process is to end: told at any moment, and heeded only where somebody asks.

    Celery's own handler of signals raises where the process happens to be. A finalizer swallows that, and the
    schedule would go on.
    """

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()

    def tell(self, *_: object) -> None:
        """To be called by a signal; a pipe is written to without a lock."""
        os.write(self._writing, b".")

    def is_told(self, *, within: float) -> bool:
        """Wait for it, for so many seconds."""
        return bool(select.select([self._reading], [], [], within)[0])


stop = Stop()


@beat_init.connect(weak=False)
def _be_told_by_signals(**_: object) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop.tell)


class OneSchedule(Scheduler):
    """Celery's own, in memory, which sends something only while no other schedule does."""

    # None of its own, which is waited for however long the broker is away: the app's is tried, and given up.
    producer: Any = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._leader_lock = LeaderLock(settings.ledger_url)
        self._state: str | None = None
        self._reaches_broker = True

    def tick(self, *args: Any, **options: Any) -> float:
        """Send what is due, if it is this process' turn, and wait; returns 0: the next call comes at once.

        Raises SystemExit if the process is to end.
        """
        if stop.is_told(within=self._send(*args, **options)):
            raise SystemExit
        return 0

    def _send(self, *args: Any, **options: Any) -> float:
        """Returns the seconds until something is due, or until the question whose turn it is."""
        try:
            is_leader = self._leader_lock.acquire()
        except LedgerUnavailableError as error:
            # Sweeps too many do no harm, and without any, what a lost message was about lies waiting.
            is_leader = True
            self._tell_once("this schedule runs: the ledger cannot say whether others do", error=str(error))
        else:
            self._tell_once("this schedule runs" if is_leader else "another schedule runs; standing by")
        if not is_leader:
            return ASK_EVERY
        wait: float = super().tick(*args, **options)
        return min(max(wait, 0), ASK_EVERY)

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Send what is due. If that fails, its next time comes all the same."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except Exception as error:  # each kind of broker raises its own
            if self._reaches_broker:
                log.warning(
                    "broker unreachable; nothing is scheduled", error=type(error.__cause__ or error).__name__
                )
            self._reaches_broker = False
        else:
            if not self._reaches_broker:
                log.info("broker reachable again")
            self._reaches_broker = True

    def _tell_once(self, state: str, **about: object) -> None:
        if state != self._state:
            log.info(state, **about)
        self._state = state
