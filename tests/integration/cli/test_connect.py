"""`stores connect` and `disconnect`: keys from a file, or by a link; what fails changes nothing."""

from __future__ import annotations

import html
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from flask import Flask
from sqlalchemy import select, update
from werkzeug.serving import make_server

from bridge.admin.shop_approval import take_keys
from bridge.db import Ledger, tables
from bridge.ledger import shop_approvals, shops
from bridge.ledger.shop_approvals import Approval
from bridge.ledger.shops import Shop
from bridge.shop import KeyRefusedError, ShopKeys
from bridge.web.connect import add_connect_pages
from tests.support.connected import connect_shop
from tests.support.counter import AWAY, Counter, open_counter
from tests.support.misbehaving import MisbehavingServer, Visit, make_certificate, tls_of
from tests.support.servers import wait_until
from tests.support.shop_stand_in import ShopStandIn

PUBLIC = "https://127.0.0.1:1"  # where nobody answers, which is told and does not matter


@pytest.fixture
def counter(ledger: Ledger, database_url: str, tmp_path: Path) -> Iterator[Counter]:
    with open_counter(ledger, database_url, tmp_path) as counter:
        counter.add()
        yield counter


@pytest.fixture
def shop() -> Iterator[ShopStandIn]:
    with ShopStandIn() as shop:
        shop.make_order()
        yield shop


def keys_of(shop: ShopStandIn) -> str:
    """As a file has them."""
    return f"{shop.consumer_key}\n{shop.consumer_secret}\n"


def kept(counter: Counter) -> Shop | None:
    with counter.ledger.read() as connection:
        return shops.of_store(connection, counter.store().id)


def connect(counter: Counter, shop: ShopStandIn, **environment: str) -> subprocess.CompletedProcess[str]:
    arguments = ["stores", "connect", "shop", "--url", shop.url, "--key-file", "-"]
    return counter.run(*arguments, given=keys_of(shop), **environment)


# By a key file.


def test_keys_in_a_file_connect_a_store(counter: Counter, shop: ShopStandIn, tmp_path: Path) -> None:
    order_id, file = shop.make_order(), tmp_path / "keys"
    file.write_text(keys_of(shop))
    arguments = ["stores", "connect", "shop", "--url", f"{shop.url}/wp-admin/", "--key-file", str(file)]
    connected = counter.run(*arguments, "--as", "Anna")
    assert connected.returncode == 0, connected.stderr
    assert f"Store shop is connected to {shop.url}." in connected.stdout
    assert f"newest order has the id {order_id}. Orders created before 2" in connected.stdout
    assert "spacebridge stores install-webhooks shop" in connected.stderr
    found = kept(counter)
    assert found is not None
    assert found.keys(counter.vault) == (shop.consumer_key, shop.consumer_secret)
    assert counter.store().shop_urls == (shop.url.removeprefix("http://"),)
    assert counter.actions() == ["connect", "add"]
    shown, document = counter.run("stores", "show", "shop"), counter.json("stores", "show", "shop")
    assert f"{shop.url}, connected" in shown.stdout
    assert "may read and write" in shown.stdout
    assert document["shop"]["highest_order_id"] == order_id
    assert document["actions"][0]["who"].startswith("Anna (")
    again = counter.json(*arguments)
    connected_at = again["shop"]["connected_at"]
    assert again == {"name": "shop", "shop": {**document["shop"], "connected_at": connected_at}}
    told = f"{connected.stdout}{connected.stderr}{shown.stdout}{json.dumps([document, again])}"
    assert shop.consumer_key not in told
    assert shop.consumer_secret not in told


def test_a_key_that_may_only_read_connects_and_says_what_will_not_work(counter: Counter) -> None:
    with ShopStandIn(permissions="read") as shop:
        connected = connect(counter, shop)
    assert connected.returncode == 0, connected.stderr
    assert "may only read" in connected.stdout
    assert "install-webhooks" not in connected.stderr
    assert counter.json("stores", "show", "shop")["shop"]["can_write"] is False


