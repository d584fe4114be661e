"""What a worker starts and stops beside its pool: the sending threads and the schedule."""

from __future__ import annotations

import gc
from typing import Any

from celery import bootsteps
from celery.signals import worker_process_shutdown

from bridge.db.leader_lock import LeaderLock
from bridge.maintenance.duties import DUTIES
from worker.app import app, settings
from worker.runtime import make_context, runtime
from worker.schedule import Schedule


class SendingStep(bootsteps.StartStopStep):
    """Has the sending threads end with the worker. They run beside the pool, which has as many for tasks."""

    requires = ("celery.worker.components:Pool",)

    def start(self, parent: Any) -> None:
        runtime().sending.threads = parent.concurrency
        # What is there by now stays. Of what comes and goes with each order, next to nothing is in a circle.
        gc.freeze()
        gc.set_threshold(20_000)

    def close(self, parent: Any) -> None:
        runtime().sending.stop_claiming()

    def stop(self, parent: Any) -> None:
        runtime().sending.close()


class ScheduleStep(bootsteps.StartStopStep):
    """Runs the schedule in the worker's own process, after a pool of processes has been forked from it."""

    requires = ("celery.worker.components:Pool",)

    def start(self, parent: Any) -> None:
        context = make_context(settings(), connections=2 * len(DUTIES))
        leader_lock = LeaderLock(settings().ledger_url)
        self._schedule = Schedule(DUTIES, context, runtime().publisher, leader_lock)
        self._schedule.start()

    def stop(self, parent: Any) -> None:
        self._schedule.close()


app.steps["worker"].update([SendingStep, ScheduleStep])


@worker_process_shutdown.connect(weak=False)
def _end_sending(**_: object) -> None:
    """In a child of a pool of processes."""
    runtime().sending.close()
