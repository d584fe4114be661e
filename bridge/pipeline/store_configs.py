"""Keeps each store's config as Space Invoices has it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import ceil

from sqlalchemy import Connection

from bridge.ledger import store_configs, stores
from bridge.ledger.stores import Store
from bridge.pipeline.context import Context
from bridge.spaceinvoices import SpaceInvoicesError
from bridge.vault import WrongKeyError

MISSING_FOR = timedelta(minutes=3)  # between the two answers without the object that are believed
ASK_AGAIN_AFTER = 240.0  # seconds after the first of them
RETRY_AFTER = 15.0  # seconds until a config that could not be fetched is asked for again
EARLIEST = 0.8  # of its time to live, at which a store's config may be fetched again
SET_BACK = timedelta(minutes=1)  # what lies further in the future was dated by a clock that was set back

# After a rest, all stores' configs are past their time to live, and not all are fetched in one burst.
SPREAD = timedelta(seconds=10)
LEAST_AT_ONCE = 20  # in that time; more if there are so many stores that it takes more to come round
MOST_CANDIDATES = 500  # that are looked at for it


def refresh_config(context: Context, store_id: int) -> None:
    """Fetch a store's config if the one in the ledger is older than its time to live.

    Does nothing if another process is at it.
    """
    with context.ledger.read() as connection:
        store = stores.get(connection, store_id)
    if not is_stale(context, store):
        return
    with context.ledger.write() as connection:
        if not store_configs.start_fetch(connection, store, context.now()):
            return
    fetch_config(context, store)


def fetch_config(context: Context, store: Store) -> SpaceInvoicesError | None:
    """Ask for a store's config and keep it. Returns what failed, if so; the old config then stays in use.

    A list without the object stops the store only if it is the second such answer, minutes after the first:
    a single one may be wrong, and would stop every order. Until then, the old config stays in use, too.
    """
    now = context.now()
    try:
        account = context.account(store)
        context.rate_limiter.wait(account.name, within=1.0)  # a slow account has this one request, too
        config = account.api.find_config(store.organization_id, store.woocommerce_id)
    except WrongKeyError as wrong_key:
        error = SpaceInvoicesError(str(wrong_key), permanent=True)
    except SpaceInvoicesError as failed:
        error = failed
        if failed.status == 429:
            context.rate_limiter.slow_down(account.name, retry_after=failed.retry_after)
    else:
        with context.ledger.write() as connection:
            if config is not None:
                store_configs.save(connection, store, config, now)
            elif _is_gone(store_configs.note_missing(connection, store, now), now):
                store_configs.save(connection, store, dict(store.config or {}) | {"_isDeleted": True}, now)
        return None
    with context.ledger.write() as connection:
        store_configs.save_error(connection, store.id, str(error))
    return error


def _is_gone(missing_since: datetime | None, now: datetime) -> bool:
    """Whether the object has been missing from answers that are far enough apart."""
    return missing_since is not None and now - missing_since >= MISSING_FOR


def is_stale(context: Context, store: Store) -> bool:
    """Whether it is time to ask for the config again; not at once where the last try has failed."""
    if store.removed_at is not None:
        return False
    if store.config_tried_at is None:
        return True
    now = context.now()
    if store.config_tried_at > now + SET_BACK:
        return True
    return now - store.config_tried_at >= _lasts(context, store)


def is_to_be_awaited(context: Context, store: Store) -> bool:
    """Whether the config is being fetched, and is too old to serve until that has ended.

    One that is just past its time to live serves: its flags may have changed at any moment before, too. One
    that has been resting for longer is waited for, since Space Invoices seems to be there.
    """
    if store.config_tried_at is None or store.config_error is not None:
        return False
    if store.config_missing_since is not None:
        return False  # the last answer was of no use, and the config of before it serves
    fetched_at = store.config_fetched_at
    if fetched_at is not None and fetched_at >= store.config_tried_at:
        return False
    now = context.now()
    seems_alive = timedelta(0) <= now - store.config_tried_at < timedelta(seconds=2 * context.api_timeout)
    is_old = fetched_at is None or now - fetched_at >= timedelta(seconds=2 * context.config_ttl)
    return seems_alive and is_old


def to_fetch(context: Context, connection: Connection) -> Sequence[int]:
    """Ids of stores whose config is to be fetched now, at such a rate that all have their turn in time."""
    now = context.now()
    a_turn = ceil(2 * stores.count(connection) * SPREAD.total_seconds() / context.config_ttl)
    under_way = store_configs.count_fetches(connection, after=now - SPREAD, until=now)
    limit = max(a_turn, LEAST_AT_ONCE) - under_way
    if limit <= 0:
        return []
    soonest = now - EARLIEST * timedelta(seconds=context.config_ttl)
    soonest_after_failure = now - EARLIEST * timedelta(seconds=min(context.config_ttl, RETRY_AFTER))
    candidates = store_configs.stale(
        connection,
        tried_before=soonest,
        failed_before=soonest_after_failure,
        or_after=now + SET_BACK,
        limit=MOST_CANDIDATES,
    )
    found = stores.get_each(connection, candidates)
    stale = [one for one in candidates if is_stale(context, found[one])]
    return stale[:limit]


def _lasts(context: Context, store: Store) -> timedelta:
    """How long a store's config is not asked for again: a little less than it may be, by the store's id.

    So the configs of stores that were added, or came back, together do not run out together.
    """
    wait = context.config_ttl
    if store.config_error is None and store.config_missing_since is not None:
        wait = min(wait, ASK_AGAIN_AFTER)
    elif store.config is None or store.config_error is not None:
        wait = min(wait, RETRY_AFTER)
    share = store.id * 0.6180339887498949 % 1  # the golden ratio: even, however many stores there are
    return timedelta(seconds=wait * (EARLIEST + (1 - EARLIEST) * share))
