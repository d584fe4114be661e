"""Back-ups: made while deliveries come in, put back into another place, and nothing is issued twice."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.admin import RefusedError, operate, restore
from bridge.admin.backup import back_up
from bridge.db import Ledger
from bridge.db.tables import deliveries as delivery_table
from bridge.ledger import actions, deliveries, issuances
from bridge.pipeline.context import Clients, Context
from tests.support import backups
from tests.support.books import add_due, add_store, delivery_of, insert_delivery
from tests.support.running import RunningBridge, run_command
from tests.support.servers import PostgresServer, RedisServer, wait_until
from tests.support.shop import Shop, at, forward_issuance, maintain


def body(number: int) -> bytes:
    return json.dumps(at(1, status="processing", id=number, order_key=f"wc_order_{number}")).encode()


@contextmanager
def delivering(bridge: RunningBridge, store: str) -> Iterator[list[int]]:
    """Deliver one order after the other from another thread; the numbers of those acknowledged so far."""
    acknowledged: list[int] = []
    is_over = threading.Event()

    def deliver() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            if bridge.deliver(store, body(number)).status_code == 200:
                acknowledged.append(number)

    thread = threading.Thread(target=deliver)
    thread.start()
    try:
        yield acknowledged
    finally:
        is_over.set()
        thread.join()


def test_a_backup_made_under_load_is_put_back_and_no_document_is_issued_twice(
    bridge: RunningBridge, redis_server: RedisServer, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    url = (
        bridge.environment["SPACEBRIDGE_DATABASE_URL"] or f"sqlite:///{bridge.folder / 'data' / 'ledger.db'}"
    )
    server = backups.server_of(url, postgres_server)
    woocommerce = bridge.add_store("busy")
    bridge.wait_for_config("busy")
    with delivering(bridge, "busy") as acknowledged:
        wait_until(lambda: len(bridge.issued(woocommerce)) > 10, "documents before the back-up")
        before = set(acknowledged)
        backups.back_up(url, tmp_path / "backup", server)
        enough = len(acknowledged) + 15
        wait_until(lambda: len(acknowledged) > enough, "deliveries after the back-up")
    bridge.wait_until_settled()
    issued = bridge.issued(woocommerce)
    assert issued == {number: ["invoice"] for number in acknowledged}

    (tmp_path / "second").mkdir()
    second = RunningBridge(
        tmp_path / "second",
        database_url=backups.restore(tmp_path / "backup", tmp_path / "restored", server),
        broker_url=redis_server.new_url(),
        SPACEBRIDGE_SECRET_KEY=bridge.environment["SPACEBRIDGE_SECRET_KEY"],
        SPACEBRIDGE_API_URL=bridge.environment["SPACEBRIDGE_API_URL"],
    )
    with second.ledger.read() as connection:
        restored = {one.resource_id for one in deliveries.listed(connection, limit=10_000)}
    assert before <= restored
    assert restored < set(acknowledged)
    command(second, "db", "after-restore", "--yes")
    with second:
        # Everything that the shop has touched since, and more, is delivered once more, with one new order.
        new = max(acknowledged) + 1
        for number in [*acknowledged, new]:
            answer = second.deliver("busy", body(number))
            assert answer.json()["status"] == ("duplicate" if number in restored else "accepted")
        wait_until(lambda: not second.count(delivery_table, "received"), "processed deliveries")
        command(second, "db", "after-restore", "--yes")
        assert bridge.issued(woocommerce) == issued
        with second.ledger.read() as connection:
            held = issuances.listed(connection, state="held", limit=10_000)
        assert {one.order for one in held} >= set(acknowledged) - restored | {new}
        there = [str(one.id) for one in held if one.order in issued]
        missing = [str(one.id) for one in held if one.order not in issued]
        command(second, "issuances", "mark-issued", "--yes", *there)
        command(second, "issuances", "resend", "--yes", *missing)
        command(second, "stores", "resume", "busy")
        second.wait_until_settled()
    assert bridge.issued(woocommerce) == {**issued, new: ["invoice"]}


def command(bridge: RunningBridge, *arguments: str) -> None:
    ended = run_command(bridge.folder, *arguments, **bridge.environment)
    assert ended.returncode == 0, ended.stderr


def restored_copy(shop: Shop, url: str, folder: Path, server: PostgresServer) -> Context:
    """What works on a ledger that was backed up just now and put back in another place."""
    of = backups.server_of(url, server)
    backups.back_up(url, folder / "backup", of)
    ledger = Ledger(backups.restore(folder / "backup", folder / "restored", of))
    return replace(shop.context, ledger=ledger, _clients=Clients())


def test_what_was_due_or_being_sent_in_a_backup_is_held_and_sent_only_by_an_operator(
    shop: Shop, database_url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    settled, due, sending, unprocessed = shop.paid(2), shop.paid(3), shop.paid(4), at(1, id=5, order_key="5")
    forward_issuance(shop.context, settled)
    shop.claim(sending, lease=60)
    arrived = shop.receive({**unprocessed, "status": "processing"})
    context = restored_copy(shop, database_url, tmp_path, postgres_server)
    (fifth,) = shop.process(arrived)  # all of them are issued after the back-up
    for one in (due, fifth):
        forward_issuance(shop.context, one)
    assert len(shop.documents()) == 3
    before = shop.requests()

    now = shop.clock.now()
    assert restore.extent(context.ledger) == restore.Extent(["shop"], due=1, sending=1)
    assert restore.pause_all(context.ledger, who="maja", now=now) == ["shop"]
    assert restore.hold_all(context.ledger, who="maja", now=now) == 2
    again = replace(shop, context=context)
    assert [again.issuance(one).state for one in (settled, due, sending)] == ["issued", "held", "held"]
    assert again.store().is_paused_by_operator
    (fifth,) = again.process(arrived)
    shop.clock.advance(hours=2)
    for one in (due, sending, fifth):
        forward_issuance(context, one)
    assert not maintain(context).due_stores
    assert shop.requests() == before
    assert again.issuance(fifth).state == "due"

    assert restore.hold_all(context.ledger, who="maja", now=now) == 1
    assert restore.hold_all(context.ledger, who="maja", now=now) == 0
    assert restore.pause_all(context.ledger, who="maja", now=now) == []
    assert again.issuance(fifth).state == "held"
    # Each of them is one that nobody sends without having looked.
    assert {one.id for one in operate.doubtful(context.ledger, [due, sending, fifth])} == {
        due,
        sending,
        fifth,
    }
    for one in (due, sending, fifth):
        refused = operate.resend(context.ledger, one, cleared_attempt=None, who="maja", now=now)
        assert not refused.is_fulfilled
        with context.ledger.read() as connection:
            found = issuances.get(connection, one)
            assert found is not None
            told = actions.of_resource(connection, shop.store_id, found.order)
        assert (told[0].verb, told[0].who, told[0].issuance_id) == ("after-restore", "maja", one)
        assert "is held -> attention: Whether the invoice was issued is not known" in told[0].result
        assert "put back from a back-up" in (found.last_error or "")
    context.ledger.close()


def test_an_answer_that_comes_after_all_to_what_was_held_is_recorded(shop: Shop) -> None:
    invoice = shop.paid(1)
    attempt = shop.claim(invoice, lease=60)
    assert restore.hold_all(shop.context.ledger, who="maja", now=shop.clock.now()) == 1
    assert shop.issuance(invoice).attempt_id == attempt.id
    with shop.context.ledger.write() as connection:
        issuances.mark_issued(connection, [invoice], shop.clock.now())
    assert shop.issuance(invoice).state == "issued"


def test_a_store_that_an_operator_had_paused_keeps_the_reason(shop: Shop) -> None:
    ledger = shop.context.ledger
    restore.pause_all(ledger, who="anna", now=shop.clock.now())
    assert "paused by anna: the ledger was put back from a back-up" in (shop.store().pause_reason or "")
    assert restore.pause_all(ledger, who="maja", now=shop.clock.now()) == []
    assert "anna" in (shop.store().pause_reason or "")


def test_a_great_many_documents_are_held_in_several_transactions(shop: Shop) -> None:
    ledger, number = shop.context.ledger, restore.BATCH + 3
    with ledger.write() as connection:
        for one in range(number):
            add_due(connection, shop.store_id, one + 1)
    assert restore.hold_all(ledger, who="maja", now=shop.clock.now()) == number
    assert restore.extent(ledger).due == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with an embedded ledger in which something is due."""
    assert run_command(tmp_path, "db", "upgrade").returncode == 0
    with closing(Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")) as ledger, ledger.write() as connection:
        add_due(connection, add_store(connection))
    return tmp_path


def state(folder: Path) -> str:
    with closing(Ledger(f"sqlite:///{folder / 'ledger.db'}")) as ledger, ledger.read() as connection:
        (found,) = issuances.listed(connection)
        return found.state


def test_after_restore_asks_first_and_explain_tells_of_it(folder: Path) -> None:
    asked = run_command(folder, "db", "after-restore")
    assert (asked.returncode, asked.stdout, state(folder)) == (1, "", "due")
    assert "paused: shop. Documents that will be held: 1 that are due" in asked.stderr
    done = run_command(folder, "db", "after-restore", "--yes", "--json", "--as", "Maja")
    assert json.loads(done.stdout) == {"paused": ["shop"], "held": 1}
    assert state(folder) == "held"
    again = run_command(folder, "db", "after-restore", "--yes", "--json")
    assert json.loads(again.stdout) == {"paused": [], "held": 0}
    timeline = json.loads(run_command(folder, "orders", "explain", "shop", "1", "--json").stdout)
    what = [event["what"] for event in timeline["events"]]
    assert what[1].startswith("after-restore of issuance 1 by Maja (")
    assert timeline["events"][2]["result"].startswith("unknown: the ledger was put back from a back-up")
    assert timeline["orders"][0]["decision"] == "attention"


def test_a_backup_is_one_file_for_its_owner_alone_and_takes_the_place_of_none(folder: Path) -> None:
    file = folder / "backups" / "ledger"
    file.parent.mkdir()
    made = run_command(folder, "db", "backup", str(file), "--json")
    assert json.loads(made.stdout) == {"file": str(file), "bytes": file.stat().st_size}
    assert str(folder / "secret.key") in run_command(folder, "db", "backup", f"{file}2").stderr
    assert sorted(os.listdir(file.parent)) == ["ledger", "ledger2"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    refused = run_command(folder, "db", "backup", str(file))
    assert (refused.returncode, file.read_bytes()) == (1, before)
    assert "no back-up is overwritten" in refused.stderr
    nowhere = run_command(folder, "db", "backup", str(folder / "no" / "file"))
    assert nowhere.returncode == 1
    assert "Traceback" not in nowhere.stderr


def test_a_ledger_of_an_older_version_can_be_backed_up(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "ledger.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    assert run_command(folder, "db", "backup", str(folder / "old")).returncode == 0
    with closing(sqlite3.connect(folder / "old")) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)


def test_a_damaged_ledger_gives_no_backup(folder: Path) -> None:
    with closing(Ledger(f"sqlite:///{folder / 'ledger.db'}")) as ledger, ledger.write() as connection:
        store_id = add_store(connection, "big")
        for number in range(300):
            new = delivery_of(store_id, b"{}", topic="x" * 500, digest=os.urandom(32), resource_id=number)
            insert_delivery(connection, **new)
    file = folder / "ledger.db"
    with file.open("r+b") as damaged:
        damaged.seek(file.stat().st_size - 20 * 4096)
        damaged.write(b"\xff" * 8 * 4096)
    refused = run_command(folder, "db", "backup", str(folder / "backup"))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "damaged" in refused.stderr or "malformed" in refused.stderr
    assert not list(folder.glob("*backup*"))


def test_a_ledger_in_a_server_and_none_at_all_are_not_backed_up(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    with closing(Ledger(postgres_server.new_database("backup"))) as ledger:
        ledger.upgrade()
        with pytest.raises(RefusedError, match="pg_dump"):
            back_up(ledger, tmp_path / "backup")
    with pytest.raises(RefusedError, match="no ledger to back up"):
        back_up(Ledger(f"sqlite:///{tmp_path / 'none.db'}"), tmp_path / "backup")
    assert list(tmp_path.iterdir()) == []
