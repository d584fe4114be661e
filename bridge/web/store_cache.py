"""The stores whose deliveries have come in lately, so that the next one need not look its store up."""

from __future__ import annotations

import threading

from bridge.ledger.recording import CachedStore

MOST_KNOWN = 10_000


class StoreCache:
    """Stores by name, as they were looked up last.

    They may have changed since, in another process: whoever takes one from here has that checked when it
    records a delivery, and believes nothing else of it.
    """

    def __init__(self, *, most: int = MOST_KNOWN) -> None:
        self._most = most
        self._by_name: dict[str, CachedStore] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> CachedStore | None:
        """The store of this name, if it is known."""
        return self._by_name.get(name)

    def keep(self, store: CachedStore) -> None:
        """Know this store, in the place of the one that was not looked up for the longest time if need be."""
        with self._lock:
            self._by_name.pop(store.name, None)
            if len(self._by_name) >= self._most:
                del self._by_name[next(iter(self._by_name))]
            self._by_name[store.name] = store

    def forget(self, name: str) -> None:
        """It is not what it was."""
        with self._lock:
            self._by_name.pop(name, None)
