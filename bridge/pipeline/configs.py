"""Keeps each store's config as Space Invoices has it."""

from __future__ import annotations

from datetime import timedelta

from bridge.ledger import WrongKeyError, stores
from bridge.ledger.stores import Store
from bridge.pipeline.context import Context
from bridge.spaceinvoices import SpaceInvoicesError

RETRY_AFTER = 15.0  # seconds until a config that could not be fetched is asked for again


def refresh_config(context: Context, store_id: int) -> None:
    """Fetch a store's config if the one in the ledger is older than its time to live.

    Does nothing if another process is at it.
    """
    with context.ledger.read() as connection:
        store = stores.get(connection, store_id)
    if not is_stale(context, store):
        return
    with context.ledger.write() as connection:
        if not stores.start_config_fetch(connection, store, context.now()):
            return
    fetch_config(context, store)


def fetch_config(context: Context, store: Store) -> SpaceInvoicesError | None:
    """Ask for a store's config and keep it. Returns what failed, if so; the old config then stays in use.

    An answer that the config is gone stops the store.
    """
    now = context.now()
    try:
        account = context.account(store)
        context.pace.wait(account.name, within=1.0)  # a slow account has this one request, too
        found = account.api.find_woocommerces(store.organization_id, where={"id": store.woocommerce_id})
    except WrongKeyError as wrong_key:
        error = SpaceInvoicesError(str(wrong_key), permanent=True)
    except SpaceInvoicesError as failed:
        error = failed
        if failed.status == 429:
            context.pace.slow_down(account.name, retry_after=failed.retry_after)
    else:
        config = next((one for one in found if one.get("id") == store.woocommerce_id), None)
        if config is None:
            config = dict(store.config or {}) | {"_isDeleted": True}
        with context.ledger.write() as connection:
            stores.save_config(connection, store, config, now)
        return None
    with context.ledger.write() as connection:
        stores.save_config_error(connection, store.id, str(error))
    return error


def is_stale(context: Context, store: Store) -> bool:
    """Whether it is time to ask for the config again; not at once where the last try has failed."""
    if store.config_tried_at is None:
        return True
    if store.config_tried_at > context.now() + timedelta(minutes=1):
        return True  # by a clock that has been set back since
    wait = context.config_ttl
    if store.config is None or store.config_error is not None:
        wait = min(wait, RETRY_AFTER)
    return context.now() - store.config_tried_at >= timedelta(seconds=wait)


def is_being_fetched(context: Context, store: Store) -> bool:
    """Whether a fetch is under way, and its process seems to be alive."""
    if store.config_tried_at is None or store.config_error is not None:
        return False
    if store.config_fetched_at is not None and store.config_fetched_at >= store.config_tried_at:
        return False
    age = context.now() - store.config_tried_at
    return timedelta(0) <= age < timedelta(seconds=2 * context.api_timeout)
