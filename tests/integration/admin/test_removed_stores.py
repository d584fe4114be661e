"""A store that is removed sends nothing more, and one that comes back issues nothing twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from bridge.admin import manage_stores
from bridge.admin.manage_stores import NewStore
from bridge.db import Ledger, LedgerUnavailableError, tables
from bridge.issuance import StoreOptions
from bridge.ledger import (
    backlog,
    deliveries,
    issuances,
    orders,
    shop_approvals,
    shops,
    store_pauses,
    stores,
)
from bridge.maintenance.redecide import redecide
from bridge.pipeline.process import process_deliveries
from bridge.pipeline.store_configs import refresh_config
from tests.support.connected import connect_shop
from tests.support.counter import IDS, Counter, open_counter
from tests.support.recorded import load
from tests.support.running import run_command
from tests.support.shop import ORGANIZATION, TOKEN, WOOCOMMERCE, Shop, at, forward, forward_issuance, maintain

WHO = "anna@host"
ORDER = load("life-of-a-store")[4]


def remove(shop: Shop) -> int:
    with shop.context.ledger.write() as connection:
        store = stores.lock(connection, shop.store_id)
        return manage_stores.remove(connection, store, who=WHO, now=shop.clock.now())


def add_again(shop: Shop, name: str = "shop", woocommerce: str = WOOCOMMERCE) -> bool:
    """Add the store anew; whether it is the one that was removed. Its config is fetched."""
    new = NewStore(name, ORGANIZATION, woocommerce, TOKEN, "another-secret", StoreOptions())
    with shop.context.ledger.write() as connection:
        is_back = manage_stores.add(connection, shop.context.vault, new, None, who=WHO, now=shop.clock.now())
        store = stores.find(connection, name)
    assert store is not None
    refresh_config(shop.context, store.id)
    return is_back


def test_what_was_due_is_withdrawn_for_good_and_nothing_is_sent(shop: Shop) -> None:
    invoice = shop.paid(1)
    assert remove(shop) == 1
    removed = shop.store()
    assert (removed.name, removed.state) == (f"shop.removed-{shop.store_id}", "removed")
    assert (removed.encrypted_api_token, removed.encrypted_webhook_secret) == ("", "")
    before = shop.requests()
    shop.clock.advance(days=1)
    redecide(shop.context)
    work = maintain(shop.context)
    assert (list(work.due_stores), list(work.configs)) == ([], [])
    forward_issuance(shop.context, invoice)
    refresh_config(shop.context, shop.store_id)
    assert (shop.requests(), shop.documents()) == (before, [])
    found = shop.issuance(invoice)
    assert (found.state, found.withdrawn_by) == ("withdrawn", WHO)
    assert (shop.order().decision, shop.order().reason) == ("skip", "The store was removed.")
    with shop.context.ledger.read() as connection:
        measured = backlog.measure(connection, shop.clock.now())
    assert (measured.open_issuances["due"], measured.stores_paused) == (0, 0)


def test_a_store_that_was_paused_is_no_longer_counted_as_such(shop: Shop) -> None:
    with shop.context.ledger.write() as connection:
        store_pauses.pause(connection, shop.store_id, reason="401", now=shop.clock.now(), next_probe_at=None)
    remove(shop)
    with shop.context.ledger.read() as connection:
        assert backlog.measure(connection, shop.clock.now()).stores_paused == 0


def test_the_keys_of_its_shop_are_erased_and_a_store_that_comes_back_is_not_connected(shop: Shop) -> None:
    context = shop.context
    with context.ledger.write() as connection:
        connect_shop(connection, context.vault, shop.store_id, shop.clock.now())
        shop_approvals.begin(
            connection, shop.store_id, "https://shop.example", "0" * 32, who=WHO, now=shop.clock.now()
        )
    remove(shop)
    with context.ledger.read() as connection:
        assert connection.execute(select(tables.shops)).all() == []
        assert shop_approvals.find(connection, "0" * 32) is None
    assert add_again(shop)
    with context.ledger.read() as connection:
        assert shops.of_store(connection, shop.store_id) is None


def test_a_delivery_that_was_on_its_way_is_kept_and_has_nothing_issued(shop: Shop) -> None:
    received = shop.receive(at(1, status="processing"))
    remove(shop)
    process_deliveries(shop.context, [received])
    with shop.context.ledger.read() as connection:
        delivery = deliveries.get(connection, received)
    assert delivery is not None
    assert delivery.state == "processed"
    assert (shop.order().decision, shop.states()) == ("skip", {})


def test_a_request_that_was_under_way_comes_to_its_end(shop: Shop) -> None:
    invoice = shop.paid(1)
    attempt = shop.claim(invoice, lease=40)
    remove(shop)
    with shop.context.ledger.write() as connection:
        issuances.mark_issued(connection, [attempt.issuance_id], shop.clock.now())
    assert shop.issuance(invoice).state == "issued"


def test_what_a_worker_makes_due_by_what_the_store_was_is_withdrawn_by_the_sweep(shop: Shop) -> None:
    invoice = shop.paid(1)
    remove(shop)
    with shop.context.ledger.write() as connection:
        order = orders.lock(connection, shop.order().id)
        assert issuances.send_again(connection, invoice, shop.clock.now())
        older = shop.store().decision_version - 1
        as_it_was = replace(order, decision="invoice", reason="as it was", decided_version=older)
        orders.save(connection, [as_it_was])
    redecide(shop.context)
    assert shop.issuance(invoice).state == "withdrawn"
    for _ in range(2):
        shop.clock.advance(minutes=1, seconds=1)
        redecide(shop.context)
    assert shop.store().deciding_anew_since is None


def test_a_store_that_comes_back_issues_nothing_twice(shop: Shop) -> None:
    issued, due = shop.paid(1), shop.paid(2)
    forward_issuance(shop.context, issued)
    remove(shop)
    assert add_again(shop, "shop-again") is True
    store = shop.store()
    assert (store.name, store.state) == ("shop-again", "active")
    assert store.webhook_secret(shop.context.vault) == "another-secret"
    redecide(shop.context)
    assert list(maintain(shop.context).due_stores) == []
    # The shop goes on sending, as it does whenever somebody saves an order.
    for number in (1, 2):
        again = {**at(30, status="completed"), "id": number, "order_key": f"wc_order_{number}"}
        assert shop.process(shop.receive(again)) == []
    assert shop.documents() == ["invoice"]
    assert (shop.issuance(issued).state, shop.issuance(due).state) == ("issued", "withdrawn")
    forward_issuance(shop.context, shop.paid(3))
    assert shop.documents() == ["invoice"] * 2


def test_an_order_that_waited_as_its_store_was_removed_is_issued_once_it_is_back(shop: Shop) -> None:
    shop.process(shop.receive(at(1, status="pending")))
    remove(shop)
    add_again(shop)
    redecide(shop.context)
    assert shop.order().decision == "wait"
    (invoice,) = shop.process(shop.receive(at(2, status="processing")))
    forward_issuance(shop.context, invoice)
    assert shop.documents() == ["invoice"]


def test_another_object_under_the_same_name_is_another_store(shop: Shop) -> None:
    shop.paid(1)
    remove(shop)
    assert add_again(shop, "shop", "64b7e0c0a1b2c3d4e5f60720") is False
    with shop.context.ledger.read() as connection:
        new = stores.find(connection, "shop")
        assert new is not None
        assert new.id != shop.store_id
        assert orders.listed(connection, store="shop") == []
        assert len(orders.listed(connection, store=f"shop.removed-{shop.store_id}")) == 1


def test_a_store_is_removed_while_workers_are_at_it(shop: Shop) -> None:
    """Nobody waits for ever for another, and whatever was sent is known."""
    for number in range(1, 41):
        shop.paid(number)
    received = [
        shop.receive({**at(1, status="processing"), "id": number, "order_key": f"wc_order_{number}"})
        for number in range(41, 61)
    ]
    start = threading.Barrier(9)

    def work(step: int) -> None:
        start.wait()
        forward(shop.context, shop.store_id, threads=2)
        for one in received[step::8]:
            process_deliveries(shop.context, [one])
        shop.context.close()

    def take_away() -> None:
        start.wait()
        remove(shop)

    with ThreadPoolExecutor(9) as pool:
        at_it = [pool.submit(work, step) for step in range(8)]
        at_it.append(pool.submit(take_away))
        for one in at_it:
            error = one.exception()
            # By the time a worker comes to send, the token may be gone: the sweep withdraws what it has left.
            assert error is None or not isinstance(error, LedgerUnavailableError), error
    maintain(shop.context)
    redecide(shop.context)
    with shop.context.ledger.read() as connection:
        found = issuances.listed(connection, limit=100)
    assert {one.state for one in found} <= {"issued", "withdrawn"}
    assert len(shop.documents()) == sum(one.state == "issued" for one in found)


# The command.


@pytest.fixture
def counter(ledger: Ledger, database_url: str, tmp_path: Path) -> Iterator[Counter]:
    with open_counter(ledger, database_url, tmp_path) as counter:
        yield counter


def test_a_store_is_removed_once_and_its_name_is_free(counter: Counter) -> None:
    counter.add()
    store = counter.store()
    removed = counter.json("stores", "remove", "shop", "--yes", "--as", "Anna")
    assert removed == {"name": "shop", "removed_as": f"shop.removed-{store.id}", "withdrawn": 0}
    again = counter.run("stores", "remove", "shop")  # asks nothing, since there is nothing to do
    assert again.returncode == 0
    assert "was removed before" in again.stdout
    assert counter.json("stores", "list") == []
    assert [row["state"] for row in counter.json("stores", "list", "--removed")] == ["removed"]
    shown = counter.run("stores", "show", removed["removed_as"]).stdout
    assert "nothing comes in or is issued any more" in shown
    assert "Delivery URL" not in shown
    assert "Anna (" in shown
    gone = counter.run("stores", "show", "shop")
    assert f"It was removed, and is shop.removed-{store.id} now." in gone.stderr
    for verb in ("pause", "sync", "remove"):
        refused = counter.run("stores", verb, removed["removed_as"], *(["--yes"] if verb == "remove" else []))
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "was removed, and can only be shown" in refused.stderr
    back = counter.run("stores", "add", "shop", *IDS, "--token-file", "-", given=TOKEN)
    assert "What it issued then is known" in back.stdout
    assert counter.store().id == store.id
    assert counter.actions() == ["add", "remove", "add"]


def test_what_is_lost_by_a_removal_is_told_before_it_is_done(
    shop: Shop, tmp_path: Path, database_url: str
) -> None:
    shop.paid(1)
    held = shop.paid(2)
    shop.claim(held, lease=1)
    shop.receive(at(5, status="processing", id=3))
    shop.clock.advance(seconds=2)
    maintain(shop.context)
    environment = {
        "SPACEBRIDGE_DATABASE_URL": database_url,
        "SPACEBRIDGE_SECRET_KEY": "x" * 43 + "=",
    }
    refused = run_command(tmp_path, "stores", "remove", "shop", given="y\n", **environment)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "Documents that are due and will not be issued: 1\n" in refused.stderr
    assert "Deliveries that are not processed yet and will have no effect: 1\n" in refused.stderr
    assert shop.store().state == "active"
    done = run_command(tmp_path, "stores", "remove", "shop", "--yes", **environment)
    assert done.returncode == 0, done.stderr
    assert "Documents that were due and are not issued: 1" in done.stdout
    assert f"issuances list --store shop.removed-{shop.store_id} --state held" in done.stderr
    assert shop.issuance(held).state == "held"
