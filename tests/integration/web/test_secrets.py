"""A webhook secret is rotated without a lost delivery: which signatures are good, and until when."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, event, text, update

from bridge.db import Ledger, tables
from bridge.ledger import store_secrets, stores
from bridge.vault import Vault
from bridge.web.webhook import WebhookReceiver
from tests.support.counter import IDS, Counter, open_counter
from tests.support.recorded import load
from tests.support.running import SECRET, RunningBridge, run_command, sign
from tests.support.servers import wait_until
from tests.support.shop import TOKEN, Shop

ORDER = load("life-of-a-store")[4].order()
DAY = timedelta(days=1)


def body_of(number: int) -> bytes:
    return json.dumps({**ORDER, "id": number}).encode()


def rotate(bridge: RunningBridge, name: str, *options: str) -> str:
    """Rotate by the command; the secret that it made, or nothing."""
    ended = run_command(
        bridge.folder / "data", "stores", "rotate-secret", name, *options, "--json", **bridge.environment
    )
    assert ended.returncode == 0, ended.stderr
    made: str = json.loads(ended.stdout).get("webhook_secret", "")
    return made


def test_both_secrets_are_good_until_a_day_after_the_new_one_was_first_seen(bridge: RunningBridge) -> None:
    bridge.add_store("rotated")
    new = rotate(bridge, "rotated")
    assert bridge.store("rotated").awaits_new_secret
    for number in (1, 2):
        assert bridge.deliver("rotated", body_of(number)).status_code == 200  # by the old one, still
    assert bridge.store("rotated").webhook_secret_seen_at is None
    assert bridge.deliver("rotated", body_of(3), secret="neither").status_code == 401
    assert bridge.deliver("rotated", body_of(3), secret=new).status_code == 200
    seen_at = bridge.store("rotated").webhook_secret_seen_at
    assert seen_at is not None
    assert bridge.deliver("rotated", body_of(4)).status_code == 200  # a webhook that has the old one yet
    assert bridge.deliver("rotated", body_of(5), secret=new).status_code == 200
    assert bridge.store("rotated").webhook_secret_seen_at == seen_at
    with bridge.ledger.write() as connection:
        connection.execute(
            update(tables.stores)
            .where(tables.stores.c.name == "rotated")
            .values(webhook_secret_seen_at=seen_at - DAY)
        )
    assert bridge.deliver("rotated", body_of(6)).status_code == 401
    assert bridge.deliver("rotated", body_of(6), secret=new).status_code == 200
    wait_until(lambda: not bridge.store("rotated").encrypted_previous_secrets, "the end of the old secret")
    assert bridge.deliver("rotated", body_of(7), secret=new).status_code == 200


def test_a_secret_rotated_again_and_again_refuses_no_webhook_that_has_an_earlier_one(
    bridge: RunningBridge,
) -> None:
    bridge.add_store("again")
    made = [rotate(bridge, "again") for _ in range(3)]  # as somebody does who has lost what it showed
    for number, secret in enumerate([SECRET, *made], 1):
        assert bridge.deliver("again", body_of(number), secret=secret).status_code == 200
    rotate(bridge, "again", "--end-previous", "--yes")
    for number, secret in enumerate([SECRET, *made[:2]], 10):
        assert bridge.deliver("again", body_of(number), secret=secret).status_code == 401
    assert bridge.deliver("again", body_of(20), secret=made[2]).status_code == 200


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("<b>&amp;</b>", "<b>&</b>"),
        ("žš 株式会社 😀", "žš 株式会社 😀"),
        ("&lt;&#039;&apos;%41", "<'&apos;%41"),
    ],
)
def test_a_secret_with_markup_signs_as_woocommerce_signs_with_it(
    bridge: RunningBridge, tmp_path: Path, secret: str, key: str
) -> None:
    bridge.add_store("markup") if not known(bridge, "markup") else None
    (tmp_path / "secret").write_text(f"{secret}\n")
    rotate(bridge, "markup", "--webhook-secret-file", str(tmp_path / "secret"))
    assert bridge.deliver("markup", body_of(1), secret=key).status_code == 200
    if key != secret:
        assert bridge.deliver("markup", body_of(1), secret=secret).status_code == 401


def known(bridge: RunningBridge, name: str) -> bool:
    with bridge.ledger.read() as connection:
        return stores.find(connection, name) is not None


# What it costs.


@contextmanager
def statements() -> Iterator[list[str]]:
    """SQLAlchemy's statements that are executed meanwhile, but INSERTs and what a new connection asks."""
    seen: list[str] = []
    mine = threading.get_ident()  # refused requests are counted by a thread of their own

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if threading.get_ident() == mine and not statement.startswith(
            ("BEGIN", "SELECT 1", "SELECT pg_catalog", "SET", "SHOW", "INSERT")
        ):
            seen.append(" ".join(statement.split()[:2]))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture
