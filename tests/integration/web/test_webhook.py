"""The delivery URL: what a cached store accepts, and what is judged by the store as the ledger has it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from flask import Flask, jsonify
from flask.testing import FlaskClient
from sqlalchemy import Connection, text
from werkzeug.test import TestResponse

from bridge.admin import store_removal
from bridge.db import Ledger, tables
from bridge.issuance import StoreOptions, read_delivery
from bridge.ledger import deliveries, store_secrets, stores
from bridge.telemetry.counts import REGISTRY
from bridge.vault import Vault
from bridge.vault.encryption import make_key
from bridge.web.answer import register_error_handlers
from bridge.web.webhook import WebhookReceiver
from tests.support.books import NOW, Books
from tests.support.crowds import Other, at_once
from tests.support.recorded import load
from tests.support.running import sign

ORDER = load("life-of-a-store")[4]
SHOP = read_delivery("order.created", ORDER.body).shop
MOST = 2**16  # bytes of a body
SECRETS = ("first", "second", "third")


def order_of(site: str, number: int) -> bytes:
    """An order that names its site."""
    links = {"self": [{"href": f"https://{site}/wp-json/wc/v3/orders/{number}"}]}
    return json.dumps({**ORDER.order(), "id": number, "_links": links}).encode()


def counted(store: str) -> dict[str, float]:
    """What this process has counted of a store's deliveries, by their outcomes."""
    (metric,) = [one for one in REGISTRY.collect() if one.name == "spacebridge_deliveries"]
    return {
        sample.labels["outcome"]: sample.value
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.labels["store"] == store
    }


def ack_count() -> float:
    """How many deliveries were acknowledged by this process."""
    return REGISTRY.get_sample_value("spacebridge_ack_seconds_count") or 0.0


