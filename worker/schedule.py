"""The schedule: the worker that holds the leader lock runs the duties, each in a thread of its own.

Nothing of it needs the broker: what a duty has found is published, and found again while that cannot be done.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import structlog

from bridge.broker import TaskPublisher
from bridge.db import LedgerUnavailableError
from bridge.db.leader_lock import LeaderLock
from bridge.maintenance.duty import Duty
from bridge.pipeline.context import Context
from bridge.pipeline.pending_work import PendingWork
from worker.failures import left_to_the_sweep

ELECTION_INTERVAL = 1.0  # seconds between two looks at the leader lock
STOP_WITHIN = (
    10.0  # seconds that a run of a duty gets to end in; each of its transactions is whole, or not at all
)
DELIVERIES_A_MESSAGE = 25
STORES_MESSAGES = 100  # at most, of one sweep; so that several workers share them
LONG_BACKLOG = 100  # messages; while so many wait, the sweep's would only be doubles

log = structlog.get_logger(__name__)


class Schedule:
    """Runs duties while this process holds the leader lock, and stands by while another does."""

    def __init__(
        self, duties: Sequence[Duty], context: Context, publisher: TaskPublisher, leader_lock: LeaderLock
    ) -> None:
        """`context`: one that no process forked from this one uses."""
        self._context = context
        self._publisher = publisher
        self._leader_lock = leader_lock
        self._is_leader = threading.Event()
        self._is_stopping = threading.Event()
        self._election = threading.Thread(target=self._stand_for_election, name="election", daemon=True)
        self._threads = [
            threading.Thread(target=self._fulfil, args=(duty,), name=duty.name, daemon=True)
            for duty in duties
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in (self._election, *self._threads):
            thread.start()

    def close(self) -> None:
        """Let the runs under way end, and release the lock, so that another worker leads at once."""
        self._is_stopping.set()
        self._is_leader.set()  # wakes whoever waits for it
        for thread in self._threads:
            thread.join(STOP_WITHIN)
        self._election.join(STOP_WITHIN)
        if not self._election.is_alive():
            self._leader_lock.release()

    def _stand_for_election(self) -> None:
        said = None
        while not self._is_stopping.is_set():
            said = self._ask(said)
            self._is_stopping.wait(ELECTION_INTERVAL)

    def _ask(self, said: str | None) -> str:
        """Find out who leads; returns what was said of it, which is said once."""
        about = {}
        try:
            is_leader = self._leader_lock.acquire()
        except LedgerUnavailableError as error:
            is_leader, state = False, "no schedule runs: the ledger is away"
            about = {"error": str(error)}
        else:
            state = "this schedule runs" if is_leader else "another schedule runs; standing by"
        if is_leader:
            self._is_leader.set()
        elif not self._is_stopping.is_set():
            self._is_leader.clear()
        if state != said:
            log.info(state, **about)
        return state

    def _fulfil(self, duty: Duty) -> None:
        while self._is_leader.wait() and not self._is_stopping.is_set():
            found = PendingWork()
            with left_to_the_sweep(duty=duty.name):
                found = duty.run(self._context)
                self._publish(found)
            if not found.has_more:
                self._is_stopping.wait(duty.interval)

    def _publish(self, found: PendingWork) -> None:
        if not (found.deliveries or found.due_stores or found.configs):
            return
        if self._publisher.backlog() >= LONG_BACKLOG:
            return
        for store_id in found.configs:  # one a message: an API that hangs holds each up by itself
            self._publisher.configs([store_id])
        for start in range(0, len(found.deliveries), DELIVERIES_A_MESSAGE):
            self._publisher.deliveries(found.deliveries[start : start + DELIVERIES_A_MESSAGE])
        number = min(len(found.due_stores), STORES_MESSAGES)
        for start in range(number):
            self._publisher.due_stores(found.due_stores[start::number])
