"""A connected shop's webhooks, with the stand-in of a shop at one end and a real receiver at the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Thread

import pytest
from flask import Flask, request
from werkzeug.serving import make_server

from bridge.admin import install_webhooks
from bridge.admin.install_webhooks import Installed, PingError
from bridge.admin.manage_stores import rotate_secret
from bridge.db.tables import shops as shop_table
from bridge.ledger import store_secrets, stores
from bridge.ledger.shop_webhooks import DELETED, DISABLED, PAUSED, TOPICS, KnownWebhook
from bridge.pipeline.shop_webhooks import problem_of_address, watch
from bridge.web.answer import register_error_handlers
from bridge.web.webhook import WebhookReceiver
from tests.support.hook_receiver import HookReceiver
from tests.support.reconciling import Connected, connected
from tests.support.shop import Shop

CREATED = "order.created"


@dataclass
class Hooked:
    """A connected store, and the receiver that its shop delivers to."""

    pair: Connected
    url: str

    def watch(self, public_url: str | None = None) -> Mapping[str, KnownWebhook]:
        with self.pair.client() as client:
            return watch(
                self.pair.context,
                self.pair.store.store(),
                self.pair.row(),
                client,
                public_url=self.url if public_url is None else public_url,
            )

    def install(self) -> Installed:
        with self.pair.client() as client:
            return install_webhooks.install(
                self.pair.context, self.pair.store.store(), self.pair.row(), client, self.url, who="Anna"
            )

    def make(self, topic: str, *, secret: str | None = None, url: str | None = None) -> int:
        secret = secret or self.pair.store.store().webhook_secret(self.pair.context.vault)
        at = f"{url or self.url}/webhooks/shop"
        return self.pair.there.make_webhook(topic, at, secret=secret, name="Spacebridge shop")

    def make_all(self) -> None:
        for topic in TOPICS:
            self.make(topic)

    def disable(self) -> None:
        """An outage: the seventh failure in a row switches a webhook off."""
        self.pair.there.fault(is_cut_off=True)
        order = self.pair.there.make_order()
        self.pair.there.wait_delivered()
        for _ in range(7):
            for topic in TOPICS:
                self.pair.there.shop.webhooks.announce(topic, order)
                self.pair.there.wait_delivered()
        self.pair.there.mend()
        assert {one.status for one in self.pair.there.webhooks() if one.id in self._ours()} == {"disabled"}

    def _ours(self) -> set[int]:
        return {one.id for one in self.pair.there.webhooks() if one.delivery_url.startswith(self.url)}

    def statuses(self) -> list[tuple[str, str]]:
        return sorted((one.topic, one.status) for one in self.pair.there.webhooks())

    def failures(self) -> set[int]:
        return {one.failure_count for one in self.pair.there.webhooks()}


@pytest.fixture
def hooked(shop: Shop) -> Iterator[Hooked]:
    with connected(shop) as pair:
        app = Flask("receiver")
        register_error_handlers(app)
        context = pair.context
        receiver = WebhookReceiver(
            app,
            context.ledger,
            context.vault,
            max_body_bytes=1_000_000,
            publish=lambda _id: None,
            now=pair.store.clock.now,
        )
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield Hooked(pair, f"http://127.0.0.1:{server.port}")
        pair.there.wait_delivered()
        server.shutdown()
        thread.join()
        server.server_close()
        receiver.close()


@contextmanager
def redirecting(to: str) -> Iterator[str]:
    """An address that sends each request on to another."""
    app = Flask("redirecting")

    def send_on(path: str) -> tuple[str, int, dict[str, str]]:
        return "", 301, {"Location": f"{to}/{path}"}

    app.add_url_rule("/<path:path>", view_func=send_on, methods=["GET", "POST"])
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


ALL_ACTIVE = sorted((topic, "active") for topic in TOPICS)


def test_what_an_outage_has_switched_off_is_made_anew_and_delivers(hooked: Hooked) -> None:
    hooked.make_all()
    hooked.disable()
    seen = hooked.watch()
    assert hooked.statuses() == ALL_ACTIVE
    assert hooked.failures() == {0}
    assert {len(one.remade) for one in seen.values()} == {1}
    assert hooked.pair.row().compare_from is not None
    order = hooked.pair.there.make_order()
    hooked.pair.there.wait_delivered()
    assert [one.topic for one in hooked.pair.store.deliveries(order)] != []


def test_a_webhook_is_made_anew_twice_a_day_and_then_a_person_looks(hooked: Hooked) -> None:
    hooked.make_all()
    for _ in range(2):
        hooked.disable()
        hooked.watch()
        hooked.pair.advance(minutes=10)
    hooked.disable()
    seen = hooked.watch()
    assert {one.status for one in seen.values()} == {DISABLED}
    assert "twice within a day" in str(seen[CREATED].problem)
    hooked.pair.advance(days=1)
    assert {one.status for one in hooked.watch().values()} == {"active"}


def test_what_somebody_paused_stays_so(hooked: Hooked) -> None:
    hooked.make_all()
    hooked.pair.there.change_webhook(1, status="paused")
    assert hooked.watch()[TOPICS[0]].status == PAUSED
    assert hooked.pair.there.webhook(1).status == "paused"


def test_a_crash_between_making_and_deleting_leaves_one_that_is_deleted(hooked: Hooked) -> None:
    hooked.make_all()
    hooked.disable()
    hooked.make(CREATED)  # and the process is killed
    hooked.watch()
    assert hooked.statuses() == ALL_ACTIVE


def test_a_key_that_may_only_read_tells_that(hooked: Hooked) -> None:
    hooked.make_all()
    hooked.disable()
    with hooked.pair.context.ledger.write() as connection:
        connection.execute(shop_table.update().values(can_write=False))
    assert hooked.watch()[CREATED].problem == "the key may only read"


def test_an_address_that_redirects_is_not_given_to_a_new_webhook(hooked: Hooked) -> None:
    with redirecting(hooked.url) as url:
        there = replace(hooked, url=url)
        there.make_all()
        there.disable()
        seen = there.watch()
    assert "redirects" in str(seen[CREATED].problem)
    assert seen[CREATED].status == DISABLED


def test_installing_makes_four_and_doubles_none(hooked: Hooked) -> None:
    hooked.pair.there.make_order()
    first = hooked.install()
    assert first.is_delivered is True
    hooked.pair.advance(minutes=1)
    again = hooked.install()
    assert again.is_delivered is None  # one has come before
    assert [one.verb for one in again.steps] == ["adopt"] * 4
    assert hooked.statuses() == ALL_ACTIVE


def test_a_webhook_whose_ping_fails_is_taken_back(hooked: Hooked) -> None:
    away = replace(hooked, url="http://127.0.0.1:1")
    with pytest.raises(PingError, match="nothing answers"):
        away.install()
    assert hooked.statuses() == []


def test_the_secret_before_is_good_until_each_webhook_has_the_new_one(hooked: Hooked) -> None:
    """A delivery under way undoes the write to one of them, after it was noted."""
    hooked.make_all()
    hooked.watch()
    store_row = hooked.pair.store
    old = store_row.store().webhook_secret(hooked.pair.context.vault)
    with hooked.pair.context.ledger.write() as connection:
        store = stores.lock(connection, store_row.store_id)
        rotate_secret(
            connection,
            hooked.pair.context.vault,
            store,
            "another",
            keep_previous=True,
            who="A",
            now=hooked.pair.now(),
        )
    hooked.watch()
    there = hooked.pair.there
    there.change_webhook(1, secret=old)  # undone
    with hooked.pair.context.ledger.write() as connection:
        store_secrets.note_seen(connection, store_row.store(), hooked.pair.now())
    hooked.pair.advance(minutes=10)
    hooked.watch()
    assert {one.secret for one in there.webhooks()} == {"another"}
    assert {one.secret_set_at is not None for one in hooked.watch().values()} == {True}


def test_installing_at_an_address_that_redirects_is_refused(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install_webhooks, "DELIVERY_WITHIN", 3.0)
    hooked.pair.there.make_order()
    with redirecting(hooked.url) as url, pytest.raises(Exception, match="redirect"):
        replace(hooked, url=url).install()


def test_a_redirect_that_swallows_all_deliveries_is_told_by_a_round(hooked: Hooked) -> None:
    with redirecting(hooked.url) as url:
        there = replace(hooked, url=url)
        there.make_all()
        order = there.pair.there.make_order()
        there.pair.there.wait_delivered()
        there.pair.advance(minutes=10)
        seen = there.watch()
    assert there.pair.store.deliveries(order) == []  # all lost, and WooCommerce counts successes
    assert there.failures() == {0}
    assert "redirects" in str(seen[CREATED].problem)


def test_installing_has_what_was_switched_off_begin_without_failures(hooked: Hooked) -> None:
    hooked.make_all()
    hooked.disable()
    hooked.install()
    assert hooked.statuses() == ALL_ACTIVE
    assert hooked.failures() == {0}


def test_a_shop_that_could_not_make_it_twice_does_not_use_up_the_day(hooked: Hooked) -> None:
    hooked.make_all()
    hooked.disable()

    def fail_to_make() -> None:
        if request.method == "POST":
            raise RuntimeError

    there = hooked.pair.there
    there.before_answer(fail_to_make)
    for _ in range(2):
        hooked.watch()
        hooked.pair.advance(minutes=10)
    there._before.clear()
    assert hooked.watch()[CREATED].status == "active"


def test_another_bridges_webhook_is_left_alone_without_a_public_url(hooked: Hooked) -> None:
    with HookReceiver() as staging:
        theirs = hooked.make(CREATED, secret="of-staging", url=staging.url("").rstrip("/"))
        hooked.make_all()
        with hooked.pair.context.ledger.write() as connection:
            store = stores.lock(connection, hooked.pair.store.store_id)
            rotate_secret(
                connection,
                hooked.pair.context.vault,
                store,
                "another",
                keep_previous=True,
                who="Anna",
                now=hooked.pair.now(),
            )
        hooked.pair.there.delete_webhook(theirs + 1)
        hooked.watch("")
        assert hooked.pair.there.webhook(theirs).secret == "of-staging"


def test_a_secret_that_could_not_be_written_is_written_at_the_next_round(hooked: Hooked) -> None:
    hooked.make_all()
    with hooked.pair.context.ledger.write() as connection:
        store = stores.lock(connection, hooked.pair.store.store_id)
        rotate_secret(
            connection,
            hooked.pair.context.vault,
            store,
            "another",
            keep_previous=False,  # --end-previous
            who="Anna",
            now=hooked.pair.now(),
        )
    hooked.watch()
    assert {one.secret for one in hooked.pair.there.webhooks()} == {"another"}


def test_two_active_webhooks_of_a_topic_become_one(hooked: Hooked) -> None:
    hooked.make_all()
    hooked.make(CREATED)
    hooked.watch()
    assert hooked.statuses() == ALL_ACTIVE


def test_a_new_host_is_not_taken_for_deleted_webhooks(hooked: Hooked) -> None:
    hooked.make_all()
    hooked.watch()
    assert DELETED not in {one.status for one in hooked.watch("https://new.example").values()}


def test_no_credentials_of_an_address_are_told(hooked: Hooked) -> None:
    assert "s3cret" not in str(problem_of_address("http://anna:s3cret@127.0.0.1:1/webhooks/shop"))
