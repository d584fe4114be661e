"""A schedule that is told to end while a finalizer runs, in which Python swallows whatever is raised."""

from __future__ import annotations

import os
import signal
from typing import Any

from worker.scheduler import OneSchedule


class _Finalized:
    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


class Schedule(OneSchedule):
    """For `celery beat --scheduler`."""

    def apply_entry(self, *args: Any, **options: Any) -> None:
        _Finalized()
        super().apply_entry(*args, **options)
