"""The pipeline's steps on both databases: in any order, several at once, and with an API that misbehaves."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from werkzeug.serving import make_server

from bridge.issuance import Policy, content_digest, read_delivery
from bridge.issuance.order import Deletion
from bridge.ledger import Ledger, Vault, deliveries, issuances, orders, stores, tables
from bridge.ledger.vault import make_key
from bridge.pipeline import Context, forward_issuance, process_delivery, refresh_config, sweep
from bridge.sandbox import create_sandbox
from tests.recorded import load

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


@dataclass
class Shop:
    """A store over a ledger, with a sandbox in a thread of this process."""

    context: Context
    clock: Clock
    store_id: int
    sandbox: Any

    def receive(self, body: Mapping[str, Any], topic: str = "order.updated") -> int:
        """Record a delivery, as the receiver does, a second after the last one; return its id."""
        self.clock.advance(seconds=1)
        raw = json.dumps(body).encode()
        about = read_delivery(topic, raw)
        with self.context.ledger.write() as connection:
            return deliveries.record(
                connection,
                store_id=self.store_id,
                topic=topic,
                digest=content_digest(topic, raw),
                body=raw,
                resource_id=about.resource_id,
                is_deletion=isinstance(about, Deletion),
                ignored_because=None,
                now=self.clock.now(),
            ).delivery_id

    def process(self, *delivery_ids: int) -> list[int]:
        """Process deliveries in this order; the issuances that are due after the last one."""
        due: list[int] = []
        for delivery_id in delivery_ids:
            due = list(process_delivery(self.context, delivery_id).issuances)
        return due

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

    def requests(self) -> int:
        counts: dict[str, int] = self.sandbox.test_client().get("/sandbox/documents").json["counts"]
        return counts["requests"]


@pytest.fixture
def vault() -> Vault:
    return Vault([make_key()])


@pytest.fixture
def shop(ledger: Ledger, vault: Vault) -> Iterator[Shop]:
    sandbox = create_sandbox(
        organization_id=ORGANIZATION,
        token=TOKEN,
        woocommerces=[{"id": WOOCOMMERCE, "name": "Shop"}],
        rate_limit=10_000,
    )
    server = make_server("127.0.0.1", 0, sandbox, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    clock = Clock()
    context = Context(
        ledger=ledger,
        vault=vault,
        api_url=f"http://127.0.0.1:{server.port}/v1",
        api_timeout=5,
        config_ttl=10_000_000,
        now=clock.now,
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
            policy=Policy(),
            now=clock.now(),
        )
    refresh_config(context, store_id)
    yield Shop(context, clock, store_id, sandbox)
    with ledger.read() as connection:
        context.account(stores.get(connection, store_id)).close()
    server.shutdown()
    thread.join()
    server.server_close()


def at(second: int, **fields: Any) -> dict[str, Any]:
    """The order as of a second."""
    return {**CARD, "date_modified_gmt": f"2026-11-23T12:00:{second:02}", **fields}


def test_an_order_that_was_restored_is_not_deleted_whichever_delivery_is_processed_first(shop: Shop) -> None:
    created = shop.receive(at(1, status="processing"))
    trashed = shop.receive({"id": 1}, "order.deleted")
    restored = shop.receive(at(9, status="processing"))
    assert len(shop.process(created, restored, trashed)) == 0  # the deletion has been processed on the way
    assert (shop.order().deleted_at, shop.order().decision) == (None, "invoice")


def test_an_order_that_was_trashed_again_by_the_same_body_is_deleted(shop: Shop) -> None:
    shop.process(shop.receive(at(1, status="processing")))
    shop.process(shop.receive({"id": 1}, "order.deleted"))
    shop.process(shop.receive(at(9, status="processing")))
    assert shop.states() == {"invoice": "due"}
    shop.process(shop.receive({"id": 1}, "order.deleted"))
    assert (shop.order().decision, shop.states()) == ("skip", {"invoice": "withdrawn"})


def test_a_deletion_that_is_processed_before_the_order_it_followed_still_counts(shop: Shop) -> None:
    created = shop.receive(at(1, status="processing"))
    trashed = shop.receive({"id": 1}, "order.deleted")
    assert shop.process(trashed, created) == []
    assert shop.order().decision == "skip"


def test_replaying_an_old_deletion_does_not_delete_a_restored_order(shop: Shop) -> None:
    trashed = shop.receive({"id": 1}, "order.deleted")
    shop.process(trashed, shop.receive(at(9, status="processing")))
    with shop.context.ledger.write() as connection:
        assert deliveries.replay(connection, trashed)
    shop.process(trashed)
    assert shop.order().decision == "invoice"


def test_of_two_level_snapshots_of_one_second_the_one_that_arrived_last_counts(shop: Shop) -> None:
    first = shop.receive(at(1, status="processing", total="10.00"))
    second = shop.receive(at(1, status="processing", total="20.00"))
    shop.process(second, first)
    snapshot = shop.order().snapshot
    assert snapshot is not None
    assert snapshot.total == "20.00"


def test_an_order_whose_issuance_is_stuck_is_decided_anew_when_the_rules_change(shop: Shop) -> None:
    (estimate,) = shop.process(shop.receive(at(1, status="on-hold", payment_method="bacs")))
    with shop.context.ledger.write() as connection:
        issuance = issuances.get(connection, estimate)
        delivery_id = shop.order().delivery_id
        assert issuance is not None
        assert delivery_id is not None
        attempt = issuances.start_attempt(
            connection,
            issuance,
            delivery_id=delivery_id,
            total="1",
            currency="EUR",
            now=shop.clock.now(),
            lease_ends_at=shop.clock.now(),
        )
        assert attempt is not None
        issuances.mark_failed(connection, attempt, error="refused", now=shop.clock.now())
        config = {"id": WOOCOMMERCE, "name": "Shop", "issueInvoiceForBankPayment": True}
        stores.save_config(connection, stores.get(connection, shop.store_id), config, shop.clock.now())
    sweep(shop.context)
    assert shop.states() == {"estimate": "failed", "invoice": "due"}


def test_an_issuance_that_eight_workers_forward_at_once_is_sent_once(shop: Shop) -> None:
    (invoice,) = shop.process(shop.receive(at(1, status="processing")))
    before = shop.requests()
    with ThreadPoolExecutor(8) as workers:
        list(workers.map(lambda _: forward_issuance(shop.context, invoice), range(24)))
    assert (shop.documents(), shop.requests() - before) == (["invoice"], 1)
    assert shop.states() == {"invoice": "issued"}


def test_a_delivery_that_eight_workers_process_at_once_makes_one_issuance(shop: Shop) -> None:
    received = [shop.receive(at(second, status="processing")) for second in range(1, 9)]
    with ThreadPoolExecutor(8) as workers:
        list(workers.map(lambda one: process_delivery(shop.context, one), received * 3))
    assert shop.states() == {"invoice": "due"}
    with shop.context.ledger.read() as connection:
        assert {one.state for one in deliveries.listed(connection)} == {"processed"}
    assert shop.order().delivery_id == received[-1]


def test_a_worker_that_died_while_sending_leaves_held_when_its_lease_has_ended(shop: Shop) -> None:
    (invoice,) = shop.process(shop.receive(at(1, status="processing")))
    with shop.context.ledger.write() as connection:
        issuance = issuances.get(connection, invoice)
        assert issuance is not None
        issuances.start_attempt(
            connection,
            issuance,
            delivery_id=shop.order().delivery_id or 0,
            total="1",
            currency="EUR",
            now=shop.clock.now(),
            lease_ends_at=shop.clock.now() + timedelta(seconds=40),
        )
    shop.clock.advance(seconds=39)
    assert list(sweep(shop.context).issuances) == []
    assert shop.states() == {"invoice": "sending"}
    shop.clock.advance(seconds=2)
    assert list(sweep(shop.context).issuances) == []
    assert (shop.states(), shop.order().decision) == ({"invoice": "held"}, "attention")
    shop.clock.advance(days=30)
    assert list(sweep(shop.context).issuances) == []
    forward_issuance(shop.context, invoice)
    assert shop.documents() == []


def test_an_order_that_died_before_it_was_sent_is_withdrawn_and_comes_back_with_it(shop: Shop) -> None:
    (invoice,) = shop.process(shop.receive(at(1, status="processing")))
    assert shop.process(shop.receive(at(2, status="cancelled"))) == []
    forward_issuance(shop.context, invoice)
    assert (shop.states(), shop.documents()) == ({"invoice": "withdrawn"}, [])
    assert shop.process(shop.receive(at(3, status="processing"))) == [invoice]
    forward_issuance(shop.context, invoice)
    assert (shop.states(), shop.documents()) == ({"invoice": "issued"}, ["invoice"])


def test_what_could_not_connect_is_due_again_later(shop: Shop) -> None:
    (invoice,) = shop.process(shop.receive(at(1, status="processing")))
    away = replace(shop.context, api_url="http://127.0.0.1:1/v1", _of_thread=threading.local())
    forward_issuance(away, invoice)
    assert shop.states() == {"invoice": "due"}
    shop.clock.advance(seconds=6)
    assert list(sweep(shop.context).issuances) == [invoice]
    forward_issuance(shop.context, invoice)
    assert shop.documents() == ["invoice"]


def test_a_refused_token_pauses_the_store_and_a_probe_resumes_it(shop: Shop) -> None:
    due = []
    for number in (1, 2, 3):
        body = {**at(1, status="processing"), "id": number, "order_key": f"wc_order_{number}"}
        due += shop.process(shop.receive(body))
    good = shop.context
    bad_vault = good.vault
    with good.ledger.write() as connection:
        store = stores.get(connection, shop.store_id)
        connection.execute(
            tables.stores.update()
            .where(tables.stores.c.id == shop.store_id)
            .values(api_token=bad_vault.encrypt("wrong"))
        )
    forward_issuance(good, due[0])
    with good.ledger.read() as connection:
        refused = stores.get(connection, shop.store_id)
        assert refused.paused_at is not None
        assert "401" in (refused.pause_reason or "")
        issuance = issuances.get(connection, due[0])
        assert issuance is not None
        assert (issuance.state, issuance.attempts) == ("due", 0)
        good.account(refused).close()
    assert list(sweep(good).issuances) == []
    with good.ledger.write() as connection:
        connection.execute(
            tables.stores.update()
            .where(tables.stores.c.id == shop.store_id)
            .values(api_token=store.encrypted_api_token)
        )
    shop.clock.advance(days=4)  # longer than an order is retried for
    assert set(sweep(good).issuances) == set(due)
    for one in due:
        forward_issuance(good, one)
    assert shop.documents() == ["invoice"] * 3
    with good.ledger.read() as connection:
        assert stores.get(connection, shop.store_id).paused_at is None
