"""What there is to see of one store, and how a finding of it is made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bridge.doctor.accounts import Reply
from bridge.doctor.finding import Finding, Level
from bridge.ledger.backlog import StoreBacklog
from bridge.ledger.stores import Store

WEBHOOKS = "WooCommerce > Settings > Advanced > Webhooks"


@dataclass(frozen=True, slots=True)
class StoreSight:
    """What there is to see of a store.

    `reply` is None if Space Invoices was not asked. `blamed` is the check that found what holds the store up,
    and is not about it, if one did.
    """

    store: Store
    backlog: StoreBacklog
    reply: Reply | None
    blamed: str | None
    now: datetime

    def finding(self, check: str, level: Level, message: str, mend: str | None = None) -> Finding:
        """One of this store."""
        return Finding(check, level, message, mend, self.store.name)

    def consequence(self, check: str, message: str) -> Finding:
        """One of this store that goes with what is blamed."""
        mend = f"It goes on by itself when what is wrong with the {self.blamed} is mended."
        return self.finding(check, Level.WARNING, message, mend)
