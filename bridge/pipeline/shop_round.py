"""One round of a connected shop: its webhooks are looked at, its orders compared, the next round is set."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from bridge.ledger import absences, shops, stores
from bridge.ledger.shops import Shop as ShopRow
from bridge.pipeline import shop_webhooks
from bridge.pipeline.context import Context
from bridge.pipeline.reconcile import Comparison, Plan, Reconciler, Report
from bridge.shop import AnswerError, BusyError, Endpoint, KeyRefusedError, Login, Shop, ShopError, ShopKeys
from bridge.vault import WrongKeyError

# With the jitter, at most ten minutes from one round to the next.
ROUND_EVERY, JITTER = timedelta(minutes=9), 50.0  # seconds
SOON = timedelta(seconds=10)
ABSENT_SOON = timedelta(minutes=1)  # after an absence, which a round that begins later settles
KEY_REFUSED_TWICE = timedelta(days=1)  # until a key that was refused twice in a row is tried again

log = structlog.get_logger(__name__)


class NotConnectedError(Exception):
    """The store's shop is not connected, or not any more."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a round by hand is to cover: modified, and with `is_full` created, since then; all trash."""

    since: datetime | None = None
    is_full: bool = False
    is_rehearsal: bool = False


def client_of(context: Context, shop: ShopRow) -> Shop:
    """A client of the shop; raises WrongKeyError."""
    key, secret = shop.keys(context.vault)
    endpoint = Endpoint(shop.url, shop.api, Login(shop.login))
    return Shop(endpoint, ShopKeys(key, secret), page_size=shop.page_size)


def run_round(
    context: Context,
    store_id: int,
    *,
    request: Request | None = None,
    report: Report = lambda _comparison, _share: None,
) -> Comparison:
    """Do a round of a shop whose lease the caller holds, and release the lease.

    An error is kept with the shop, and raised: NotConnectedError, ShopError, WrongKeyError,
    LedgerUnavailableError. That orders are listed and not shown is kept, and not raised. Nothing waits for a
    shop: neither the receiver nor what is due.
    """
    request = request or Request()
    retry_after: timedelta | None = None
    try:
        comparison = _round(context, store_id, request, report)
    except (ShopError, WrongKeyError) as error:
        shop = _note_error(context, store_id, error)
        if shop is not None and shop.refusals >= 2:
            retry_after = KEY_REFUSED_TWICE
        elif isinstance(error, BusyError) and error.retry_after is not None:
            retry_after = timedelta(seconds=error.retry_after)
        _release(context, store_id, max(retry_after or ROUND_EVERY, ROUND_EVERY))
        raise
    except BaseException:  # somebody may have typed Ctrl-C
        _release(context, store_id, ROUND_EVERY)
        raise
    _release(context, store_id, ROUND_EVERY)
    return comparison


def _round(context: Context, store_id: int, request: Request, report: Report) -> Comparison:
    store, shop = _read(context, store_id)
    client = client_of(context, shop)
    try:
        untold_until = None
        if not request.is_rehearsal:
            untold_until = _watch_webhooks(context, store, shop, client)
            store, shop = _read(context, store_id)  # it may have asked for more
        reconciler = Reconciler(
            context, store, shop, client, is_rehearsal=request.is_rehearsal, report=report
        )
        comparison = reconciler.run(_widened(reconciler.plan(untold_until), request))
    finally:
        client.close()
    if request.is_rehearsal:
        return comparison
    if comparison.broken:
        orders = ", ".join(map(str, comparison.broken[:5]))
        _note_error(context, store_id, AnswerError(f"{client.host} lists orders and does not show {orders}."))
    else:
        with context.ledger.write() as connection:
            shops.note_success(connection, store_id)
    return comparison


def _note_error(context: Context, store_id: int, error: Exception) -> ShopRow | None:
    """Keep an error with the shop, which is returned as it is then."""
    with context.ledger.write() as connection:
        shops.note_error(
            connection,
            store_id,
            error=str(error),
            kind=type(error).__name__,
            is_refusal=isinstance(error, KeyRefusedError),
            now=context.now(),
        )
        return shops.of_store(connection, store_id)


def _watch_webhooks(context: Context, store: stores.Store, shop: ShopRow, client: Shop) -> datetime | None:
    """Look at the webhooks, and mend them. Returns until when, by the shop's clock, they were all off."""
    clock, began_at = client.clock, context.now()
    webhooks = shop_webhooks.watch(context, store, shop, client, public_url=context.public_url)
    of_orders = [webhooks.get(topic) for topic in ("order.created", "order.updated")]
    were_off = all(one is not None and any(at >= began_at for at in one.remade) for one in of_orders)
    return clock if were_off else None


def _widened(plan: Plan, request: Request) -> Plan:
    if request.since is not None:
        plan = replace(plan, since=min(plan.since, request.since))
    if request.is_full:
        kinds = [*plan.kinds, *({"content", "trash"} - set(plan.kinds))]
        created_since = request.since or plan.created_since or plan.since
        plan = replace(plan, created_since=created_since, with_trash=True, kinds=kinds)
    return plan


def _read(context: Context, store_id: int) -> tuple[stores.Store, ShopRow]:
    with context.ledger.read() as connection:
        shop = shops.of_store(connection, store_id)
        if shop is None:
            raise NotConnectedError
        return stores.get(connection, store_id), shop


def _release(context: Context, store_id: int, after: timedelta) -> None:
    """End the lease. What was asked for meanwhile comes soon, and so does an absence that is not over yet."""
    now = context.now()
    with context.ledger.write() as connection:
        shop = shops.of_store(connection, store_id)
        if shop is None:
            return
        if shop.error is None and absences.unsettled(connection, store_id):
            after = ABSENT_SOON
        elif shop.error is None and shop.compare_from is not None:
            after = SOON
        jitter = timedelta(seconds=context.random.uniform(0, JITTER)) if after >= ROUND_EVERY else timedelta()
        shops.release(connection, store_id, now + after + jitter)


def take_lease(context: Context, *, limit: int = 1, store_id: int | None = None) -> Collection[int]:
    """Take the leases of shops that are due, or that of this store's; the ids of those that were free."""
    with context.ledger.write() as connection:
        return shops.take_due(connection, context.now(), limit=limit, store_id=store_id)
