"""Pauses of stores: by an operator until one resumes it, or by failures until a probe succeeds."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, literal, or_, true, update

from bridge.db.tables import stores
from bridge.ledger.store import Store, update_store


def pause(
    connection: Connection, store_id: int, *, reason: str, now: datetime, next_probe_at: datetime | None
) -> None:
    """Stop forwarding; at `next_probe_at` one order is tried. None is a pause by an operator, without probes.

    A failure does not change a pause by an operator.
    """
    by_operator = next_probe_at is None
    connection.execute(
        update(stores)
        .where(stores.c.id == store_id, true() if by_operator else _is_not_paused_by_operator())
        .values(
            paused_at=func.coalesce(stores.c.paused_at, literal(now, stores.c.paused_at.type)),
            pause_reason=reason,
            next_probe_at=next_probe_at,
        )
    )


def resume(connection: Connection, store_id: int, now: datetime, *, by_operator: bool) -> None:
    """Forward again. The pause does not count in the time that its orders are retried for.

    A success resumes the store only if no operator has paused it meanwhile.
    """
    connection.execute(
        update(stores)
        .where(stores.c.id == store_id, true() if by_operator else _is_not_paused_by_operator())
        .values(paused_at=None, pause_reason=None, next_probe_at=None, failures=0, resumed_at=now)
    )


def claim_probe(connection: Connection, store: Store, next_probe_at: datetime) -> bool:
    """Claim the probe that is due; the next one may follow at `next_probe_at`. False if another was first."""
    claimed = connection.execute(
        update(stores)
        .where(stores.c.id == store.id, stores.c.next_probe_at == store.next_probe_at)
        .values(next_probe_at=next_probe_at)
    )
    return claimed.rowcount == 1


def leave_probe(connection: Connection, store_id: int, now: datetime) -> None:
    """The probe that was claimed had nothing to send: another may be made at once."""
    connection.execute(
        update(stores)
        .where(stores.c.id == store_id, stores.c.next_probe_at.is_not(None))
        .values(next_probe_at=now)
    )


def probe_now(connection: Connection, store_id: int, now: datetime) -> None:
    """Try the next order at once, if the store is probed: the cause of its failures may be gone."""
    connection.execute(
        update(stores)
        .where(stores.c.id == store_id, stores.c.next_probe_at.is_not(None))
        .values(next_probe_at=now, failures=0)
    )


def count_failure(connection: Connection, store_id: int) -> int:
    """One more request of the store failed; returns how many have failed in a row."""
    failures: int = connection.execute(
        update(stores)
        .where(stores.c.id == store_id)
        .values(failures=stores.c.failures + 1)
        .returning(stores.c.failures)
    ).scalar_one()
    return failures


def forget_failures(connection: Connection, store_id: int) -> None:
    """A request of the store succeeded: the failures before it are not in a row with the next."""
    update_store(connection, store_id, failures=0)


def _is_not_paused_by_operator() -> ColumnElement[bool]:
    return or_(stores.c.paused_at.is_(None), stores.c.next_probe_at.is_not(None))
