"""What is locked, or stands still amid a transaction, holds up nothing but itself."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog
from sqlalchemy import text

from bridge.db import Ledger, LedgerUnavailableError, postgresql
from bridge.db.errors import LedgerBusyError
from bridge.db.tables import deliveries as delivery_table
from bridge.ledger import deliveries, orders, stores
from bridge.pipeline.complete import Completed, record
from bridge.pipeline.context import Context
from bridge.pipeline.process import process_deliveries
from bridge.spaceinvoices import Effect, Outcome
from tests.integration.conftest import MigratedDatabase
from tests.support import proc
from tests.support.api import Api, failing_api
from tests.support.books import add_due, add_store, claim
from tests.support.crowds import Other
from tests.support.running import RunningBridge
from tests.support.servers import START_WITHIN, PostgresServer, RedisServer, wait_until
from tests.support.shop import Shop, at, dispatching, forward, maintain, open_shop

SOON = 30.0  # seconds within which innocent work is done, on however busy a machine


@pytest.fixture
def shop(migrated_database: MigratedDatabase) -> Iterator[Shop]:
    """A shop over PostgreSQL, whose transactions wait no longer for a lock than in production."""
    ledger = Ledger(migrated_database.emptied(), row_timeout=2)
    with open_shop(ledger) as shop:
        shop.context = replace(shop.context, patience=0.5)
        yield shop
    ledger.close()


def body(number: int, second: int = 1) -> dict[str, Any]:
    return {**at(second, status="processing"), "id": number, "order_key": f"wc_order_{number}"}


def states(shop: Shop, ids: Sequence[int]) -> dict[int, str]:
    with shop.context.ledger.read() as connection:
        found = [deliveries.get(connection, one) for one in ids]
    return {one.id: one.state for one in found if one is not None}


def connect(shop: Shop) -> psycopg.Connection[Any]:
    """Somebody else's connection to the same ledger."""
    url = shop.context.ledger._url.set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(url)


@contextlib.contextmanager
def locked(shop: Shop, *numbers: int) -> Iterator[psycopg.Connection[Any]]:
    """Somebody else has the rows of these orders locked."""
    with connect(shop) as other:
        query = "SELECT id FROM orders WHERE resource_id = ANY(%s) FOR UPDATE"
        assert len(other.execute(query, [list(numbers)]).fetchall()) == len(numbers)
        yield other
        other.rollback()


# Processing.


def test_deliveries_are_processed_beside_one_whose_order_is_locked(shop: Shop) -> None:
    shop.process(shop.receive(body(1)))
    stuck = shop.receive(body(1, second=2))
    innocent = [shop.receive(body(number)) for number in range(2, 26)]
    with locked(shop, 1):
        began_at = time.monotonic()
        with structlog.testing.capture_logs() as lines:
            work = process_deliveries(shop.context, [stuck, *innocent])
        assert time.monotonic() - began_at < SOON
        assert set(states(shop, innocent).values()) == {"processed"}
        assert states(shop, [stuck]) == {stuck: "received"}
        assert list(work.due_stores) == [shop.store_id]
        assert [one["delivery"] for one in lines if "is locked" in one["event"]] == [stuck]
        shop.clock.advance(seconds=10)
        assert list(maintain(shop.context).deliveries) == [stuck]
    process_deliveries(shop.context, [stuck])
    assert states(shop, [stuck]) == {stuck: "processed"}


def test_a_message_of_locked_orders_only_keeps_its_thread_for_seconds_and_is_left_to_the_sweep(
    shop: Shop,
) -> None:
    shop.process(*[shop.receive(body(number)) for number in range(1, 26)])
    stuck = [shop.receive(body(number, second=2)) for number in range(1, 26)]
    with locked(shop, *range(1, 26)):
        began_at = time.monotonic()
        assert not process_deliveries(shop.context, stuck).due_stores
        assert time.monotonic() - began_at < 2 * SOON
        assert set(states(shop, stuck).values()) == {"received"}
    process_deliveries(shop.context, stuck)
    assert set(states(shop, stuck).values()) == {"processed"}


def test_a_single_delivery_whose_order_is_locked_says_so_and_counts_as_no_failure(shop: Shop) -> None:
    shop.process(shop.receive(body(1)))
    stuck = shop.receive(body(1, second=2))
    with locked(shop, 1):
        for _ in range(3):
            with pytest.raises(LedgerBusyError, match="LockNotAvailable"):
                process_deliveries(shop.context, [stuck])
    with shop.context.ledger.read() as connection:
        assert connection.execute(text("SELECT max(failures) FROM deliveries")).scalar_one() == 0


