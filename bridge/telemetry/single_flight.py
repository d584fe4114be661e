"""Asks other servers what metrics are to tell of them, without waiting longer than whoever wants to know."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

import structlog

_Answer = TypeVar("_Answer")

log = structlog.get_logger(__name__)


class SingleFlight(Generic[_Answer]):
    """A question that is asked once at a time: a server that hangs is not asked by ever more threads."""

    def __init__(self, what: str, ask: Callable[[], _Answer]) -> None:
        """`what` is asked, in words for people; `ask` may raise, and may take any time."""
        self._what = what
        self._ask = ask
        self._lock = threading.Lock()
        self._under_way: Future[_Answer] | None = None

    def answer(self, *, within: float) -> _Answer | None:
        """The answer, or None if there is none after so many seconds."""
        try:
            return self._begin().result(within)
        except Exception as error:
            log.warning("metrics are told in part", lacking=self._what, error=type(error).__name__)
            return None

    def _begin(self) -> Future[_Answer]:
        with self._lock:
            if self._under_way is None or self._under_way.done():
                self._under_way = Future()
                # Nobody waits for it at the end of the process.
                threading.Thread(target=self._run, args=(self._under_way,), daemon=True).start()
            return self._under_way

    def _run(self, future: Future[_Answer]) -> None:
        try:
            future.set_result(self._ask())
        except Exception as error:
            future.set_exception(error)
