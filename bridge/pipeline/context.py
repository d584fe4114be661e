"""What every step of the pipeline works with."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from bridge.db import Ledger
from bridge.ledger import stores
from bridge.ledger.stores import Store
from bridge.pipeline.rate_limiter import RateLimiter
from bridge.spaceinvoices import ApiConnection, SpaceInvoices, SpaceInvoicesApi
from bridge.telemetry import counts
from bridge.vault import Vault

RECENT = 1.0  # seconds


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


@dataclass(slots=True)
class _OfThread:
    connection: ApiConnection  # one for all accounts, which are at the same address
    accounts: dict[str, Account] = field(default_factory=dict)


class Clients:
    """What each thread has to talk to Space Invoices with."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._all: list[_OfThread] = []

    def of_thread(self, api_url: str) -> _OfThread:
        mine: _OfThread | None = getattr(self._local, "clients", None)
        if mine is None:
            mine = self._local.clients = _OfThread(ApiConnection(api_url))
            self._all.append(mine)
        return mine

    def close(self) -> None:
        for one in self._all:
            one.connection.close()
        self._local, self._all = threading.local(), []


@dataclass(frozen=True, slots=True)
class Context:
    """The ledger, the keys and the API, with the clock and the dice as arguments."""

    ledger: Ledger
    vault: Vault
    api_url: str
    api_timeout: float  # seconds
    config_ttl: float  # seconds
    public_url: str = ""  # where the world reaches the receiver; empty if that is not set
    rate_limiter: RateLimiter = field(default_factory=RateLimiter)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    random: Random = field(default_factory=Random)
    patience: float = 0.5  # seconds that what is written together waits for another transaction's lock
    _clients: Clients = field(default_factory=Clients)
    # These are not those of the one that this is made of by `replace`.
    _recent_stores: dict[int, tuple[Store, float]] = field(default_factory=dict, init=False)

    def account(self, store: Store) -> Account:
        """The store's account, with a client of the calling thread's own."""
        mine = self._clients.of_thread(self.api_url)
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

    def forget(self, store_id: int) -> None:
        """Read this store again the next time: it has changed."""
        self._recent_stores.pop(store_id, None)

    def close(self) -> None:
        """Close all threads' connections to Space Invoices."""
        self._clients.close()
