"""What every step of the pipeline works with."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any, TypeVar

from bridge.db import Ledger
from bridge.db.batch_writer import BatchWriter
from bridge.ledger import stores
from bridge.ledger.stores import Store
from bridge.pipeline.rate_limiter import RateLimiter
from bridge.spaceinvoices import ApiConnection, SpaceInvoices, SpaceInvoicesApi
from bridge.telemetry import counts
from bridge.vault import Vault

RECENT = 1.0  # seconds
LEFT_ALONE = 5.0  # seconds for which an issuance is not tried again whose order somebody else has locked

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def connect(api: str | ApiConnection, token: str, *, timeout: float) -> SpaceInvoices:
    """The client of the API, by its address or a connection to it. Only this function names its class.

    Raises SpaceInvoicesError for a token that no header can carry.
    """
    return SpaceInvoices(api, token, timeout=timeout, observe=counts.api_answered)


@dataclass(frozen=True, slots=True)
class Account:
    """A store's account at Space Invoices: its client, and a name that does not tell its token."""

    api: SpaceInvoicesApi
    name: str
    encrypted_token: str = field(repr=False)  # as the store had it


@dataclass(frozen=True, slots=True)
class Context:
    """The ledger, the keys and the API, with the clock and the dice as arguments."""

    ledger: Ledger
    vault: Vault
    api_url: str
    api_timeout: float  # seconds
    config_ttl: float  # seconds
    rate_limiter: RateLimiter = field(default_factory=RateLimiter)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    random: Random = field(default_factory=Random)
    patience: float = 0.5  # seconds that what is written together waits for another transaction's lock
    _of_thread: threading.local = field(default_factory=threading.local)
    # These are not those of the one that this is made of by `replace`.
    _groups: dict[Any, BatchWriter[Any, Any]] = field(default_factory=dict, init=False)
    _recent_stores: dict[int, tuple[Store, float]] = field(default_factory=dict, init=False)
    _left_alone: dict[int, float] = field(default_factory=dict, init=False)

    def account(self, store: Store) -> Account:
        """The store's account, with a client of the calling thread's own."""
        mine = self._of_thread
        if not hasattr(mine, "accounts"):
            # One connection for all of the thread's accounts, which are at the same address.
            mine.connection, mine.accounts = ApiConnection(self.api_url), {}
        # By the encrypted token: a new token means a new client, and no token is kept as a key.
        account: Account | None = mine.accounts.get(store.encrypted_api_token)
        if account is None:
            if len(mine.accounts) >= 64:
                mine.accounts.pop(next(iter(mine.accounts)))
            token = store.api_token(self.vault)
            account = Account(
                connect(mine.connection, token, timeout=self.api_timeout),
                hashlib.sha256(token.encode()).hexdigest()[:32],
                store.encrypted_api_token,
            )
            mine.accounts[store.encrypted_api_token] = account
        return account

    def recent_store(self, store_id: int) -> Store:
        """The store as it was a moment ago. Whoever claims one of its orders reads it anew."""
        found = self._recent_stores.get(store_id)
        if found is None or time.monotonic() >= found[1]:
            with self.ledger.read() as connection:
                store = stores.get(connection, store_id)
            self.remember([store])
            return store
        return found[0]

    def remember(self, just_read: Iterable[Store]) -> None:
        """Take these stores for recent ones, for a second."""
        until = time.monotonic() + RECENT
        self._recent_stores.update((store.id, (store, until)) for store in just_read)

    def leave_alone(self, issuance_id: int) -> None:
        """Have no thread of this process try this issuance for a while: its order is locked by others."""
        now = time.monotonic()
        for one in [one for one, until in list(self._left_alone.items()) if until <= now]:
            self._left_alone.pop(one, None)
        self._left_alone[issuance_id] = now + LEFT_ALONE

    def is_left_alone(self, issuance_id: int) -> bool:
        """Whether that was a moment ago."""
        return time.monotonic() < self._left_alone.get(issuance_id, 0.0)

    def group(
        self, write: Callable[[Context, Sequence[_Item]], Sequence[_Result]]
    ) -> BatchWriter[_Item, _Result]:
        """Where this process' threads have written, in common transactions, what `write` writes."""
        group = self._groups.get(write)
        if group is None:
            group = self._groups.setdefault(write, BatchWriter(partial(write, self)))
        return group

    def close(self) -> None:
        """Close the calling thread's connection to Space Invoices."""
        if hasattr(self._of_thread, "connection"):
            self._of_thread.connection.close()
