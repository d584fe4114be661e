"""What the doctor knows of one store before it checks it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bridge.doctor.configs import ConfigFetch
from bridge.doctor.finding import Finding, Level
from bridge.ledger.backlog import StoreBacklog
from bridge.ledger.stores import Store

WEBHOOKS = "WooCommerce > Settings > Advanced > Webhooks"


@dataclass(frozen=True, slots=True)
class StoreObservation:
    """A store's row and backlog, and its config as just fetched.

    `fetch` is None if Space Invoices was not asked. `cause` is the check, not one of the store's own, that
    found why the store's work waits; None if no check did.
    """

    store: Store
    backlog: StoreBacklog
    fetch: ConfigFetch | None
    cause: str | None
    now: datetime

    def finding(self, check: str, level: Level, message: str, mend: str | None = None) -> Finding:
        """A finding about this store."""
        return Finding(check, level, message, mend, self.store.name)

    def consequence(self, check: str, message: str) -> Finding:
        """A finding that goes away by itself when the cause is mended."""
        mend = f"It goes on by itself when what is wrong with the {self.cause} is mended."
        return self.finding(check, Level.WARNING, message, mend)