def test_the_victim_of_a_deadlock_is_split_and_what_it_held_goes_on(shop: Shop) -> None:
    """Order 2 is locked by somebody who wants order 1, which the deliveries have locked by then."""
    shop.process(shop.receive(body(1)), shop.receive(body(2)))
    received = [shop.receive(body(number, second=2)) for number in (1, 2)]
    patient = replace(shop.context, patience=20)
    with locked(shop, 2) as other:
        # The one that would wait for longest does not look for a deadlock, and so is not its victim.
        other.execute("SET LOCAL deadlock_timeout = '60s'")
        processing = Other(lambda: process_deliveries(patient, received))
        processing.wait_until_it_waits(shop.context.ledger)
        other.execute("SELECT id FROM orders WHERE resource_id = 1 FOR UPDATE")
        other.rollback()
    assert processing.result().due_stores == [shop.store_id]
    assert set(states(shop, received).values()) == {"processed"}


# Claims and outcomes.


@pytest.fixture
def answering(shop: Shop) -> Iterator[tuple[Api, Context]]:
    with failing_api(shop) as (api, context):
        api.order_status = 200
        yield api, context


def test_a_locked_order_holds_up_no_claim_but_its_own_and_goes_out_when_it_is_free(
    shop: Shop, answering: tuple[Api, Context]
) -> None:
    api, context = answering
    due = [shop.paid(number) for number in range(1, 9)]
    with locked(shop, 4):
        forward(context, shop.store_id, threads=2)
        assert sorted(api.orders) == [1, 2, 3, 5, 6, 7, 8]
        left = shop.issuance(due[3])
        assert (left.state, left.attempts, left.last_error) == ("due", 0, None)
    forward(context, shop.store_id)
    assert sorted(api.orders) == list(range(1, 9))


def test_an_outcome_whose_order_is_locked_waits_for_it_and_holds_up_no_other(
    shop: Shop, answering: tuple[Api, Context]
) -> None:
    api, context = answering
    stuck = shop.paid(1)
    is_asked, may_answer = threading.Event(), threading.Event()

    def wait() -> None:
        if api.orders[-1] == 1:
            is_asked.set()
            may_answer.wait(START_WITHIN)

    api.before_answer = wait
    with dispatching(context, threads=4) as dispatcher:
        dispatcher.wake([shop.store_id])
        assert is_asked.wait(START_WITHIN)
        with locked(shop, 1):
            may_answer.set()
            others = [shop.paid(number) for number in range(2, 12)]
            dispatcher.wake([shop.store_id])
            wait_until(lambda: {shop.issuance(one).state for one in others} == {"issued"}, "ten invoices")
            assert shop.issuance(stuck).state == "sending"
        wait_until(lambda: dispatcher.is_idle, "an idle dispatcher")
    assert (shop.issuance(stuck).state, api.orders.count(1)) == ("issued", 1)


def test_a_lease_that_ended_is_released_beside_one_whose_order_is_locked(shop: Shop) -> None:
    due = [shop.paid(number) for number in (1, 2, 3)]
    for one in due:
        shop.claim(one, lease=1)
    shop.clock.advance(seconds=2)
    with locked(shop, 1):
        maintain(shop.context)
        assert [shop.issuance(one).state for one in due] == ["sending", "held", "held"]
    maintain(shop.context)
    assert shop.issuance(due[0]).state == "held"


def test_outcomes_of_several_stores_lock_these_by_their_ids_so_that_nobody_waits_in_a_circle(
    shop: Shop,
) -> None:
    ledger, second = shop.context.ledger, shop.claim(shop.paid(1), lease=40)
    with ledger.write() as connection:
        later_store = add_store(connection, "later")
        first = claim(connection, add_due(connection, later_store, 7))
    ended = [Completed(one, Outcome(Effect.NOT_TAKEN, "busy"), 0.1) for one in (first, second)]

    def record_both() -> None:
        with ledger.write(lock_timeout=START_WITHIN) as connection:
            locked = orders.lock_each(connection, [first.order_id, second.order_id])
            record(shop.context, connection, ended, locked)

    with connect(shop) as other:
        lock = "SELECT id FROM stores WHERE id = %s FOR NO KEY UPDATE"
        other.execute(lock, [shop.store_id])
        recording = Other(record_both)
        recording.wait_until_it_waits(ledger)
        other.execute(f"{lock} NOWAIT", [later_store])
        other.rollback()
    recording.result()
    with ledger.read() as connection:
        assert [stores.get(connection, one).failures for one in (shop.store_id, later_store)] == [1, 1]


# A process that stands still.


@pytest.mark.parametrize("after", ["an answer", "a change"])
def test_a_server_ends_the_transaction_of_a_process_that_stands_still_which_then_has_written_nothing(
    migrated_database: MigratedDatabase, shop: Shop, after: str
) -> None:
    shop.process(shop.receive(body(1)))
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_stand_still, args=(migrated_database.url, after, there))
    process.start()
    assert here.poll(START_WITHIN)
    assert here.recv() == "in a transaction"
    assert process.pid is not None
    wait_until(lambda: proc.state(process.pid or 0) == "T", "a process that is stopped")
    with pytest.raises(LedgerBusyError), shop.context.ledger.write(lock_timeout=0.05) as connection:
        orders.lock(connection, 1)
    # It has two seconds, and is not waited for any longer than that.
    with shop.context.ledger.write(lock_timeout=SOON) as connection:
        orders.lock(connection, 1)
    os.kill(process.pid, signal.SIGCONT)
    assert here.poll(START_WITHIN)
    assert here.recv() == "LedgerUnavailableError"
    process.join(START_WITHIN)
    assert shop.order().reason != "changed by one that stood still"


