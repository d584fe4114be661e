"""A store over a ledger, with a sandbox in a thread of the test's process and a clock that the test sets."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy import Connection, select
from werkzeug.serving import make_server

from bridge.db import Ledger, tables
from bridge.issuance import StoreOptions, read_delivery
from bridge.ledger import attempts, deliveries, issuances, orders, stores
from bridge.ledger.insertion import insert
from bridge.ledger.issuances import Issuance, StartedAttempt
from bridge.ledger.stores import Store
from bridge.maintenance.duties import DUTIES
from bridge.pipeline.context import Context
from bridge.pipeline.dispatch import Dispatcher
from bridge.pipeline.pending_work import PendingWork
from bridge.pipeline.process import process_deliveries
from bridge.pipeline.receive import describe
from bridge.pipeline.store_configs import refresh_config
from bridge.sandbox import create_sandbox
from bridge.vault import Vault
from bridge.vault.encryption import make_key
from tests.support.recorded import load
from tests.support.servers import wait_until

ORGANIZATION, WOOCOMMERCE, TOKEN = "64b7e0c0a1b2c3d4e5f60718", "64b7e0c0a1b2c3d4e5f60719", "the-token"
CARD = {**load("life-of-a-store")[4].order(), "id": 1, "payment_method": "stripe", "date_paid": None}


@dataclass
class Clock:
    """A clock that the test sets."""

    at: datetime = datetime(2026, 11, 23, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def advance(self, **by: float) -> None:
        self.at += timedelta(**by)


class LongestWaits(Random):
    """Dice that always make the longest wait of a range."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


def maintain(context: Context) -> PendingWork:
    """Run each duty once, one after the other; returns what they found for the workers to do."""
    return PendingWork.of([duty.run(context) for duty in DUTIES])


@dataclass
class Shop:
    """A store, its clock, and what its sandbox has issued."""

    context: Context
    clock: Clock
    store_id: int
    sandbox: Any

    def receive(self, body: Mapping[str, Any], topic: str = "order.updated") -> int:
        """Record a delivery, as the receiver does, a second after the last one; return its id."""
        with self.context.ledger.write() as connection:
            return self.record(connection, body, topic)

    def record(self, connection: Connection, body: Mapping[str, Any], topic: str = "order.updated") -> int:
        """The same, in the caller's transaction."""
        self.clock.advance(seconds=1)
        return record(connection, self.store_id, body, topic, now=self.clock.now())

    def record_body(self, body: bytes, topic: str = "order.updated") -> int:
        """Record a delivery of the very bytes, now; return its id."""
        with self.context.ledger.write() as connection:
            return record_bytes(connection, self.store_id, body, topic, now=self.clock.now())

    def deliveries(self, resource_id: int) -> Sequence[deliveries.Delivery]:
        """All that was delivered on an order, oldest first."""
        with self.context.ledger.read() as connection:
            return deliveries.of_resource(connection, self.store_id, resource_id)

    def process(self, *delivery_ids: int) -> list[int]:
        """Process deliveries in this order; the issuances of the last one's order that are due then."""
        for delivery_id in delivery_ids:
            process_deliveries(self.context, [delivery_id])
        with self.context.ledger.read() as connection:
            delivery = deliveries.get(connection, delivery_ids[-1])
            assert delivery is not None
            known = orders.of_resource(connection, self.store_id, delivery.resource_id or 0)
            of_orders = [one for order in known for one in issuances.of_order(connection, order.id)]
        return [one.id for one in of_orders if one.state == "due"]

    def paid(self, number: int) -> int:
        """Receive and process one more order, of this number; the id of its invoice, which is due."""
        body = {**at(1, status="processing"), "id": number, "order_key": f"wc_order_{number}"}
        (invoice,) = self.process(self.receive(body))
        return invoice

    def claim(self, issuance_id: int, *, lease: float) -> StartedAttempt:
        """Begin to send an issuance, as a worker does that dies next; `lease` in seconds."""
        with self.context.ledger.write() as connection:
            return self.start_attempt(connection, issuance_id, lease=lease)

    def start_attempt(self, connection: Connection, issuance_id: int, *, lease: float) -> StartedAttempt:
        """The same, in the caller's transaction."""
        now = self.clock.now()
        issuance = issuances.get(connection, issuance_id)
        assert issuance is not None
        delivery_id = orders.lock(connection, issuance.order_id).delivery_id
        assert delivery_id is not None
        claim = attempts.Claim(issuance, delivery_id, total="1", currency="EUR")
        (attempt,) = attempts.start(
            connection, [claim], now=now, lease_ends_at=now + timedelta(seconds=lease)
        )
        return attempt

    def store(self) -> Store:
        with self.context.ledger.read() as connection:
            return stores.get(connection, self.store_id)

    def issuance(self, issuance_id: int) -> Issuance:
        with self.context.ledger.read() as connection:
            found = issuances.get(connection, issuance_id)
        assert found is not None
        return found

    def set_token(self, token: str) -> None:
        """Give the store another token, as an operator would."""
        with self.context.ledger.write() as connection:
            self.change_token(connection, token)

    def change_token(self, connection: Connection, token: str) -> None:
        """The same, in the caller's transaction."""
        connection.execute(
            tables.stores.update()
            .where(tables.stores.c.id == self.store_id)
            .values(api_token=self.context.vault.encrypt(token))
        )

    def order(self) -> orders.KnownOrder:
        with self.context.ledger.read() as connection:
            (known,) = orders.of_resource(connection, self.store_id, 1)
        return known

    def states(self) -> dict[str, str]:
        with self.context.ledger.read() as connection:
            return {one.kind: one.state for one in issuances.of_order(connection, self.order().id)}

    def documents(self) -> list[str]:
        answer = self.sandbox.test_client().get("/sandbox/documents").json
        return [document["kind"] for document in answer["documents"]]

    def issued_orders(self) -> list[int]:
        """The orders that got a document, in the order in which they got it."""
        answer = self.sandbox.test_client().get("/sandbox/documents").json
        return [document["orderId"] for document in answer["documents"]]

    def requests(self) -> int:
        counts: dict[str, int] = self.sandbox.test_client().get("/sandbox/documents").json["counts"]
        return counts["requests"]