@pytest.mark.parametrize("has_orders", [True, False], ids=["an order tells", "its settings tell"])
def test_the_address_that_counts_is_the_shops_own(counter: Counter, tmp_path: Path, has_orders: bool) -> None:
    certificate = make_certificate(tmp_path)
    with ShopStandIn(tls=certificate) as shop:
        shop.set_up(home="https://www.shop.example")
        if has_orders:
            shop.make_order()
        connected = connect(counter, shop, REQUESTS_CA_BUNDLE=str(certificate))
        assert connected.returncode == 0, connected.stderr
        assert counter.store().shop_urls == ("shop.example",)
        found = kept(counter)
        assert found is not None
        assert (found.url, found.login) == (shop.url, "basic")


def test_another_shop_is_refused_unless_its_address_is_the_stores(
    counter: Counter, shop: ShopStandIn
) -> None:
    counter.json("stores", "set", "shop", "shop_urls=shop.example")
    with counter.ledger.write() as connection:
        connect_shop(connection, counter.vault, counter.store().id, datetime.now(UTC))
    before = kept(counter)
    refused = connect(counter, shop)
    assert (refused.returncode, refused.stdout) == (1, "")
    address = shop.url.removeprefix("http://")
    assert f"spacebridge stores set shop shop_urls=shop.example,{address}" in refused.stderr
    assert kept(counter) == before
    counter.json("stores", "set", "shop", f"shop_urls=shop.example,{address}")
    assert connect(counter, shop).returncode == 0
    assert counter.store().shop_urls == ("shop.example", address)


