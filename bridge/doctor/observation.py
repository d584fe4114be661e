"""What the doctor knows of one store before it checks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bridge.doctor.configs import ConfigFetch
from bridge.doctor.finding import Level, format_duration
from bridge.ledger.absences import Absence
from bridge.ledger.backlog import StoreBacklog
from bridge.ledger.shop_webhooks import KnownWebhook
from bridge.ledger.shops import Shop
from bridge.ledger.silence import Silence
from bridge.ledger.stores import Store

Result = tuple[Level, str, str | None]  # of a check: the level, the message and the mend of a finding


@dataclass(frozen=True, slots=True)
class StoreObservation:
    """A store's row and backlog, and its config as just fetched.

    `fetch` is None if Space Invoices was not asked, `shop` if the store is not connected. `cause` is the
    check, not one of the store's own, that found why the store's work waits; None if no check did. `absences`
    are those that are not settled; `found` counts orders of which no webhook told.
    """

    store: Store
    backlog: StoreBacklog
    fetch: ConfigFetch | None
    cause: str | None
    now: datetime
    shop: Shop | None = None
    absences: Sequence[Absence] = ()
    silences: Sequence[Silence] = ()
    webhooks: Sequence[KnownWebhook] = ()
    found: Mapping[str, int] = field(default_factory=dict)  # since a day ago, by reason

    def since(self, moment: datetime) -> str:
        """The time that has passed since a moment."""
        return format_duration(self.now - moment)

    def consequence(self, message: str) -> Result:
        """A result that goes away by itself when the cause is mended."""
        mend = f"It goes on by itself when what is wrong with the {self.cause} is mended."
        return Level.WARNING, message, mend
