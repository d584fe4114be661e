"""`python -m bench.comparing STEP`: a store is compared with a shop, as the duty does it.

`seed` connects the store and has the ledger know all orders of the shop, whose address and keys come as JSON
on standard input. `compare` compares all of them by content at the polite pace, and writes seconds, counts
and its peak memory.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert

from bridge.db import tables
from bridge.issuance import Details
from bridge.ledger import shops, stores
from bridge.ledger.order_details import written
from bridge.ledger.shops import NewShop
from bridge.pipeline.context import Context
from bridge.pipeline.reconcile import Reconciler
from bridge.pipeline.shop_round import client_of
from bridge.shop import Listed, Shop, ShopKeys, find_endpoint
from worker.runtime import runtime

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=1)


def seed(context: Context, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Connect the only store, and copy what the shop lists into the ledger."""
    keys = ShopKeys(given["key"], given["secret"])
    endpoint = find_endpoint(given["url"], keys, pause=0)
    new = NewShop(endpoint.url, endpoint.api, endpoint.login, True, 100, 0, *_both(keys))
    with context.ledger.write() as connection:
        (store,) = stores.every(connection)
        shops.connect(connection, context.vault, stores.lock(connection, store.id), new, context.now())
    count = 0
    with Shop(endpoint, keys, pause=0) as shop:
        for page in shop.created_since(LONG_AGO, context.now() + AHEAD):
            with context.ledger.write() as connection:
                connection.execute(insert(tables.deliveries), [_delivery(store.id, one) for one in page])
                ids = connection.execute(_newest(len(page))).scalars().all()
                rows = [_order(store.id, one, at) for one, at in zip(page, sorted(ids), strict=True)]
                connection.execute(insert(tables.orders), rows)
            count += len(page)
    return {"orders": count}


def compare(context: Context) -> Mapping[str, Any]:
    """Compare all orders by content."""
    with context.ledger.read() as connection:
        (store,) = stores.every(connection)
        row = shops.of_store(connection, store.id)
    if row is None:
        raise RuntimeError("the store is not connected: run the step `seed` first")
    began = time.perf_counter()
    with client_of(context, row) as client:
        reconciler = Reconciler(context, store, row, client)
        plan = reconciler.plan()
        done = reconciler.run(replace(plan, since=plan.until, created_since=LONG_AGO, with_trash=True))
    return {
        "seconds": time.perf_counter() - began,
        "compared": done.compared,
        "found": len(done.found),
        "mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _both(keys: ShopKeys) -> tuple[str, str]:
    return keys.consumer_key, keys.consumer_secret


def _delivery(store_id: int, one: Listed) -> Mapping[str, Any]:
    at = one.modified or LONG_AGO
    return {
        "store_id": store_id,
        "topic": "order.created",
        "digest": one.id.to_bytes(32, "big"),
        "body": b"",
        "resource_id": one.id,
        "is_deletion": False,
        "state": "processed",
        "received_at": at,
        "last_received_at": at,
    }


def _newest(number: int) -> Any:
    return (
        tables.deliveries.select()
        .with_only_columns(tables.deliveries.c.id)
        .order_by(tables.deliveries.c.id.desc())
        .limit(number)
    )


def _order(store_id: int, one: Listed, delivery_id: int) -> Mapping[str, Any]:
    return {
        "store_id": store_id,
        "resource_id": one.id,
        "order_key": f"wc_order_{one.id}",
        "delivery_id": delivery_id,
        "number": one.number,
        "status": one.status,
        "payment_method": "stripe",
        "total": one.total,
        "currency": one.currency,
        "modified": one.modified,
        "has_date_paid": True,
        "has_refunds": False,
        "details": written(Details(paid_back=one.refunded)),
        "decision": "done",
        "reason": "The order has its invoice.",
        "decided_version": 1,
    }


def main(arguments: Sequence[str]) -> None:
    """Do one step; its results are JSON on standard output."""
    context = runtime().context
    result = seed(context, json.load(sys.stdin)) if arguments == ["seed"] else compare(context)
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
