"""A shop sends its keys to a real receiver: they are tried at the shop, and kept once or not at all."""

from __future__ import annotations

import html
import re
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
import requests
from sqlalchemy import update

from bridge.admin import manage_stores
from bridge.db import tables
from bridge.ledger import actions, shop_approvals, shops, stores
from bridge.ledger.shop_approvals import LASTS, PROOF_LASTS, Approval
from bridge.ledger.shops import Shop
from bridge.shop import approval_url
from tests.integration.conftest import BACKENDS
from tests.support.connected import connect_shop
from tests.support.running import RunningBridge, answers
from tests.support.servers import PostgresServer, RedisServer, wait_until
from tests.support.shop_stand_in import ShopStandIn


@pytest.fixture(scope="module", params=BACKENDS)
def bridge(
    request: pytest.FixtureRequest, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningBridge]:
    """A receiver on each database, without a worker that would ask the shops, too."""
    url = ""
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.new_database("connect")
    folder = tmp_path_factory.mktemp("bridge")
    with RunningBridge(folder, database_url=url, broker_url=redis_server.new_url(), workers=0) as running:
        yield running


@pytest.fixture
def shop() -> Iterator[ShopStandIn]:
    with ShopStandIn() as shop:
        shop.make_order()
        yield shop


@dataclass
class Gate:
    """Has a shop answer nothing until it is opened."""

    is_asked: threading.Event = field(default_factory=threading.Event)
    is_open: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> None:
        self.is_asked.set()
        assert self.is_open.wait(60)


@pytest.fixture
def gate(shop: ShopStandIn) -> Iterator[Gate]:
    gate = Gate()
    shop.before_answer(gate)
    yield gate
    gate.is_open.set()


@dataclass
class Link:
    """A store, and an approval that was begun for it at the small shop."""

    bridge: RunningBridge
    shop: ShopStandIn
    store: str
    state: str

    @property
    def address(self) -> str:
        return f"{self.bridge.url}/connect/{self.state}"

    def body(self, **changes: object) -> dict[str, object]:
        """What WooCommerce sends."""
        keys = {"consumer_key": self.shop.consumer_key, "consumer_secret": self.shop.consumer_secret}
        return {"key_id": 7, "user_id": self.state, **keys, "key_permissions": "read_write", **changes}

    def send(self, **changes: object) -> requests.Response:
        return requests.post(self.address, json=self.body(**changes), timeout=60, allow_redirects=False)

    def page(self, **query: str) -> requests.Response:
        return requests.get(self.address, params=query, timeout=30, allow_redirects=False)

    @property
    def approval(self) -> Approval:
        with self.bridge.ledger.read() as connection:
            found = shop_approvals.find(connection, self.state)
        assert found is not None
        return found

    @property
    def kept(self) -> Shop | None:
        with self.bridge.ledger.read() as connection:
            return shops.of_store(connection, self.bridge.store(self.store).id)

    def begun(self, ago: timedelta) -> None:
        """Have the approval be so old."""
        self.change(expires_at=datetime.now(UTC) + LASTS - ago)

    def change(self, **values: object) -> None:
        with self.bridge.ledger.write() as connection:
            connection.execute(
                update(tables.shop_approvals)
                .where(tables.shop_approvals.c.id == self.approval.id)
                .values(**values)
            )


@pytest.fixture
def link(bridge: RunningBridge, shop: ShopStandIn) -> Link:
    name, state = f"s{secrets.token_hex(8)}", secrets.token_hex(16)
    bridge.add_store(name)
    with bridge.ledger.write() as connection:
        store = stores.find(connection, name)
        assert store is not None
        shop_approvals.begin(connection, store.id, shop.url, state, who="ana@host", now=datetime.now(UTC))
    return Link(bridge, shop, name, state)


def test_keys_that_the_shop_accepts_are_kept_once(link: Link, shop: ShopStandIn) -> None:
    order_id = shop.make_order()
    assert "has sent no keys" in link.page().text
    answer = link.send()
    assert (answer.status_code, answer.json()) == (200, {"status": "connected"})
    kept = link.kept
    assert kept is not None
    assert kept.keys(link.bridge.vault) == (shop.consumer_key, shop.consumer_secret)
    assert (kept.url, kept.login, kept.can_write, kept.highest_order_id) == (
        shop.url,
        "oauth",
        True,
        order_id,
    )
    store = link.bridge.store(link.store)
    assert store.shop_urls == (shop.url.removeprefix("http://"),)
    with link.bridge.ledger.read() as connection:
        (action,) = actions.of_store(connection, store.id, limit=10)
    assert (action.verb, action.who) == ("connect", "ana@host")
    asked = len(shop.asked)
    again = link.send()
    assert (again.status_code, again.json()["error"]) == (410, "state_is_over")
    assert len(shop.asked) == asked
    page = link.page(success="1", user_id=link.state)
    assert f"Store {link.store} is connected" in page.text
    assert page.headers["Cache-Control"] == "no-store"
    log = link.bridge.log.read_text()
    for secret in (shop.consumer_key, shop.consumer_secret, link.state):
        assert secret not in page.text
        assert secret not in log
        assert secret not in action.result


