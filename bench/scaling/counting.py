"""`python -m bench.scaling.counting`: counts what needs no load: deliveries, documents and bytes an order.

The recorded deliveries of one shop go through the bridge's own code, once for each of many stores, into both
kinds of ledger. In place of Space Invoices, every order is answered 200 at once.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import structlog
from sqlalchemy import Connection, func, select, text

from bridge.db import Ledger
from bridge.db.tables import metadata
from bridge.issuance import About, NotAnOrder, StoreOptions, read_delivery
from bridge.ledger import orders, store_configs, stores
from bridge.pipeline.claim import Quota, claim
from bridge.pipeline.complete import Completed, record
from bridge.pipeline.context import Context
from bridge.pipeline.process import process_deliveries
from bridge.pipeline.receive import DeliveryRecorder
from bridge.spaceinvoices import Effect, Outcome
from bridge.vault import Vault
from bridge.vault.encryption import make_key
from tests.support.recorded import Recorded, load
from tests.support.servers import PostgresServer

TABLES = ("deliveries", "orders", "issuances", "attempts")
CONFIG = {
    "name": "Shop",
    "active": True,
    "sendInvoiceAutomatically": False,
    "sendEstimateAutomatically": False,
}
ISSUED = Outcome(Effect.ISSUED, "Space Invoices answered 200", status=200, excerpt="{}")


@click.command()
@click.option("--stores", "count", default=250, show_default=True, type=click.IntRange(1))
def main(count: int) -> None:
    """Print what was counted as JSON. With 250 stores, 20,000 deliveries."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    sent = [one for one in load("life-of-a-store") if not one.is_ping]
    known = {about.resource_id for about in map(_about, sent) if not isinstance(about, NotAnOrder)}
    found: dict[str, object] = {"deliveries sent": len(sent) * count, "orders": len(known) * count}
    with tempfile.TemporaryDirectory(prefix="spacebridge-counting-") as folder:
        file = Path(folder) / "ledger.db"
        with _filled(f"sqlite:///{file}", sent, count) as connection:
            found |= {f"rows: {name}": _rows(connection, name) for name in TABLES}
            bodies = select(func.sum(func.length(metadata.tables["deliveries"].c.body)))
            found["bytes of bodies, compressed"] = connection.execute(bodies).scalar_one()
            found["bytes in SQLite"] = {name: _bytes_in_sqlite(connection, name) for name in TABLES}
    with PostgresServer(synchronous_commit="off") as server, _filled(server.url, sent, count) as connection:
        found["bytes in PostgreSQL"] = {
            name: connection.execute(
                text("SELECT pg_total_relation_size(CAST(:name AS text))"), {"name": name}
            ).scalar_one()
            for name in TABLES
        }
    click.echo(json.dumps(found, indent=2))


@contextmanager
def _filled(url: str, sent: Sequence[Recorded], count: int) -> Iterator[Connection]:
    """A new ledger in which so many stores have received it all, and all that is due was issued."""
    ledger = Ledger(url)
    ledger.upgrade()
    now = datetime.now(UTC)
    clock = iter(range(10**9))
    context = Context(
        ledger,
        Vault([make_key()]),
        api_url="",
        api_timeout=30,
        config_ttl=300,
        now=lambda: now + timedelta(milliseconds=next(clock)),
    )
    for number in range(count):
        store_id = _add_store(context, f"shop-{number}")
        for one in sent:
            _receive(context, store_id, one)
    try:
        with ledger.read() as connection:
            yield connection
    finally:
        ledger.close()


def _add_store(context: Context, name: str) -> int:
    with context.ledger.write() as connection:
        store_id = stores.add(
            connection,
            vault=context.vault,
            name=name,
            organization_id="64b7e0c0a1b2c3d4e5f60718",
            woocommerce_id=f"the one of {name}",
            api_token="token",  # noqa: S106 - nobody is asked with it
            webhook_secret="secret",  # noqa: S106
            options=StoreOptions(),
            now=context.now(),
        )
        store_configs.save(connection, stores.get(connection, store_id), CONFIG, context.now())
    return store_id


def _receive(context: Context, store_id: int, one: Recorded) -> None:
    """What the receiver does with a delivery, and the worker after it."""
    published: list[int] = []
    recorder = DeliveryRecorder(context.ledger, publish=published.append, now=context.now)
    with context.ledger.read() as connection:
        store = stores.get(connection, store_id)
    recorder.record(store, one.topic, one.body)
    if published and process_deliveries(context, published).due_stores:
        _issue_what_is_due(context, store_id)


def _issue_what_is_due(context: Context, store_id: int) -> None:
    with context.ledger.read() as connection:
        store = stores.get(connection, store_id)
    for claimed in claim(context, [Quota(store, limit=10)]):
        with context.ledger.write() as connection:
            locked = orders.lock_free(connection, [claimed.attempt.order_id])
            record(context, connection, [Completed(claimed.attempt, ISSUED, duration=0.1)], locked)


def _about(one: Recorded) -> About:
    return read_delivery(one.topic, one.body)


def _rows(connection: Connection, table: str) -> int:
    found: int = connection.execute(select(func.count()).select_from(metadata.tables[table])).scalar_one()
    return found


def _bytes_in_sqlite(connection: Connection, table: str) -> int:
    """Of the table's pages and those of its indexes."""
    query = (
        "SELECT sum(pgsize) FROM dbstat WHERE aggregate = TRUE"
        " AND name IN (SELECT name FROM sqlite_schema WHERE tbl_name = :table)"
    )
    found: int = connection.execute(text(query), {"table": table}).scalar_one()
    return found


if __name__ == "__main__":
    main()
