"""Settles a store's absences by an operator's word: the orders of that time were compared by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from bridge.ledger import absences, actions
from bridge.ledger.absences import Absence
from bridge.ledger.actions import Action
from bridge.ledger.stores import Store


def nothing_missing(connection: Connection, store: Store, *, who: str, now: datetime) -> Sequence[Absence]:
    """Nothing is missing of any absence of a locked store up to now. Returns those that this settles.

    It is a part of the caller's transaction, and recorded as an action of the store, unless there was nothing
    to settle. Lost orders do not come by this: it ends what `spacebridge doctor` says about them.
    """
    settled = [one for one in absences.unsettled(connection, store.id) if one.ended_at <= now]
    if absences.settle(connection, store.id, ended_before=now, who=who, now=now):
        last = f"{settled[-1].ended_at:%Y-%m-%d %H:%M} UTC"
        result = f"absences without a receiver: {len(settled)}, the last until {last}"
        actions.record(
            connection,
            Action(
                now, who, "nothing-missing", result, delivery_id=None, issuance_id=None, store_id=store.id
            ),
        )
    return settled
