"""What an operator does to stores: a function for each action, which can be repeated, and is recorded.

Each is a part of its caller's transaction, which has locked the store. An action that changes nothing is not
recorded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from bridge.admin import RefusedError, store_options, store_removal
from bridge.issuance import StoreOptions
from bridge.ledger import (
    actions,
    kept_deliveries,
    shop_webhooks,
    store_configs,
    store_pauses,
    store_secrets,
    stores,
    workload,
)
from bridge.ledger.actions import Action
from bridge.ledger.stores import Store, StoreExistsError
from bridge.pipeline.context import Context
from bridge.pipeline.store_configs import fetch_config
from bridge.spaceinvoices import SpaceInvoicesError
from bridge.vault import Vault


class WoocommerceTakenError(RefusedError):
    """The orders of another store go to this Woocommerce object."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The orders of store {name} go to this Woocommerce object already. An order delivered to both "
            "stores would be issued twice: give each store an object of its own in Space Invoices."
        )


@dataclass(frozen=True, slots=True)
class NewStore:
    """A store to be added. The secrets are in clear."""

    name: str
    organization_id: str
    woocommerce_id: str
    api_token: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    options: StoreOptions


@dataclass(frozen=True, slots=True)
class Fetched:
    """A Woocommerce object, and when the request for it began."""

    config: Mapping[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True)
class NotListed:
    """Space Invoices has not listed the store's object since then; that is not confirmed yet."""

    since: datetime


@dataclass(frozen=True, slots=True)
class Changed:
    """What was changed, a line for each, and how many orders are decided again for it."""

    lines: Sequence[str] = ()
    decided_anew: int = 0


def add(
    connection: Connection, vault: Vault, new: NewStore, fetched: Fetched | None, *, who: str, now: datetime
) -> bool:
    """Add a store, with its config if that is known. Returns whether it is a store that had been removed.

    A removed store whose orders went to the same Woocommerce object is taken back under any name: what it
    issued must be known, or it would be issued again. Raises StoreExistsError, and WoocommerceTakenError,
    since an order that is delivered to two stores would be issued twice.
    """
    _require_free(connection, new)
    before = stores.of_woocommerce(connection, new.woocommerce_id, removed=True)
    try:
        store_id = _insert_or_take_back(connection, vault, new, before, now)
    except StoreExistsError:
        _require_free(connection, new)  # another transaction has just added one
        raise
    store = stores.lock(connection, store_id)
    if fetched is not None:
        store_configs.save(connection, store, fetched.config, fetched.at)
    was = "" if before is None else f", and was {before.name}"
    _record(connection, store, "add", f"for Woocommerce object {new.woocommerce_id}{was}", who, now)
    return before is not None


def _require_free(connection: Connection, new: NewStore) -> None:
    other = stores.of_woocommerce(connection, new.woocommerce_id, removed=False)
    if other is not None and other.name != new.name:
        raise WoocommerceTakenError(other.name)


def _insert_or_take_back(
    connection: Connection, vault: Vault, new: NewStore, before: Store | None, now: datetime
) -> int:
    """The id of the store that is added, or of the removed store `before` that is taken back."""
    if before is None:
        return stores.add(
            connection,
            vault=vault,
            name=new.name,
            organization_id=new.organization_id,
            woocommerce_id=new.woocommerce_id,
            api_token=new.api_token,
            webhook_secret=new.webhook_secret,
            options=new.options,
            now=now,
        )
    store_removal.take_back(
        connection,
        before,
        vault=vault,
        name=new.name,
        organization_id=new.organization_id,
        api_token=new.api_token,
        webhook_secret=new.webhook_secret,
        now=now,
    )
    stores.set_options(connection, before, new.options, now)
    return before.id


def set_options(
    connection: Connection, store: Store, values: Mapping[str, object], *, who: str, now: datetime
) -> Changed:
    """Change a store's options, by name, to values as JSON has them; raises OptionError."""
    options = store_options.with_values(store.options, values)
    lines = store_options.changes(store.options, options)
    if not lines:
        return Changed()
    if options.shop_urls != store.options.shop_urls:
        kept_deliveries.release(connection, store.id, options.shop_urls)
    decided_anew = 0
    if stores.set_options(connection, store, options, now):
        decided_anew = workload.count_to_redecide(connection, stores.get(connection, store.id))
    _record(connection, store, "set", "; ".join(lines), who, now)
    return Changed(lines, decided_anew)


