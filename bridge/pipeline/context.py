"""What every step of the pipeline works with."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from bridge.ledger import Ledger, Vault
from bridge.ledger.stores import Store
from bridge.pipeline.pace import Pace
from bridge.spaceinvoices import SpaceInvoices


@dataclass(frozen=True, slots=True)
class Account:
    """A store's account at Space Invoices: its client, and a name that does not tell its token."""

    api: SpaceInvoices
    name: str


@dataclass(frozen=True, slots=True)
class Context:
    """The ledger, the keys and the API, with the clock and the dice as arguments."""

    ledger: Ledger
    vault: Vault
    api_url: str
    api_timeout: float  # seconds
    config_ttl: float  # seconds
    pace: Pace = field(default_factory=Pace)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    random: Random = field(default_factory=Random)
    _of_thread: threading.local = field(default_factory=threading.local)

    def account(self, store: Store) -> Account:
        """The store's account, with a client of the calling thread's own."""
        accounts: dict[str, Account] | None = getattr(self._of_thread, "accounts", None)
        if accounts is None:
            accounts = self._of_thread.accounts = {}
        # By the encrypted token: a new token means a new client, and no token is kept as a key.
        account = accounts.get(store.encrypted_api_token)
        if account is None:
            if len(accounts) >= 64:
                accounts.pop(next(iter(accounts))).api.close()
            token = store.api_token(self.vault)
            account = Account(
                SpaceInvoices(self.api_url, token, timeout=self.api_timeout),
                hashlib.sha256(token.encode()).hexdigest()[:32],
            )
            accounts[store.encrypted_api_token] = account
        return account

    def close(self) -> None:
        """Close the calling thread's connections to Space Invoices."""
        for account in getattr(self._of_thread, "accounts", {}).values():
            account.api.close()
