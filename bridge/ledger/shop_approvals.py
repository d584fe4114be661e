"""Approvals of a connection: a person begins one, a shop manager gives it in the shop, the shop sends keys.

An approval is known by a random state, which is part of the address that the shop sends its keys to. Only
the state's digest is kept.

1. It is open until it expires.
2. Keys that come in claim it (`claim`). It is then free again when they are not the shop's (`release`), or
   after PROOF_LASTS, if the process died over them: the shop has given up by then and deleted its keys.
3. It ends as CONNECTED, in the transaction that keeps the keys (`finish`), or as DENIED.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, update

from bridge.db.tables import shop_approvals, stores

LASTS = timedelta(minutes=15)
PROOF_LASTS = timedelta(seconds=60)  # WooCommerce waits for so long, and then deletes the keys
KEPT = timedelta(days=1)  # so that a late visitor is told what became of it

CONNECTED, DENIED = "connected", "denied"


@dataclass(frozen=True, slots=True)
class Approval:
    """An approval as it stands. `result`: how it ended, or why the last keys were not kept."""

    id: int
    store_id: int
    store: str
    url: str
    who: str
    expires_at: datetime
    used_at: datetime | None
    result: str | None

    @property
    def is_connected(self) -> bool:
        """Whether keys that came with it are kept."""
        return self.used_at is not None and self.result == CONNECTED

    @property
    def is_denied(self) -> bool:
        """Whether the shop manager has denied it."""
        return self.used_at is not None and self.result == DENIED

    def is_being_proved(self, now: datetime) -> bool:
        """Whether keys have come, and the shop is being asked about them."""
        return self.used_at is not None and self.result is None and now - self.used_at < PROOF_LASTS

    def is_over(self, now: datetime) -> bool:
        """Whether no keys are taken any more, and none are being proved."""
        has_ended = self.is_connected or self.is_denied
        return has_ended or (self.expires_at <= now and not self.is_being_proved(now))

    @property
    def last_failure(self) -> str | None:
        """Why the keys that came last were not kept."""
        return self.result if self.used_at is None else None


def begin(connection: Connection, store_id: int, url: str, state: str, *, who: str, now: datetime) -> None:
    """Open an approval of a locked store, for the shop at this address. Forgets those that ended long ago."""
    connection.execute(
        delete(shop_approvals).where(
            shop_approvals.c.store_id == store_id, shop_approvals.c.expires_at < now - KEPT
        )
    )
    connection.execute(
        insert(shop_approvals).values(
            store_id=store_id, state_digest=_digest(state), url=url, who=who, expires_at=now + LASTS
        )
    )


def find(connection: Connection, state: str) -> Approval | None:
    """The approval of this state; None if there is none, or its store was disconnected or removed since."""
    row = connection.execute(
        select(shop_approvals, stores.c.name)
        .join(stores, stores.c.id == shop_approvals.c.store_id)
        .where(shop_approvals.c.state_digest == _digest(state))
    ).one_or_none()
    if row is None:
        return None
    return Approval(row.id, row.store_id, row.name, row.url, row.who, row.expires_at, row.used_at, row.result)


def claim(connection: Connection, approval_id: int, now: datetime) -> bool:
    """Take an open approval for keys that have come; False if it is over, or others are being proved."""
    is_abandoned = and_(
        shop_approvals.c.result.is_(None),
        shop_approvals.c.used_at <= now - PROOF_LASTS,
    )
    return _change(
        connection,
        approval_id,
        shop_approvals.c.expires_at > now,
        or_(shop_approvals.c.used_at.is_(None), is_abandoned),
        used_at=now,
        result=None,
    )


def release(connection: Connection, approval_id: int, claimed_at: datetime, why: str) -> None:
    """Open a claimed approval again, since the keys were not kept; nothing if another claim took it over."""
    _change(connection, approval_id, *_claimed(claimed_at), used_at=None, result=why)


def finish(connection: Connection, approval_id: int, claimed_at: datetime) -> bool:
    """End a claimed approval as connected; False if it is gone, or another claim took it over."""
    return _change(connection, approval_id, *_claimed(claimed_at), result=CONNECTED)


def deny(connection: Connection, approval_id: int, now: datetime) -> bool:
    """End an open approval without keys; False if it is not open."""
    return _change(
        connection,
        approval_id,
        shop_approvals.c.expires_at > now,
        shop_approvals.c.used_at.is_(None),
        used_at=now,
        result=DENIED,
    )


def _claimed(claimed_at: datetime) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return shop_approvals.c.used_at == claimed_at, shop_approvals.c.result.is_(None)


def _change(
    connection: Connection, approval_id: int, *conditions: ColumnElement[bool], **values: object
) -> bool:
    statement = update(shop_approvals).where(shop_approvals.c.id == approval_id, *conditions)
    return connection.execute(statement.values(**values)).rowcount == 1


def _digest(state: str) -> bytes:
    return hashlib.sha256(state.encode()).digest()