def test_a_shop_manager_approves_and_comes_back_to_a_page_that_says_so(link: Link, shop: ShopStandIn) -> None:
    page = approval_page(link)
    approve = re.search('class="wc-auth-approve" href="([^"]+)"', page)
    assert approve is not None
    came_back = requests.get(html.unescape(approve[1]), timeout=60)
    assert came_back.url.startswith(f"{link.address}?success=1")
    assert f"Store {link.store} is connected" in came_back.text
    kept = link.kept
    assert kept is not None
    assert kept.can_write
    assert kept.keys(link.bridge.vault)[0] != shop.consumer_key  # the shop has made one for the bridge


def test_a_shop_manager_denies_and_comes_back_to_a_page_that_says_so(link: Link) -> None:
    deny = re.search('class="wc-auth-deny" href="([^"]+)"', approval_page(link))
    assert deny is not None
    assert "denied in the shop" in requests.get(html.unescape(deny[1]), timeout=60).text
    assert (link.approval.is_denied, link.kept) == (True, None)
    assert link.send().status_code == 410


def approval_page(link: Link) -> str:
    """What the shop shows to its manager; this shop calls back by http, too."""
    address = approval_url(
        link.shop.url,
        app_name="Spacebridge",
        user_id=link.state,
        return_url=link.address,
        callback_url=link.address,
    )
    return requests.get(address, timeout=30).text


def test_a_stranger_costs_one_look_and_learns_nothing(link: Link, shop: ShopStandIn) -> None:
    for state in ("f" * 32, link.state.upper(), link.state[:-1], "x", "%00", "ž" * 32):
        address = f"{link.bridge.url}/connect/{state}"
        answer = requests.post(address, json=link.body(user_id=state), timeout=30)
        assert (answer.status_code, answer.json()["error"]) == (404, "unknown_state")
        assert requests.get(address, timeout=30).status_code == 404
    assert shop.asked == []
    assert not link.approval.is_over(datetime.now(UTC))


def test_keys_that_come_too_late_are_refused(link: Link, shop: ShopStandIn) -> None:
    link.begun(LASTS)
    answer = link.send()
    assert (answer.status_code, answer.json()["error"]) == (410, "state_is_over")
    assert "15 minutes" in link.page().text
    assert (shop.asked, link.kept) == ([], None)


@pytest.mark.parametrize(
    "changes",
    [
        {"user_id": "f" * 32},
        {"user_id": None},
        {"consumer_key": None},
        {"consumer_key": 7},
        {"consumer_key": ""},
        {"consumer_key": "ck_\r\nX: y"},
        {"consumer_secret": "ck_0123456789abcdef"},
        {"consumer_secret": "cs_" + "0" * 300},
        {"key_permissions": None},
        {"key_id": None},
    ],
    ids=repr,
)
def test_what_woocommerce_does_not_send_is_refused_and_the_link_stays_good(
    link: Link, shop: ShopStandIn, changes: dict[str, object]
) -> None:
    answer = link.send(**changes)
    assert (answer.status_code, answer.json()["error"]) == (400, "malformed_keys")
    assert (shop.asked, link.kept) == ([], None)
    assert not link.approval.is_over(datetime.now(UTC))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"\xff", 400),
        (b"[" * 10_000, 400),
        (b"webhook_id=7", 400),
        (b" " * (16 * 2**10 + 1), 413),
        (b" " * (9 * 2**20), 413),
    ],
    ids=["nothing", "no object", "no text", "deep", "a form", "too large", "far too large"],
)
def test_another_body_is_refused(link: Link, shop: ShopStandIn, body: bytes, status: int) -> None:
    in_chunks = (body[start : start + 10_000] for start in range(0, len(body), 10_000))
    for data in (body, in_chunks):  # with its length, and without
        answer = requests.post(link.address, data=data, timeout=60)
        assert answer.status_code == status
        assert answer.json()["message"]
    assert (shop.asked, link.kept) == ([], None)


def test_keys_that_the_shop_refuses_are_not_kept_and_the_link_can_be_opened_again(
    link: Link, shop: ShopStandIn
) -> None:
    answer = link.send(consumer_key="ck_another")
    assert (answer.status_code, answer.json()["error"]) == (403, "keys_refused")
    assert "does not accept the key" in link.page().text
    assert link.kept is None
    assert link.send().status_code == 200


