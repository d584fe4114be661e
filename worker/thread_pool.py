"""The threads of this process that take tasks: those that have nothing to do can share some work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from celery.worker import state

_Item = TypeVar("_Item")


class Crew:
    """The threads of a worker's pool; none in a pool of processes, which have none to share."""

    def __init__(self, size: int = 0, executor: ThreadPoolExecutor | None = None) -> None:
        """`executor`: the pool's own, whose threads they are."""
        self.size = size
        self.is_stopping = False
        self._executor = executor
        self._lock = threading.Lock()
        self._helping = 0

    def stop(self) -> None:
        """The worker is to end: whoever is at work goes on to nothing else."""
        self.is_stopping = True

    def idle(self) -> int:
        """How many have nothing to do, and no message that has come for them."""
        return max(0, self.size - len(state.active_requests) - self._helping - self._waiting())

    def is_awaited(self) -> bool:
        """Whether a message has come that no thread has taken yet; also where that cannot be told."""
        return self._executor is None or self._waiting() > 0

    def _waiting(self) -> int:
        # Celery forgets those that wait when it loses its broker, and they come to their turn all the same.
        return 0 if self._executor is None else self._executor._work_queue.qsize()

    def hand(self, work: Callable[[], object]) -> bool:
        """Have an idle thread do this; False, and nothing is done, if there is none.

        It costs a fraction of a message. What is handed to a worker that stops is lost, as a message may be.
        """
        with self._lock:
            if self._executor is None or self.is_stopping or self.idle() == 0:
                return False
            self._helping += 1
        try:
            helping = self._executor.submit(work)
        except RuntimeError:  # the worker stops
            self._helped()
            return False
        helping.add_done_callback(self._helped)
        return True

    def _helped(self, _: object = None) -> None:
        with self._lock:
            self._helping -= 1

    def share(self, items: Sequence[_Item]) -> Sequence[Sequence[_Item]]:
        """The items in parts of about the same length: one for the caller, one for each idle thread.

        None is empty but the caller's, if there are no items.
        """
        return parts(items, most=1 + self.idle()) or [[]]


def parts(items: Sequence[_Item], *, most: int) -> Sequence[Sequence[_Item]]:
    """The items in so many parts at most, none of them empty."""
    number = min(most, len(items))
    return [items[start::number] for start in range(number)]