class WatchedLedger(Ledger):
    """A ledger that counts how often it is read, and lets something happen after that."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.reads = 0
        self.after_read: Callable[[], None] = lambda: None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with super().read() as connection:
            yield connection
        self.reads += 1
        self.after_read()


class Receiver:
    """A receiver over a ledger, which another process changes: it has a ledger of its own."""

    def __init__(self, url: str) -> None:
        self.vault = Vault([make_key()])
        self.books = Books(Ledger(url), url, 0)
        self.ledger = WatchedLedger(url)
        self.published: list[int] = []
        app = Flask("receiver")
        register_error_handlers(app)
        self.webhooks = WebhookReceiver(
            app,
            self.ledger,
            self.vault,
            max_body_bytes=MOST,
            publish=self.published.append,
            now=lambda: NOW,
        )
        self._app = app

    def client(self) -> FlaskClient:
        return self._app.test_client()

    def deliver(
        self, body: bytes = ORDER.body, *, secret: str = SECRETS[0], store: str = "shop"
    ) -> TestResponse:
        headers = {**ORDER.headers, "X-WC-Webhook-Signature": sign(body, secret)}
        return self.client().post(f"/webhooks/{store}", data=body, headers=headers)

    def outcome(self, body: bytes) -> str:
        """What a delivery is called in its answer."""
        answer = self.deliver(body).json
        assert answer is not None
        return str(answer["status"])

    def as_flask_has_it(self, content: object) -> bytes:
        """What Flask sends of a JSON value."""
        with self._app.app_context():
            return bytes(jsonify(content).data)

    def add(
        self,
        *,
        secret: str = SECRETS[0],
        name: str = "shop",
        vault: Vault | None = None,
        knows_shop: bool = True,
    ) -> int:
        """Add a store, which knows the address of its shop unless an order is to tell."""
        store_id: int = self.books.write(
            stores.add,
            vault=vault or self.vault,
            name=name,
            organization_id="o",
            woocommerce_id=f"the one of {name}",
            api_token="token",
            webhook_secret=secret,
            options=StoreOptions(),
            now=NOW,
        )
        if knows_shop:
            self.books.write(stores.learn_shop, store_id, SHOP)
        return store_id

    def rotate(self, store_id: int, secret: str, *, keep_previous: bool) -> None:
        with self.books.ledger.write() as connection:
            store_secrets.rotate_webhook_secret(
                connection,
                stores.lock(connection, store_id),
                self.vault,
                secret,
                keep_previous=keep_previous,
                now=NOW,
            )

    def remove(self, store_id: int) -> None:
        with self.books.ledger.write() as connection:
            store_removal.remove(connection, stores.lock(connection, store_id), who="maja", now=NOW)


@pytest.fixture
def receiver(ledger: Ledger, database_url: str) -> Iterator[Receiver]:
    receiver = Receiver(database_url)
    yield receiver
    receiver.webhooks.close()
    receiver.books.ledger.close()
    receiver.ledger.close()


@pytest.fixture
def shop(receiver: Receiver) -> int:
    """A store whose delivery has come in, so that it is cached; its id."""
    store_id = receiver.add()
    assert receiver.deliver(b'{"id": 1}').status_code == 200
    return store_id


def test_a_store_is_read_for_its_first_delivery_and_not_for_the_next(receiver: Receiver) -> None:
    receiver.add()
    answers = [receiver.deliver(), receiver.deliver()]
    assert [answer.json and answer.json["status"] for answer in answers] == ["accepted", "duplicate"]
    assert receiver.ledger.reads == 1


def test_a_slash_after_the_name_makes_no_other_store(receiver: Receiver, shop: int) -> None:
    assert receiver.deliver(store="shop/").status_code == 200
    assert receiver.ledger.reads == 1


@pytest.mark.parametrize("body", [ORDER.body, b'{"id": 7}', b"{", ORDER.body + b" "])
def test_a_delivery_of_a_cached_store_is_answered_and_recorded_as_that_of_one_that_is_read(
    receiver: Receiver, shop: int, body: bytes
) -> None:
    receiver.add(name="new")
    by_cache = receiver.deliver(body)
    assert receiver.ledger.reads == 1
    by_ledger = receiver.deliver(body, store="new")
    assert receiver.ledger.reads == 2
    assert (by_cache.status, by_cache.content_type) == (by_ledger.status, by_ledger.content_type)
    ids = [int(answer.json["delivery"]) for answer in (by_cache, by_ledger) if answer.json]
    assert by_cache.data == by_ledger.data.replace(b'"%d"' % ids[1], b'"%d"' % ids[0])
    other = {"id": None, "store_id": None}
    kept, expected = (dict(receiver.books.row(tables.deliveries, one)) | other for one in ids)
    assert kept == expected
    assert receiver.published == (ids if kept["state"] == "received" else [])


def test_an_answer_is_what_flask_would_send(receiver: Receiver, shop: int) -> None:
    answer = receiver.deliver(b"{\xc5\xbe")
    assert (answer.status, dict(answer.headers)) == (
        "200 OK",
        {"Content-Type": "application/json", "Content-Length": str(len(answer.data))},
    )
    assert answer.data == b'{"delivery":"2","reason":"unreadable: not JSON","status":"ignored"}\n'
    refused = receiver.deliver(secret="wrong")
    assert (refused.status, refused.content_type) == ("401 UNAUTHORIZED", "application/json")
    assert refused.data == receiver.as_flask_has_it(refused.json)


def test_each_answer_is_counted_once_by_its_outcome_and_a_ping_not_at_all(receiver: Receiver) -> None:
    receiver.add()
    before, acknowledged = counted("shop"), ack_count()
    sent = [ORDER.body, ORDER.body, b"{", order_of("copy.example", 2), b'{"id": 3}', b" " * (MOST + 1)]
    outcomes = [receiver.outcome(body) for body in sent[:-1]]
    assert outcomes == ["accepted", "duplicate", "ignored", "quarantined", "unreadable"]
    assert receiver.deliver(sent[-1]).status_code == 413
    assert receiver.deliver(secret="wrong").status_code == 401
    receiver.client().post("/webhooks/shop", data=b"webhook_id=7")
    rise = {outcome: value - before.get(outcome, 0) for outcome, value in counted("shop").items()}
    assert rise == {**dict.fromkeys([*outcomes, "too_large", "refused"], 1), "unavailable": 0}
    assert ack_count() - acknowledged == len(outcomes)


def test_what_is_no_delivery_is_left_to_flask(receiver: Receiver, shop: int) -> None:
    for method, path, status in [
        ("POST", "/webhooks/", 404),
        ("POST", "/webhooks/shop/more", 404),
        ("POST", "/elsewhere", 404),
        ("PUT", "/webhooks/shop", 405),
    ]:
        answer = receiver.client().open(path, method=method, data=b"x")
        assert (answer.status_code, answer.is_json) == (status, True)
    assert receiver.ledger.reads == 1


def test_the_address_that_an_order_tells_is_cached_with_its_store(receiver: Receiver) -> None:
    store_id = receiver.add(knows_shop=False)
    assert receiver.outcome(b'{"id": 1}') == "unreadable"
    assert receiver.outcome(order_of(SHOP, 2)) == "accepted"
    assert list(receiver.books.store(store_id).shop_urls) == [SHOP]
    assert receiver.outcome(order_of("copy.example", 3)) == "quarantined"
    with receiver.books.ledger.write() as connection:
        store = stores.lock(connection, store_id)
        stores.set_options(connection, store, replace(store.options, shop_urls=(SHOP, "copy.example")), NOW)
    assert receiver.outcome(order_of("copy.example", 4)) == "accepted"
    assert receiver.ledger.reads == 1


def test_a_secret_that_is_rotated_between_the_look_and_the_insert_refuses_no_good_delivery(
    receiver: Receiver,
) -> None:
    store_id = receiver.add()

    def rotate() -> None:
        receiver.ledger.after_read = lambda: None
        receiver.rotate(store_id, "second", keep_previous=True)

    receiver.ledger.after_read = rotate
    assert receiver.deliver(secret="first").status_code == 200
    assert receiver.books.store(store_id).awaits_new_secret
    assert receiver.ledger.reads == 2
    assert receiver.books.count(tables.deliveries) == 1


def test_a_store_that_is_removed_between_the_look_and_the_insert_takes_nothing(receiver: Receiver) -> None:
    store_id = receiver.add()

    def remove() -> None:
        receiver.ledger.after_read = lambda: None
        receiver.remove(store_id)

    receiver.ledger.after_read = remove
    assert receiver.deliver().status_code == 404
    assert receiver.books.count(tables.deliveries) == 0
    assert receiver.published == []


def test_nothing_is_acknowledged_of_a_store_whose_secret_no_key_reads(receiver: Receiver) -> None:
    receiver.add(vault=Vault([make_key()]))
    answer = receiver.deliver()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    assert answer.json is not None
    assert answer.json["error"] == "ledger_unavailable"


def test_a_secret_that_was_rotated_elsewhere_is_as_good_as_it_is_there(receiver: Receiver, shop: int) -> None:
    receiver.rotate(shop, "second", keep_previous=False)
    assert receiver.deliver(ORDER.body, secret="first").status_code == 401
    accepted = receiver.deliver(ORDER.body, secret="second").json
    assert accepted is not None
    receiver.rotate(shop, "third", keep_previous=True)
    assert receiver.deliver(ORDER.body, secret="second").json == accepted | {"status": "duplicate"}
    assert receiver.books.store(shop).awaits_new_secret
    assert receiver.deliver(ORDER.body, secret="third").status_code == 200
    assert not receiver.books.store(shop).awaits_new_secret
    assert receiver.deliver(ORDER.body, secret="third").status_code == 200
    assert receiver.deliver(ORDER.body, secret="first").status_code == 401


def test_a_store_that_was_removed_elsewhere_takes_nothing(receiver: Receiver, shop: int) -> None:
    receiver.remove(shop)
    assert receiver.deliver().status_code == 404
    assert receiver.books.count(tables.deliveries) == 1


def test_what_comes_for_a_removed_store_is_of_the_one_that_has_its_name_now(
    receiver: Receiver, shop: int
) -> None:
    receiver.remove(shop)
    other = receiver.add(secret="another")
    assert receiver.deliver(secret="first").status_code == 401
    answer = receiver.deliver(secret="another")
    assert answer.json is not None
    assert receiver.books.delivery(int(answer.json["delivery"])).store_id == other


def test_a_store_of_the_same_secret_does_not_get_what_was_removed_with_the_one_before(
    receiver: Receiver, shop: int
) -> None:
    receiver.remove(shop)
    other = receiver.add()
    answer = receiver.deliver(b'{"id": 1}')
    assert answer.json is not None
    assert answer.json["status"] != "duplicate"
    assert receiver.books.delivery(int(answer.json["delivery"])).store_id == other


def test_a_store_that_was_unknown_takes_deliveries_as_soon_as_it_is_added(receiver: Receiver) -> None:
    assert receiver.deliver().status_code == 404
    receiver.add()
    assert receiver.deliver().status_code == 200


def test_a_ping_and_what_is_too_large_are_answered_for_a_cached_store_as_for_others(
    receiver: Receiver, shop: int
) -> None:
    ping = receiver.client().post("/webhooks/shop", data=b"webhook_id=7")
    assert ping.json == {"status": "pong"}
    assert receiver.books.store(shop).last_ping_at == NOW
    assert receiver.deliver(b" " * MOST).status_code == 200
    assert receiver.deliver(b" " * (MOST + 1)).status_code == 413
    assert receiver.client().get("/webhooks/shop").status_code == 405


def test_a_ping_after_another_writes_nothing_and_so_waits_for_nobody(receiver: Receiver, shop: int) -> None:
    def ping() -> object:
        return receiver.client().post("/webhooks/shop", data=b"webhook_id=7").json

    assert ping() == {"status": "pong"}
    with receiver.books.ledger.write() as connection:
        stores.lock(connection, shop)
        assert Other(ping).result() == {"status": "pong"}
    assert receiver.books.store(shop).last_ping_at == NOW


def test_nothing_is_acknowledged_of_a_cached_store_while_its_ledger_cannot_be_written(
    receiver: Receiver, shop: int
) -> None:
    rename = "ALTER TABLE {} RENAME TO {}"
    receiver.books.write(lambda connection: connection.execute(text(rename.format("deliveries", "away"))))
    answer = receiver.deliver()
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["error"] == "ledger_unavailable"
    assert len(receiver.published) == 0
    receiver.books.write(lambda connection: connection.execute(text(rename.format("away", "deliveries"))))
    assert receiver.deliver().status_code == 200


def test_of_the_same_body_sent_many_times_at_once_one_is_accepted_and_all_are_counted(
    receiver: Receiver, shop: int
) -> None:
    answers = [answer.json or {} for answer in at_once(12, lambda _: receiver.deliver())]
    assert sorted(answer["status"] for answer in answers) == ["accepted"] + ["duplicate"] * 11
    (delivery_id,) = {int(answer["delivery"]) for answer in answers}
    assert receiver.books.delivery(delivery_id).duplicates == 11


def test_a_repeat_waits_for_whoever_works_on_its_delivery_and_nobody_waits_with_it(
    receiver: Receiver, shop: int
) -> None:
    answer = receiver.deliver()
    assert answer.json is not None
    with receiver.books.ledger.write() as connection:
        assert deliveries.lock(connection, int(answer.json["delivery"])) is not None
        repeat = Other(receiver.deliver)
        repeat.wait_until_it_waits(receiver.books.ledger)
        if connection.dialect.name == "postgresql":
            assert receiver.deliver(b'{"id": 2}').status_code == 200
        assert not repeat.has_ended()
    assert repeat.result().json == answer.json | {"status": "duplicate"}