@pytest.mark.parametrize(
    ("url", "keys", "says"),
    [
        ("", "ck_another cs_another", "does not accept the key"),
        ("https://127.0.0.1:1", "ck_1 cs_1", "refuses connections"),
        ("no address", "ck_1 cs_1", "no address of a shop"),
        ("https://user:hunter2@shop.example", "ck_1 cs_1", "without a name or password"),
        ("", "hunter2", "one consumer key (ck_...)"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_changed(
    counter: Counter, shop: ShopStandIn, url: str, keys: str, says: str
) -> None:
    ended = counter.run(
        "stores", "connect", "shop", "--url", url or shop.url, "--key-file", "-", "--json", given=keys
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert says in ended.stderr
    assert "hunter2" not in ended.stderr
    assert (kept(counter), counter.actions()) == (None, ["add"])


def test_a_self_signed_certificate_and_a_redirect_are_told(counter: Counter, tmp_path: Path) -> None:
    def redirect(visit: Visit) -> None:
        visit.receive_head()
        visit.say(
            b"HTTP/1.1 301 Moved\r\nLocation: https://new.example/wp-json/\r\nContent-Length: 0\r\n\r\n"
        )
        visit.receive_head()
        visit.say(
            b"HTTP/1.1 301 Moved\r\nLocation: https://new.example/wp-json/\r\nContent-Length: 0\r\n\r\n"
        )

    certificate = make_certificate(tmp_path)
    for tls, says in ((tls_of(certificate), "is self-signed"), (None, "redirects to https://new.example")):
        with MisbehavingServer(redirect, tls=tls) as server:
            url = server.url.removesuffix("/v1")
            ended = counter.run(
                "stores", "connect", "shop", "--url", url, "--key-file", "-", given="ck_1 cs_1"
            )
        assert ended.returncode == 1
        assert says in ended.stderr
        assert all(b"ck_1" not in request.head for request in server.requests)
    assert kept(counter) is None


def test_disconnecting_forgets_the_keys_once(counter: Counter, shop: ShopStandIn) -> None:
    assert connect(counter, shop).returncode == 0
    ended = counter.run("stores", "disconnect", "shop")
    assert (ended.returncode, kept(counter)) == (0, None)
    assert "Revoke them in the shop" in ended.stderr
    assert counter.json("stores", "disconnect", "shop") == {"name": "shop", "was_connected": False}
    assert counter.actions() == ["disconnect", "connect", "add"]
    assert counter.json("stores", "show", "shop")["shop"] is None
    assert counter.store().shop_urls  # what is known of the shop stays


# By a link.


@pytest.mark.parametrize(
    ("public_url", "says"),
    [
        (None, "set SPACEBRIDGE_PUBLIC_URL"),
        ("http://bridge.example", "by https only"),
        ("bridge.example", "--public-url is wrong"),
        ("https://bridge.example/?x", "has a query"),
    ],
)
def test_a_public_address_that_cannot_be_used_is_said_beforehand(
    counter: Counter, public_url: str | None, says: str
) -> None:
    options = ["--public-url", public_url] if public_url else []
    ended = counter.run("stores", "connect", "shop", "--url", "https://shop.example", *options)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert says in ended.stderr
    assert "--key-file" in ended.stderr
    with counter.ledger.read() as connection:
        assert connection.execute(select(tables.shop_approvals)).all() == []


def test_a_link_that_is_not_waited_for_holds_the_only_copy_of_its_state(counter: Counter) -> None:
    document = counter.json(
        *("stores", "connect", "shop", "--url", "shop.example", "--no-wait"), SPACEBRIDGE_PUBLIC_URL=PUBLIC
    )
    link = urlsplit(document["approval_url"])
    assert (link.scheme, link.netloc, link.path) == ("https", "shop.example", "/wc-auth/v1/authorize")
    query = {name: values[0] for name, values in parse_qs(link.query).items()}
    state = query["user_id"]
    assert re.fullmatch("[0-9a-f]{32}", state)
    assert query["callback_url"] == query["return_url"] == f"{PUBLIC}/connect/{state}"
    assert query["scope"] == "read_write"
    with counter.ledger.read() as connection:
        approval = shop_approvals.find(connection, state)
        (row,) = connection.execute(select(tables.shop_approvals)).all()
    assert approval is not None
    assert approval.expires_at == datetime.fromisoformat(document["expires_at"])
    assert not any(state in str(value) for value in row)


def test_a_public_address_that_redirects_is_refused(counter: Counter, tmp_path: Path) -> None:
    def redirect(visit: Visit) -> None:
        visit.receive_head()
        visit.say(b"HTTP/1.1 308 Moved\r\nLocation: https://evil.example/\r\nContent-Length: 0\r\n\r\n")

    certificate = make_certificate(tmp_path)
    with MisbehavingServer(redirect, tls=tls_of(certificate)) as server:
        ended = counter.run(
            *("stores", "connect", "shop", "--url", "https://shop.example", "--no-wait"),
            SPACEBRIDGE_PUBLIC_URL=server.url.removesuffix("/v1"),
            REQUESTS_CA_BUNDLE=str(certificate),
        )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "redirects, and a shop would send its keys along" in ended.stderr
    with counter.ledger.read() as connection:
        (row,) = connection.execute(select(tables.shop_approvals)).all()
    assert row.result == shop_approvals.DENIED


def test_from_nothing_to_a_connected_store_by_one_command_and_one_click(
    counter: Counter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bridge is behind https here, where WooCommerce wants it to be."""
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))  # for the shop and the command alike
    app = Flask("receiver")
    add_connect_pages(app, counter.ledger, counter.vault, lambda: datetime.now(UTC))
    with (
        ShopStandIn(tls=certificate, takes_http_callbacks=False) as shop,
        serving_by_https(app, certificate) as bridge,
        waiting_for(counter, shop.url, tmp_path, SPACEBRIDGE_PUBLIC_URL=bridge) as waiting,
    ):
        assert "does not answer" not in waiting.said
        page = requests.get(waiting.link, timeout=60).text
        approve = re.search('class="wc-auth-approve" href="([^"]+)"', page)
        assert approve is not None
        assert "is connected" in requests.get(html.unescape(approve[1]), timeout=60).text
        status, output = waiting.end()
        assert (status, json.loads(output)["shop"]["login"]) == (0, "basic")


@contextmanager
def serving_by_https(app: Flask, certificate: Path) -> Iterator[str]:
    """Serve an app on this machine; its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True, ssl_context=tls_of(certificate))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Waiting:
    """A command that has printed its link, and waits."""

    def __init__(self, counter: Counter, process: subprocess.Popen[bytes], said: Path) -> None:
        self._counter, self.process, self._said = counter, process, said
        wait_until(lambda: "Waiting for that" in self.said, "a link")
        found = re.search("https?://.*user_id=([0-9a-f]{32}).*", self.said)
        assert found
        self.link, self.state = found[0], found[1]

    @property
    def said(self) -> str:
        return self._said.read_text()

    @property
    def approval(self) -> Approval:
        with self._counter.ledger.read() as connection:
            approval = shop_approvals.find(connection, self.state)
        assert approval is not None
        return approval

    def send_keys(self, key: str, secret: str) -> None:
        """What the receiver does with the keys of a callback."""
        ledger, vault = self._counter.ledger, self._counter.vault
        take_keys(ledger, vault, self.approval, ShopKeys(key, secret), lambda: datetime.now(UTC))

    def end(self) -> tuple[int, str]:
        """The status with which it ends, and its standard output."""
        output, _ = self.process.communicate(timeout=60)
        return self.process.returncode, output.decode()


@contextmanager
def waiting_for(counter: Counter, url: str, folder: Path, **environment: str) -> Iterator[Waiting]:
    """Begin to connect the store to the shop at this address."""
    with (
        (folder / "said").open("wb") as said,
        subprocess.Popen(
            [sys.executable, "-m", "bridge", "stores", "connect", "shop", "--url", url, "--json"],
            env={
                **os.environ,
                **counter.environment,
                "SPACEBRIDGE_DATA_DIR": str(counter.folder),
                "SPACEBRIDGE_PUBLIC_URL": PUBLIC,
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=said,
        ) as process,
    ):
        try:
            yield Waiting(counter, process, folder / "said")
        finally:
            process.kill()


@pytest.fixture
def waiting(counter: Counter, shop: ShopStandIn, tmp_path: Path) -> Iterator[Waiting]:
    with waiting_for(counter, shop.url, tmp_path) as waiting:
        yield waiting


def test_a_link_is_waited_for_until_the_shop_has_sent_its_keys(
    counter: Counter, shop: ShopStandIn, waiting: Waiting
) -> None:
    assert "the bridge does not answer at 127.0.0.1:1" in waiting.said
    with pytest.raises(KeyRefusedError):
        waiting.send_keys("ck_another", shop.consumer_secret)
    wait_until(lambda: "The link is still good" in waiting.said, "a word on the failure")
    assert "does not accept the key" in waiting.said
    waiting.send_keys(shop.consumer_key, shop.consumer_secret)
    status, output = waiting.end()
    assert status == 0
    document = json.loads(output)
    assert (document["name"], document["shop"]["url"]) == ("shop", shop.url)
    assert counter.actions() == ["connect", "add"]
    assert shop.consumer_key not in output + waiting.said


def test_a_link_that_is_denied_is_over(counter: Counter, waiting: Waiting) -> None:
    with counter.ledger.write() as connection:
        assert shop_approvals.deny(connection, waiting.approval.id, datetime.now(UTC))
    assert waiting.end() == (1, "")
    assert "was denied in the shop. Nothing is changed." in waiting.said


def test_a_link_that_nobody_opens_expires(counter: Counter, waiting: Waiting) -> None:
    with counter.ledger.write() as connection:
        connection.execute(update(tables.shop_approvals).values(expires_at=datetime.now(UTC)))
    assert waiting.end() == (1, "")
    assert "The shop has sent no keys. The link is over." in waiting.said


def test_a_store_that_is_removed_ends_the_waiting(counter: Counter, waiting: Waiting) -> None:
    counter.json("stores", "remove", "shop", "--yes")
    assert waiting.end() == (1, "")
    assert "disconnected or removed meanwhile" in waiting.said


def test_the_link_stays_good_when_the_waiting_is_broken_off(
    counter: Counter, waiting: Waiting, shop: ShopStandIn
) -> None:
    waiting.process.send_signal(signal.SIGINT)
    assert waiting.end() == (1, "")
    assert "The link stays good until" in waiting.said
    waiting.send_keys(shop.consumer_key, shop.consumer_secret)
    assert counter.json("stores", "show", "shop")["shop"]["url"] == shop.url


def test_a_store_that_is_not_there_has_no_shop(counter: Counter) -> None:
    for command in (("connect", "other", "--url", AWAY), ("disconnect", "other")):
        ended = counter.run("stores", *command)
        assert ended.returncode == 1
        assert "There is no store named other" in ended.stderr