def _stand_still(url: str, after: str, pipe: Any) -> None:
    """Stop in a transaction that has order 1 locked; then go on, and try to commit."""
    for name in ("IDLE_TRANSACTION_TIMEOUT", "TRANSACTION_TIMEOUT"):
        setattr(postgresql, name, 2.0)
    change = "UPDATE orders SET reason = 'changed by one that stood still'"
    try:
        with Ledger(url).write() as connection:
            orders.lock(connection, 1)
            if after == "a change":
                connection.execute(text(change))
            pipe.send("in a transaction")
            os.kill(os.getpid(), signal.SIGSTOP)
            connection.execute(text(change))
    except LedgerUnavailableError:
        pipe.send("LedgerUnavailableError")
    else:
        pipe.send("committed")


def test_a_transaction_is_told_how_long_it_may_be_idle_also_behind_a_pooler(shop: Shop) -> None:
    settings = ("lock_timeout", "idle_in_transaction_session_timeout")
    with shop.context.ledger.write() as connection:
        found = [connection.execute(text(f"SHOW {one}")).scalar_one() for one in settings]
    assert found == ["2s", "30s"]
    with shop.context.ledger.write(lock_timeout=0.5, no_time_limit=True) as connection:
        found = [connection.execute(text(f"SHOW {one}")).scalar_one() for one in settings]
    assert found == ["500ms", "0"]


# Whole bridges.


@contextlib.contextmanager
def running(folder: Path, url: str, redis_server: RedisServer) -> Iterator[RunningBridge]:
    """A bridge with two workers, of which the second is not started yet."""
    bridge = RunningBridge(folder, database_url=url, broker_url=redis_server.new_url(), workers=2)
    second = bridge.parts.pop("worker1")
    with bridge:
        bridge.add_store("shop")
        bridge.wait_for_config("shop")
        bridge.parts["worker1"] = second
        yield bridge


def deliver(bridge: RunningBridge, number: int, second: int = 1) -> None:
    assert bridge.deliver("shop", json.dumps(body(number, second)).encode()).status_code == 200


def issued(bridge: RunningBridge) -> list[int]:
    return sorted(document["orderId"] for document in bridge.sandbox()["documents"])


def test_fifty_orders_are_issued_while_another_is_locked(
    postgres_server: PostgresServer, redis_server: RedisServer, tmp_path: Path
) -> None:
    url = postgres_server.new_database("locked")
    others = list(range(2, 52))
    with running(tmp_path, url, redis_server) as bridge:
        deliver(bridge, 1)
        bridge.wait_until_settled()
        with psycopg.connect(url) as other:
            other.execute("SELECT id FROM orders WHERE resource_id = 1 FOR UPDATE")
            deliver(bridge, 1, second=2)
            for number in others:
                deliver(bridge, number)
            wait_until(lambda: issued(bridge) == [1, *others], "fifty documents", within=20)
            assert bridge.count(delivery_table, "received") == 1
            other.rollback()
        bridge.wait_until_settled()
        assert issued(bridge) == [1, *others]


def test_a_worker_that_stands_still_amid_a_transaction_holds_up_only_what_it_has_and_that_not_for_good(
    postgres_server: PostgresServer, redis_server: RedisServer, tmp_path: Path
) -> None:
    url = postgres_server.new_database("standing")
    others = list(range(2, 52))
    with (
        running(tmp_path, url, redis_server) as bridge,
        psycopg.connect(url, autocommit=True) as observer,
    ):
        observer.execute(
            "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_sleep(2); RETURN NEW; END $$"
        )
        observer.execute(
            "CREATE TRIGGER lingering BEFORE INSERT ON orders FOR EACH ROW WHEN (NEW.resource_id = 1) "
            "EXECUTE FUNCTION linger()"
        )
        deliver(bridge, 1)
        asleep = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = 'standing'"
        wait_until(lambda: observer.execute(asleep).fetchone() is not None, "a transaction")
        worker = bridge.parts["worker"].process
        assert worker is not None
        os.kill(worker.pid, signal.SIGSTOP)
        try:
            bridge.parts["worker1"].start()
            for number in others:
                deliver(bridge, number)
            wait_until(lambda: issued(bridge) == others, "fifty documents", within=25)
            assert bridge.count(delivery_table, "received") == 1
            # Half a minute later, the server has ended the transaction.
            wait_until(lambda: issued(bridge) == [1, *others], "the last document", within=60)
        finally:
            os.kill(worker.pid, signal.SIGCONT)
        wait_until(lambda: "ledger unavailable" in bridge.log.read_text(), "what the first worker found")
        bridge.wait_until_settled()
        assert issued(bridge) == [1, *others]
