"""What every step of the pipeline works with."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from bridge.ledger import Ledger, Vault
from bridge.ledger.stores import Store
from bridge.spaceinvoices import SpaceInvoices


@dataclass(frozen=True, slots=True)
class Context:
    """The ledger, the keys and the API, with the clock and the dice as arguments."""

    ledger: Ledger
    vault: Vault
    api_url: str
    api_timeout: float  # seconds
    config_ttl: float  # seconds
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    random: Random = field(default_factory=Random)
    _of_thread: threading.local = field(default_factory=threading.local)

    def account(self, store: Store) -> SpaceInvoices:
        """The calling thread's client for the store's account."""
        clients: dict[str, SpaceInvoices] | None = getattr(self._of_thread, "clients", None)
        if clients is None:
            clients = self._of_thread.clients = {}
        # By the encrypted token: a new token means a new client, and no token is kept as a key.
        client = clients.get(store.encrypted_api_token)
        if client is None:
            if len(clients) >= 64:
                clients.pop(next(iter(clients))).close()
            client = SpaceInvoices(self.api_url, store.api_token(self.vault), timeout=self.api_timeout)
            clients[store.encrypted_api_token] = client
        return client