def receiver(shop: Shop) -> Iterator[FlaskClient]:
    app = Flask("receiver")
    receiver = WebhookReceiver(
        app,
        shop.context.ledger,
        shop.context.vault,
        max_body_bytes=2**20,
        publish=lambda _: None,
        now=shop.clock.now,
    )
    yield app.test_client()
    receiver.close()


def deliver(receiver: FlaskClient, number: int, secret: str) -> tuple[int, list[str]]:
    """The status of a delivery, and the statements that it took."""
    body = body_of(number)
    with statements() as seen:
        answer = receiver.post(
            "/webhooks/shop", data=body, headers={"X-WC-Webhook-Signature": sign(body, secret)}
        )
    return answer.status_code, seen


def test_a_store_is_read_for_a_delivery_that_the_cache_does_not_accept_and_written_for_a_first_one(
    shop: Shop, receiver: FlaskClient
) -> None:
    look = "SELECT stores.id,"
    learning = [look, "SELECT deliveries.id,", "UPDATE stores", look]  # where the shop is
    assert deliver(receiver, 1, "s3cr3t") == (200, [look, *learning])
    change_secret(shop, "new")
    assert deliver(receiver, 2, "s3cr3t") == (200, [look, look])  # the first by the cached secret
    assert deliver(receiver, 3, "new") == (200, [look, "UPDATE stores"])
    assert deliver(receiver, 4, "new") == (200, [look])
    assert deliver(receiver, 5, "s3cr3t") == (200, [look])
    assert deliver(receiver, 6, "neither") == (401, [look])
    assert deliver(receiver, 7, "new") == (200, [])


def change_secret(shop: Shop, secret: str, *, keep_previous: bool = True) -> None:
    with shop.context.ledger.write() as connection:
        store_secrets.rotate_webhook_secret(
            connection,
            stores.lock(connection, shop.store_id),
            shop.context.vault,
            secret,
            keep_previous=keep_previous,
            now=shop.clock.now(),
        )


def test_a_delivery_that_cannot_be_kept_shows_no_new_secret(shop: Shop, receiver: FlaskClient) -> None:
    change_secret(shop, "new")
    with shop.context.ledger.write() as connection:
        connection.execute(text("ALTER TABLE deliveries RENAME TO elsewhere"))
    assert deliver(receiver, 1, "new")[0] == 503
    assert shop.store().awaits_new_secret
    with shop.context.ledger.write() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO deliveries"))
    assert deliver(receiver, 1, "new")[0] == 200
    assert not shop.store().awaits_new_secret


def test_a_delivery_by_a_secret_that_was_replaced_meanwhile_shows_nothing(shop: Shop) -> None:
    change_secret(shop, "second")
    read_before = shop.store()
    change_secret(shop, "third")
    with shop.context.ledger.write() as connection:
        store_secrets.note_seen(connection, read_before, shop.clock.now())
    assert shop.store().awaits_new_secret


def test_a_previous_secret_has_its_day_and_no_more(shop: Shop, receiver: FlaskClient) -> None:
    change_secret(shop, "new")
    shop.clock.advance(days=400)  # nobody has entered it: the old one stays good
    assert deliver(receiver, 1, "s3cr3t")[0] == 200
    assert deliver(receiver, 2, "new")[0] == 200
    shop.clock.advance(seconds=DAY.total_seconds() - 1)
    assert deliver(receiver, 3, "s3cr3t")[0] == 200
    shop.clock.advance(seconds=1)
    assert deliver(receiver, 4, "s3cr3t")[0] == 401
    change_secret(shop, "newer")  # does not bring it back
    assert deliver(receiver, 4, "s3cr3t")[0] == 401
    assert deliver(receiver, 5, "new")[0] == 200


