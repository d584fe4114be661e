"""Stores that are removed, and taken back: what they issued stays known, so that nothing is issued twice."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, literal_column, select, update

from bridge.db.tables import issuances, orders, stores
from bridge.issuance import Decision, Kind
from bridge.ledger.issuances import DUE, WITHDRAWN
from bridge.ledger.store import Store, store_of
from bridge.ledger.stores import NAME, StoreExistsError, find
from bridge.vault.encryption import Vault

REASON = "The store was removed."


def removed_name(store: Store) -> str:
    """The name of a store once it is removed: one that no store in use can have, nor a delivery URL."""
    return f"{store.name}.removed-{store.id}"


def removed_before(connection: Connection, name: str) -> Store | None:
    """The store that had this name until it was removed last; None while another has it."""
    if not NAME.fullmatch(name) or find(connection, name) is not None:
        return None
    was_called_so = stores.c.name.startswith(f"{name}.removed-", autoescape=True)
    query = select(stores).where(was_called_so, stores.c.removed_at.is_not(None))
    row = connection.execute(query.order_by(stores.c.removed_at.desc()).limit(1)).one_or_none()
    return store_of(row) if row else None


def remove(connection: Connection, store: Store, *, who: str, now: datetime) -> int:
    """Remove a store; returns how many documents were due and are withdrawn for good.

    Its secrets are erased, and its name is free. It has another one, under which everything that came in and
    was issued stays known. A request that is just under way comes to its end and is recorded.
    """
    # The orders first, as whoever records an outcome has it: the other way round, the two could wait for each
    # other. The new name then waits for whoever adds a row that refers to the store, and has others wait.
    connection.execute(
        select(orders.c.id)
        .where(orders.c.store_id == store.id, orders.c.decision != Decision.DONE)
        .order_by(orders.c.id)
        .with_for_update()
    ).all()
    version = connection.execute(
        update(stores)
        .where(stores.c.id == store.id)
        .values(
            name=removed_name(store),
            removed_at=now,
            api_token="",
            webhook_secret="",
            previous_webhook_secrets=None,
            webhook_secret_seen_at=None,
            config_error=None,
            paused_at=None,
            pause_reason=None,
            next_probe_at=None,
            failures=0,
            # Whoever decided on an order just now by what the store was: the sweep decides it anew.
            decision_version=stores.c.decision_version + 1,
            deciding_anew_since=now,
        )
        .returning(stores.c.decision_version)
    ).scalar_one()
    withdrawn = connection.execute(
        update(issuances)
        # In so many words, so that a plan for any values knows of the index of what is due.
        .where(issuances.c.store_id == store.id, issuances.c.state == literal_column(f"'{DUE}'"))
        .values(state=WITHDRAWN, withdrawn_by=who, next_attempt_at=None, settled_at=now)
    ).rowcount
    open_ones = [*Kind, Decision.WAIT]
    connection.execute(
        update(orders)
        .where(orders.c.store_id == store.id, orders.c.decision.in_([*open_ones, Decision.SKIP]))
        .values(decided_version=version)
    )
    connection.execute(
        update(orders)
        .where(orders.c.store_id == store.id, orders.c.decision.in_(open_ones))
        .values(decision=Decision.SKIP, reason=REASON, rule="removed", rule_since=now)
    )
    return withdrawn


def take_back(
    connection: Connection,
    store: Store,
    *,
    vault: Vault,
    name: str,
    organization_id: str,
    api_token: str,
    webhook_secret: str,
    now: datetime,
) -> None:
    """Take up a removed store again, under this name. Raises StoreExistsError, also if somebody else did.

    Its orders are decided anew. What was withdrawn as it was removed stays so.
    """
    if find(connection, name) is not None:
        raise StoreExistsError(name)
    taken = connection.execute(
        update(stores)
        .where(stores.c.id == store.id, stores.c.removed_at.is_not(None))
        .values(
            name=name,
            organization_id=organization_id,
            removed_at=None,
            api_token=vault.encrypt(api_token),
            webhook_secret=vault.encrypt(webhook_secret),
            config=None,
            config_fetched_at=None,
            config_tried_at=None,
            config_missing_since=None,
            inactive_since=None,
            inactive_after_delivery=None,
            refused_deliveries=0,
            last_refused_at=None,
            decision_version=stores.c.decision_version + 1,
            deciding_anew_since=now,
            last_ping_at=None,
        )
    )
    if taken.rowcount != 1:
        raise StoreExistsError(name)
