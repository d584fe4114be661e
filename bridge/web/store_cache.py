"""Caches the stores of recent deliveries, so that the next delivery is verified without the ledger."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

CAPACITY = 10_000  # stores


@dataclass(frozen=True, slots=True)
class CachedStore:
    """What the receiver needs of a store, as it was when it was read, with its webhook secret in clear."""

    id: int
    name: str
    shop_urls: Sequence[str]
    encrypted_webhook_secret: str = field(repr=False)
    webhook_secret: str = field(repr=False)


class StoreCache:
    """Stores by name, as they were read last; another process may have changed or removed them since.

    So a cached store may accept a delivery, since the INSERT compares the secret, and never refuse one.
    """

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._by_name: dict[str, CachedStore] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> CachedStore | None:
        """The store of this name, if it is cached."""
        return self._by_name.get(name)

    def put(self, store: CachedStore) -> None:
        """Cache this store; if there are too many, drop the one that was read the longest time ago."""
        with self._lock:
            self._by_name.pop(store.name, None)
            if len(self._by_name) >= self._capacity:
                del self._by_name[next(iter(self._by_name))]
            self._by_name[store.name] = store

    def drop(self, name: str) -> None:
        """Forget the store of this name, which has changed."""
        with self._lock:
            self._by_name.pop(name, None)
