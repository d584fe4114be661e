"""Removes stores, and takes them back: what they issued stays known, so that nothing is issued twice."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, literal_column, select, update

from bridge.db.tables import issuances, orders, stores
from bridge.issuance import Decision, Kind
from bridge.ledger import shops
from bridge.ledger.issuances import DUE, WITHDRAWN
from bridge.ledger.store import Store, store_of, update_store
from bridge.ledger.stores import NAME, StoreExistsError, find, get, start_redeciding
from bridge.vault.encryption import Vault

REASON = "The store was removed."


def removed_name(store: Store) -> str:
    """The name of a store after it is removed. No store in use can have it, and no delivery URL."""
    return f"{store.name}.removed-{store.id}"


def removed_before(connection: Connection, name: str) -> Store | None:
    """The store that had this name until it was removed last; None while another has it."""
    if not NAME.fullmatch(name) or find(connection, name) is not None:
        return None
    has_such_a_name = stores.c.name.startswith(f"{name}.removed-", autoescape=True)
    query = select(stores).where(has_such_a_name, stores.c.removed_at.is_not(None))
    row = connection.execute(query.order_by(stores.c.removed_at.desc()).limit(1)).one_or_none()
    return store_of(row) if row else None


def remove(connection: Connection, store: Store, *, who: str, now: datetime) -> int:
    """Remove a store; returns how many documents were due and are withdrawn for good.

    Erases its secrets, and frees its name. It has another name then, under which everything that came in and
    was issued stays known. A request that is under way comes to its end and is recorded.
    """
    # The orders first, as where outcomes are recorded: otherwise, the two could wait for each other. The new
    # name then waits for a transaction that adds a row of the store, and makes others wait.
    connection.execute(
        select(orders.c.id)
        .where(orders.c.store_id == store.id, orders.c.decision != Decision.DONE)
        .order_by(orders.c.id)
        .with_for_update()
    ).all()
    update_store(
        connection,
        store.id,
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
    )
    shops.disconnect(connection, store.id)
    # A worker may just have decided on an order by what the store was: the sweep decides it again.
    start_redeciding(connection, store.id, now)
    version = get(connection, store.id).decision_version
    withdrawn = connection.execute(
        update(issuances)
        # A literal, so that a generic plan can use the partial index of what is due.
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
    """Use a removed store again, under this name; raises StoreExistsError, also if another call just did.

    Its orders are decided again. What was withdrawn when it was removed stays withdrawn.
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
            last_ping_at=None,
        )
    )
    if taken.rowcount != 1:
        raise StoreExistsError(name)
    start_redeciding(connection, store.id, now)