def test_keys_of_another_shop_leave_the_connection_that_there_is(link: Link, shop: ShopStandIn) -> None:
    with link.bridge.ledger.write() as connection:
        store_id = link.bridge.store(link.store).id
        connect_shop(connection, link.bridge.vault, store_id, datetime.now(UTC))
        stores.learn_shop(connection, store_id, "shop.example")
    before = link.kept
    answer = link.send()
    assert (answer.status_code, answer.json()["error"]) == (409, "other_shop")
    assert "shop_urls=shop.example,127.0.0.1" in answer.json()["message"]
    assert link.kept == before
    address = shop.url.removeprefix("http://")
    with link.bridge.ledger.write() as connection:
        values = {"shop_urls": ["shop.example", address]}
        store = stores.lock(connection, store_id)
        manage_stores.set_options(connection, store, values, who="ana", now=datetime.now(UTC))
    assert link.send().status_code == 200
    assert link.bridge.store(link.store).shop_urls == ("shop.example", address)


@pytest.mark.parametrize("fault", ["flood", "maintenance", "firewall-403", "redirect", "error", "busy"])
def test_a_shop_that_cannot_be_asked_keeps_nothing(link: Link, shop: ShopStandIn, fault: str) -> None:
    shop.fault(answer=fault, retry_after=3600)
    answer = link.send()
    assert (answer.status_code, answer.json()["error"]) == (424, "shop_not_reached")
    assert "127.0.0.1" in answer.json()["message"]
    assert link.kept is None
    shop.mend()
    assert link.send().status_code == 200


def test_a_shop_that_is_not_there_is_told(link: Link) -> None:
    link.change(url="http://127.0.0.1:1")
    answer = link.send()
    assert (answer.status_code, answer.json()["error"]) == (424, "shop_not_reached")
    assert answer.json()["message"] in link.page().text


def test_the_shop_of_the_link_is_asked_and_no_other(link: Link, shop: ShopStandIn) -> None:
    with ShopStandIn() as other:
        keys = {"consumer_key": other.consumer_key, "consumer_secret": other.consumer_secret}
        assert link.send(**keys, url=other.url, home=other.url).status_code == 403
        assert other.asked == []
    assert shop.asked


def test_of_two_callbacks_at_once_one_is_kept(link: Link, gate: Gate) -> None:
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(link.send)
        assert gate.is_asked.wait(60)
        assert "Load this page again" in link.page().text
        second = link.send(consumer_key="ck_another")
        assert (second.status_code, second.json()["error"]) == (409, "state_is_in_use")
        gate.is_open.set()
        assert first.result().status_code == 200
    assert link.kept is not None


def test_a_store_that_is_removed_meanwhile_keeps_no_keys(link: Link, gate: Gate) -> None:
    store_id = link.bridge.store(link.store).id
    with ThreadPoolExecutor(1) as threads:
        sent = threads.submit(link.send)
        assert gate.is_asked.wait(60)
        with link.bridge.ledger.write() as connection:
            manage_stores.remove(
                connection, stores.lock(connection, store_id), who="ana", now=datetime.now(UTC)
            )
        gate.is_open.set()
        assert (sent.result().status_code, sent.result().json()["error"]) == (410, "store_removed")
    with link.bridge.ledger.read() as connection:
        assert shops.of_store(connection, store_id) is None
    assert link.page().status_code == 404


def test_a_receiver_that_dies_over_keys_has_kept_none_and_takes_the_next(link: Link, gate: Gate) -> None:
    receiver = link.bridge.parts["receiver"]
    with ThreadPoolExecutor(1) as threads:
        sent = threads.submit(link.send)
        assert gate.is_asked.wait(60)
        receiver.kill()
        assert isinstance(sent.exception(), requests.RequestException)  # and the shop deletes the key
    assert link.kept is None
    assert link.approval.is_being_proved(datetime.now(UTC))
    receiver.start()
    wait_until(lambda: answers(f"{link.bridge.url}/readyz"), "a ready receiver")
    gate.is_open.set()
    assert link.send().status_code == 409
    link.change(used_at=datetime.now(UTC) - PROOF_LASTS)
    assert link.send().status_code == 200
    assert link.kept is not None


def test_a_page_that_is_loaded_again_denies_nothing_that_is_connected(link: Link) -> None:
    assert link.send().status_code == 200
    assert "is connected" in link.page(success="0").text
    assert link.kept is not None


def test_no_address_redirects_since_the_keys_would_be_sent_along(link: Link) -> None:
    answer = requests.post(
        f"{link.address}/", json=link.body(consumer_key=""), timeout=30, allow_redirects=False
    )
    assert answer.status_code == 400
    assert requests.get(f"{link.address}/", timeout=30, allow_redirects=False).status_code == 200
    assert requests.put(link.address, timeout=30, allow_redirects=False).status_code == 405
