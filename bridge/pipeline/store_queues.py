"""Lanes: how many of this process' threads forward one store's orders, and which order each takes next.

A message says that something of a store is due. The thread that takes it becomes a lane of the store and
forwards one order after the other; a store with much to do is given more lanes, up to a limit, and
each lane gives its thread back after a while if others wait for it, so that no store is kept waiting.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf

from bridge.ledger.due import Due

TURN = 1.0  # seconds a lane goes on for while there may be others that wait
REFILL = 64  # entries of the queue that are read at once

Fetch = Callable[[Due | None, int], Sequence[Due]]
"""Reads a store's queue: what is due after a place in it (from its start if None), up to a number."""


@dataclass(slots=True)
class _Store:
    """What the lanes of one store share: the part of its queue that was read, and not taken yet."""

    lanes: int = 0
    called: int = 0  # lanes that were asked for and have not come yet
    waiting: deque[int] = field(default_factory=deque)
    place: Due | None = None
    read_anew_at: float = -inf
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read_on(self, fetch: Fetch, now: float) -> None:
        """Read the next part of the queue."""
        if now >= self.read_anew_at:
            # What is committed late lies before the place, and would be passed by for ever.
            self.place, self.read_anew_at = None, now + TURN
        found = fetch(self.place, REFILL)
        self.called = 0  # whoever has not come by now went elsewhere
        self.waiting.extend(one.id for one in found)
        if found:
            self.place = found[-1]


class Lane:
    """One thread's way through a store's queue."""

    def __init__(self, store: _Store, most: int, clock: Callable[[], float]) -> None:
        self._store = store
        self._most = most
        self._clock = clock
        self._ends_at = clock() + TURN

    @property
    def is_over(self) -> bool:
        """Whether it is another's turn."""
        return self._clock() >= self._ends_at

    def call(self, at_most: int) -> int:
        """How many lanes more the store can use and nobody has asked for; the caller asks for them."""
        store = self._store
        if not store.waiting or not at_most:
            return 0
        with store.lock:
            wanted = max(0, min(len(store.waiting), self._most - store.lanes) - store.called)
            wanted = min(wanted, at_most)
            store.called += wanted
        return wanted

    def next(self, fetch: Fetch | None) -> int | None:
        """The id of the issuance to forward next, which no other lane of this process is given now.

        Without `fetch`, the queue is read no further.
        """
        with self._store.lock:
            if not self._store.waiting and fetch is not None:
                self._store.read_on(fetch, self._clock())
            return self._store.waiting.popleft() if self._store.waiting else None


class Lanes:
    """The lanes of this process, store by store."""

    def __init__(self, per_store: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`per_store`: how many lanes a store may have; `clock` counts seconds."""
        self.per_store = per_store
        self._clock = clock
        self._stores: dict[int, _Store] = {}
        self._lock = threading.Lock()

    @contextmanager
    def enter(self, store_id: int, due: Sequence[int] = ()) -> Iterator[Lane | None]:
        """A lane of the store, or None if it has as many as it may: they will come upon whatever is due.

        `due`: ids of issuances that have just fallen due, and need not be read from the queue.
        """
        with self._lock:
            store = self._stores.setdefault(store_id, _Store())
            store.called = max(0, store.called - 1)
            is_full = store.lanes >= self.per_store
            store.lanes += not is_full
            store.waiting.extend(due)
        if is_full:
            yield None
            return
        try:
            yield Lane(store, self.per_store, self._clock)
        finally:
            with self._lock:
                store.lanes -= 1
                if store.lanes == 0:
                    # The next one begins at the start of the queue.
                    del self._stores[store_id]
