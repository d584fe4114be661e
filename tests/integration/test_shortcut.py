"""The short way: quicker, and otherwise as if every delivery had its store looked up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from bridge.admin import store_removal
from bridge.db import Ledger, tables
from bridge.issuance import StoreOptions, read_delivery
from bridge.ledger import deliveries, store_secrets, stores
from bridge.vault import Vault
from bridge.vault.encryption import make_key
from bridge.web.errors import register_error_handlers
from bridge.web.wiring import add_receiver
from tests.integration.ledger.books import NOW, Books
from tests.integration.ledger.crowds import Other, at_once
from tests.recorded import load
from tests.running import sign

ORDER = load("life-of-a-store")[4]
SHOP = read_delivery("order.created", ORDER.body).shop
MOST = 2**16  # bytes of a body
SECRETS = ("first", "second", "third")


class Receiver:
    """A receiver over a ledger, which another process changes: it has a ledger of its own."""

    def __init__(self, url: str) -> None:
        self.vault = Vault([make_key()])
        self.books = Books(Ledger(url), url, 0)
        self.ledger = Ledger(url)
        self.notified: list[int] = []
        app = Flask("receiver")
        register_error_handlers(app)
        add_receiver(
            app,
            self.ledger,
            self.vault,
            max_body_bytes=MOST,
            notify=self.notified.append,
            now=lambda: NOW,
        )
        # How often Flask is troubled: a delivery that takes the short way does not come so far.
        self.asked = 0
        app.before_request(self._count)
        self._app = app

    def _count(self) -> None:
        self.asked += 1

    def client(self) -> FlaskClient:
        return self._app.test_client()

    def deliver(
        self, body: bytes = ORDER.body, *, secret: str = SECRETS[0], store: str = "shop"
    ) -> TestResponse:
        headers = {**ORDER.headers, "X-WC-Webhook-Signature": sign(body, secret)}
        return self.client().post(f"/webhooks/{store}", data=body, headers=headers)

    def add(self, *, secret: str = SECRETS[0], name: str = "shop") -> int:
        """Add a store that knows the address of its shop."""
        store_id: int = self.books.write(
            stores.add,
            vault=self.vault,
            name=name,
            organization_id="o",
            woocommerce_id=f"the one of {name}",
            api_token="token",
            webhook_secret=secret,
            options=StoreOptions(),
            now=NOW,
        )
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
    receiver.books.ledger.close()
    receiver.ledger.close()


@pytest.fixture
def shop(receiver: Receiver) -> int:
    """A store whose delivery has come in, so that it is known; its id."""
    store_id = receiver.add()
    assert receiver.deliver(b'{"id": 1}').status_code == 200
    return store_id


def test_a_store_is_looked_up_for_its_first_delivery_and_not_for_the_next(receiver: Receiver) -> None:
    receiver.add()
    answers = [receiver.deliver(), receiver.deliver()]
    assert [answer.json and answer.json["status"] for answer in answers] == ["accepted", "duplicate"]
    assert receiver.asked == 1


def test_a_slash_after_the_name_takes_the_short_way_too(receiver: Receiver, shop: int) -> None:
    asked = receiver.asked
    assert receiver.deliver(store="shop/").status_code == 200
    assert receiver.asked == asked


@pytest.mark.parametrize("body", [ORDER.body, b'{"id": 7}', b"{", ORDER.body + b" "])
def test_the_short_way_answers_and_records_as_the_long_one_does(
    receiver: Receiver, shop: int, body: bytes
) -> None:
    receiver.add(name="new")
    before = receiver.asked
    short = receiver.deliver(body)
    assert receiver.asked == before
    long = receiver.deliver(body, store="new")
    assert receiver.asked == before + 1
    assert (short.status, short.content_type) == (long.status, long.content_type)
    ids = [int(answer.json["delivery"]) for answer in (short, long) if answer.json]
    assert short.data == long.data.replace(b'"%d"' % ids[1], b'"%d"' % ids[0])
    other = {"id": None, "store_id": None}
    kept, expected = (dict(receiver.books.row(tables.deliveries, one)) | other for one in ids)
    assert kept == expected
    assert receiver.notified == (ids if kept["state"] == "received" else [])


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


def test_a_ping_and_what_is_too_large_are_answered_as_before_for_a_known_store(
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


def test_nothing_is_acknowledged_of_a_known_store_while_its_ledger_cannot_be_written(
    receiver: Receiver, shop: int
) -> None:
    rename = "ALTER TABLE {} RENAME TO {}"
    receiver.books.write(lambda connection: connection.execute(text(rename.format("deliveries", "away"))))
    answer = receiver.deliver()
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["error"] == "ledger_unavailable"
    assert len(receiver.notified) == 0
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