def test_a_secret_that_is_taken_back_into_use_is_current_and_the_other_previous(
    shop: Shop, receiver: FlaskClient
) -> None:
    change_secret(shop, "new")
    change_secret(shop, "s3cr3t")
    store = shop.store()
    assert store.webhook_secret(shop.context.vault) == "s3cr3t"
    assert store.previous_secrets(shop.context.vault, shop.clock.now()) == ["new"]
    assert deliver(receiver, 1, "new")[0] == 200


def test_a_secret_that_leaked_is_ended_at_once(shop: Shop, receiver: FlaskClient) -> None:
    change_secret(shop, "new", keep_previous=False)
    assert deliver(receiver, 1, "s3cr3t")[0] == 401
    assert deliver(receiver, 1, "new")[0] == 200


# The command.


@pytest.fixture
def counter(ledger: Ledger, database_url: str, tmp_path: Path) -> Iterator[Counter]:
    with open_counter(ledger, database_url, tmp_path) as counter:
        yield counter


def test_rotating_to_the_same_secret_changes_nothing(counter: Counter) -> None:
    counter.add()
    given = ["stores", "rotate-secret", "shop", "--webhook-secret-file", "-"]
    first = counter.run(*given, given="<b>&amp;\n")
    assert (first.returncode, first.stdout) == (0, "Store shop has another webhook secret.\n")
    assert "drops tags" in first.stderr
    assert "amp" not in first.stderr
    store = counter.store()
    again = counter.run(*given, given="<b>&amp;\n")
    assert (again.returncode, again.stdout) == (
        0,
        "That is the webhook secret of store shop already. Nothing is changed.\n",
    )
    assert counter.store() == store
    assert counter.actions() == ["rotate-secret", "add"]
    assert "no delivery has been signed with it yet" in counter.run("stores", "show", "shop").stdout


def test_too_many_secrets_at_once_are_refused_with_the_way_out(counter: Counter) -> None:
    counter.add()
    for _ in range(4):
        counter.json("stores", "rotate-secret", "shop")
    before = counter.store()
    refused = counter.run("stores", "rotate-secret", "shop")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "rotate-secret shop --end-previous" in refused.stderr
    assert counter.store() == before
    counter.json("stores", "rotate-secret", "shop", "--end-previous", "--yes")
    assert counter.store().encrypted_previous_secrets == []
    ended_before = counter.run("stores", "rotate-secret", "shop", "--end-previous")
    assert (ended_before.returncode, "Nothing is changed" in ended_before.stdout) == (0, True)


def test_a_given_secret_and_the_end_of_the_one_before_come_together(counter: Counter) -> None:
    counter.add()
    given = ["stores", "rotate-secret", "shop", "--webhook-secret-file", "-", "--end-previous", "--yes"]
    ended = counter.run(*given, given="leaked-no-more")
    assert ended.returncode == 0, ended.stderr
    assert "it alone is good" in ended.stderr
    store = counter.store()
    assert store.webhook_secret(counter.vault) == "leaked-no-more"
    assert store.encrypted_previous_secrets == []


def test_a_secret_of_a_file_is_the_stores_from_the_start(counter: Counter) -> None:
    (counter.folder / "secret").write_text("<i>žš</i>\n")
    file = str(counter.folder / "secret")
    added = counter.run(
        *("stores", "add", "shop", *IDS, "--token-file", "-", "--webhook-secret-file", file), given=TOKEN
    )
    assert added.returncode == 0, added.stderr
    assert "Secret:" not in added.stdout
    assert "žš" not in added.stdout + added.stderr
    assert counter.store().webhook_secret(counter.vault) == "<i>žš</i>"
    assert Vault([counter.environment["SPACEBRIDGE_SECRET_KEY"]]).decrypt(
        counter.store().encrypted_webhook_secret
    )
    assert datetime.now(UTC) - counter.store().created_at < timedelta(minutes=1)
