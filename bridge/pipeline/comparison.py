"""Compares what a shop lists with what the ledger knows, and tells why no webhook told: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation

from bridge.issuance import Order, Timekeeping
from bridge.ledger.absences import Absence
from bridge.ledger.comparison import Known
from bridge.ledger.finds import GONE, MISSING, RESTORED, STALE, TRASHED
from bridge.ledger.shop_webhooks import DELETED, DISABLED, PAUSED, KnownWebhook
from bridge.ledger.stores import Store
from bridge.shop import Listed

TRASH = "trash"

SWITCHED_OFF = "switched off"
NO_WEBHOOK = "deleted"
PAUSED_THERE = "paused"
SWALLOWED = "tried and swallowed on the way"
REFUSED = "refused by us"
AWAY = "the bridge was away"
NEVER_TRIED = "never tried"
UNKNOWN = "not known"

# The topic that should have told: of a new order, that of its creation or of an update.
TOPIC_OF = {
    MISSING: "order.created",
    STALE: "order.updated",
    TRASHED: "order.deleted",
    RESTORED: "order.restored",
    GONE: "order.deleted",
}


def difference(listed: Listed, known: Known, store: Store) -> str | None:
    """What the ledger lacks of an order that the shop lists: the kind of a find; None if it lacks nothing.

    An order of which a delivery is under way lacks nothing yet. One that was modified before the store was
    added, or created before it issues anything, and of which nothing is known, is none that the bridge has
    missed. At the same date, what the order says is compared: not every change moves its date, and a date has
    a resolution of one second.
    """
    if known.is_under_way:
        return None
    if listed.status == TRASH:
        return _trashed(known)
    if known.snapshot is None:
        return None if _is_of_the_past(listed, store) else MISSING
    if known.is_deleted:
        return RESTORED
    snapshot = known.snapshot
    if listed.modified is not None and snapshot.details.timekeeping is not Timekeeping.LOCAL:
        if listed.modified > snapshot.modified:
            return STALE
        if listed.modified < snapshot.modified:
            return None  # the ledger knows more than the page
    return None if _says_the_same(listed, snapshot) else STALE


def _trashed(known: Known) -> str | None:
    is_known = known.snapshot is not None and known.snapshot.status != TRASH
    return TRASHED if is_known and not known.is_deleted else None


def _is_of_the_past(listed: Listed, store: Store) -> bool:
    if listed.modified is not None and listed.modified < store.created_at:
        return True
    issue_from = store.options.issue_from
    return issue_from is not None and listed.created is not None and listed.created < issue_from


def _says_the_same(listed: Listed, snapshot: Order) -> bool:
    return (
        listed.status in {"", snapshot.status}
        and listed.currency in {"", snapshot.currency}
        and _is_same_sum(listed.total, snapshot.total)
        and _is_same_sum(listed.refunded, snapshot.details.paid_back)
    )


def _is_same_sum(one: str, other: str) -> bool:
    """Whether two amounts are equal; what is no number was not told, and differs from nothing."""
    try:
        return Decimal(one) == Decimal(other)
    except InvalidOperation:
        return True


@dataclass(frozen=True, slots=True)
class Witness:
    """What is known of the ways on which a webhook can fail to tell, at a comparison."""

    webhooks: Mapping[str, KnownWebhook]
    last_deliveries: Mapping[str, datetime]  # by topic
    absences: Sequence[Absence]
    last_refused_at: datetime | None

    def why(self, kind: str, changed_at: datetime | None) -> str:
        """Why no webhook told of an order that changed then.

        A webhook's own date moves with each delivery that it tries, whatever the answer is. Where that is
        later than its last delivery here, and than the change, something on the way has taken the delivery.
        """
        topic = TOPIC_OF[kind]
        webhook = self.webhooks.get(topic)
        if changed_at is not None:
            if any(one.began_at <= changed_at <= one.ended_at for one in self.absences):
                return AWAY
            if self.last_refused_at is not None and self.last_refused_at >= changed_at:
                return REFUSED
        if webhook is None:
            return UNKNOWN
        by_status = {DISABLED: SWITCHED_OFF, DELETED: NO_WEBHOOK, PAUSED: PAUSED_THERE}
        if webhook.status in by_status:
            return by_status[webhook.status]
        if changed_at is None or webhook.modified is None:
            return NEVER_TRIED
        if any(at >= changed_at for at in webhook.remade):
            return SWITCHED_OFF  # until then
        if webhook.since > changed_at:
            return UNKNOWN  # it was made, or switched on, after that
        last = self.last_deliveries.get(topic)
        was_tried = webhook.modified >= changed_at and (last is None or webhook.modified > last)
        return SWALLOWED if was_tried else NEVER_TRIED