@contextmanager
def dispatching(context: Context, *, threads: int = 4) -> Iterator[Dispatcher]:
    """A worker's sending threads."""
    dispatcher = Dispatcher(context, threads=threads)
    try:
        yield dispatcher
    finally:
        dispatcher.close()
        context.close()


def forward(context: Context, store_id: int, *, threads: int = 4) -> None:
    """Have what is due of a store issued, as a worker does that was woken for it."""
    context.forget(store_id)  # which a worker knows for a second
    with dispatching(context, threads=threads) as dispatcher:
        dispatcher.wake([store_id])
        wait_until(lambda: dispatcher.is_idle, "an idle dispatcher")


def forward_issuance(context: Context, issuance_id: int) -> None:
    """Have one document issued, if it is due, and no other of its store."""
    of = tables.issuances.c
    with context.ledger.write() as connection:
        issuance = issuances.get(connection, issuance_id)
        assert issuance is not None
        is_other = (of.store_id == issuance.store_id) & (of.state == issuances.DUE) & (of.id != issuance_id)
        others = connection.execute(select(of.id, of.next_attempt_at).where(is_other)).all()
        postponed = tables.issuances.update().where(is_other)
        connection.execute(postponed.values(next_attempt_at=context.now() + timedelta(hours=1)))
    if issuance.state == issuances.DUE:
        forward(context, issuance.store_id, threads=1)
    with context.ledger.write() as connection:
        for one in others:
            restored = tables.issuances.update().where(of.id == one.id, of.state == issuances.DUE)
            connection.execute(restored.values(next_attempt_at=one.next_attempt_at))


def record(
    connection: Connection, store_id: int, body: Mapping[str, Any], topic: str, *, now: datetime
) -> int:
    """Record a delivery for a store, as a receiver does that knows no address of its shop; return its id."""
    return record_bytes(connection, store_id, json.dumps(body).encode(), topic, now=now)


def record_bytes(
    connection: Connection, store_id: int, body: bytes, topic: str, source: str = "", *, now: datetime
) -> int:
    """The same, of the very bytes."""
    store = stores.get(connection, store_id)
    store = replace(store, options=replace(store.options, shop_urls=()))
    new = describe(store, topic, body, read_delivery(topic, body, source), now=now)
    insertion = insert(connection, new)
    assert insertion is not None
    return insertion.delivery_id


def at(second: int, **fields: Any) -> dict[str, Any]:
    """The order as of a second."""
    return {**CARD, "date_modified_gmt": f"2026-11-23T12:00:{second:02}", **fields}


@contextmanager
def open_shop(ledger: Ledger) -> Iterator[Shop]:
    """A shop with its config known."""
    vault = Vault([make_key()])
    sandbox = create_sandbox(
        organization_id=ORGANIZATION,
        token=TOKEN,
        woocommerces=[{"id": WOOCOMMERCE, "name": "Shop"}],
        rate_limit=10_000,
    )
    server = make_server("127.0.0.1", 0, sandbox, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    clock = Clock()
    context = Context(
        ledger=ledger,
        vault=vault,
        api_url=f"http://127.0.0.1:{server.port}/v1",
        api_timeout=5,
        config_ttl=10_000_000,
        now=clock.now,
        patience=20,  # tests hold up on purpose what is to be written together
    )
    with ledger.write() as connection:
        store_id = stores.add(
            connection,
            vault=vault,
            name="shop",
            organization_id=ORGANIZATION,
            woocommerce_id=WOOCOMMERCE,
            api_token=TOKEN,
            webhook_secret="s3cr3t",
            options=StoreOptions(),
            now=clock.now(),
        )
    refresh_config(context, store_id)
    try:
        yield Shop(context, clock, store_id, sandbox)
    finally:
        context.close()
        server.shutdown()
        thread.join()
        server.server_close()