def pause(connection: Connection, store: Store, *, why: str | None, who: str, now: datetime) -> bool:
    """Stop forwarding until an operator resumes the store; False if it is paused so already."""
    reason = f"paused by {who}" if why is None else f"paused by {who}: {why}"
    if store.is_paused_by_operator and (why is None or store.pause_reason == reason):
        return False
    store_pauses.pause(connection, store.id, reason=reason, now=now, next_probe_at=None)
    _record(connection, store, "pause", why or "", who, now)
    return True


def resume(connection: Connection, store: Store, *, who: str, now: datetime) -> bool:
    """Forward again. The pause does not count in the time of retries. False if the store was not paused."""
    if store.paused_at is None:
        return False
    store_pauses.resume(connection, store.id, now, by_operator=True)
    _record(connection, store, "resume", f"was {store.pause_reason}", who, now)
    return True


def remove(connection: Connection, store: Store, *, who: str, now: datetime) -> int:
    """Remove a store; returns how many documents were due and are not issued."""
    withdrawn = store_removal.remove(connection, store, who=who, now=now)
    result = f"is {store_removal.removed_name(store)}; documents that were due: {withdrawn}"
    _record(connection, store, "remove", result, who, now)
    return withdrawn


def rotate_secret(
    connection: Connection,
    vault: Vault,
    store: Store,
    secret: str | None,
    *,
    keep_previous: bool,
    who: str,
    now: datetime,
) -> bool:
    """Expect another webhook secret. Those before it are accepted for a while if they are kept, else ended.

    Without a secret, or with the current one, only those before it are ended. False if nothing had to be
    changed. Raises TooManySecretsError.
    """
    if secret is None or store_secrets.is_webhook_secret(store, vault, secret):
        if keep_previous or not store_secrets.end_previous(connection, store):
            return False
        result = "the ones before are good no more"
    else:
        store_secrets.rotate_webhook_secret(
            connection, store, vault, secret, keep_previous=keep_previous, now=now
        )
        shop_webhooks.forget_secrets(connection, store.id)
        result = "the one before stays good" if keep_previous else "the one before is good no more"
    _record(connection, store, "rotate-secret", result, who, now)
    return True


def set_token(
    connection: Connection,
    vault: Vault,
    store: Store,
    token: str,
    fetched: Fetched | None,
    *,
    who: str,
    now: datetime,
) -> bool:
    """Use this token, and the config that was fetched with it. False if it is the store's token already.

    A store that is probed is probed at once if the token is new, or was just checked.
    """
    is_new = not store_secrets.is_token(store, vault, token)
    if is_new:
        store_secrets.replace_token(connection, store, vault, token)
        _record(connection, store, "set-token", "", who, now)
    if fetched is not None:
        store_configs.save(connection, store, fetched.config, fetched.at)
    if is_new or fetched is not None:
        store_pauses.probe_now(connection, store.id, now)
    return is_new


def sync(context: Context, store: Store) -> Changed | NotListed | SpaceInvoicesError:
    """Fetch a store's config now, in its own transactions; returns what changed in it, or the error."""
    error = fetch_config(context, store)
    if error is not None:
        return error
    with context.ledger.read() as connection:
        after = stores.get(connection, store.id)
        if after.config_missing_since is not None and not after.is_gone:
            return NotListed(after.config_missing_since)
        decided_anew = 0
        if after.decision_version != store.decision_version:
            decided_anew = workload.count_to_redecide(connection, after)
    return Changed(config_changes(store.config or {}, after.config or {}), decided_anew)


def config_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Sequence[str]:
    """What differs between two states of a Woocommerce object, a line for each property."""
    names = [name for name in {**before, **after} if name != "updatedAt"]
    return [
        f"{name}: {_json(before, name)} -> {_json(after, name)}"
        for name in names
        if before.get(name) != after.get(name)
    ]


def _json(config: Mapping[str, Any], name: str) -> str:
    return json.dumps(config[name], ensure_ascii=False) if name in config else "nothing"


def _record(connection: Connection, store: Store, verb: str, result: str, who: str, now: datetime) -> None:
    actions.record(connection, Action(now, who, verb, result, None, None, store_id=store.id))
