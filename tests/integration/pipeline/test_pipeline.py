"""The pipeline's steps on both databases: in any order, several at once, and with an API that misbehaves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from bridge.db import Ledger, tables
from bridge.ledger import deliveries, issuances, kept_deliveries, orders, store_configs, stores
from bridge.maintenance.redecide import redecide
from bridge.maintenance.rescue import rescue
from bridge.maintenance.sweep import sweep
from bridge.pipeline.context import Clients
from bridge.pipeline.process import process_deliveries
from tests.support.crowds import Other
from tests.support.shop import WOOCOMMERCE, Shop, at, forward_issuance, maintain


def test_an_order_that_was_restored_is_not_deleted_whichever_delivery_is_processed_first(shop: Shop) -> None:
    created = shop.receive(at(1, status="processing"))
    trashed = shop.receive({"id": 1}, "order.deleted")
    restored = shop.receive(at(9, status="processing"))
    shop.process(created, restored, trashed)  # the deletion has been processed on the way
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
        assert kept_deliveries.replay(connection, trashed)
    shop.process(trashed)
    assert shop.order().decision == "invoice"


def test_of_two_level_snapshots_of_one_second_the_one_that_arrived_last_counts(shop: Shop) -> None:
    first = shop.receive(at(1, status="processing", total="10.00"))
    second = shop.receive(at(1, status="processing", total="20.00"))
    shop.process(second, first)
    snapshot = shop.order().snapshot
    assert snapshot is not None
    assert snapshot.total == "20.00"


@pytest.mark.parametrize("is_config_known", [True, False])
def test_what_is_to_be_done_next_is_to_send_or_first_to_fetch_the_config(
    shop: Shop, is_config_known: bool
) -> None:
    if not is_config_known:
        with shop.context.ledger.write() as connection:
            connection.execute(update(tables.stores).values(config=None))
    work = process_deliveries(shop.context, [shop.receive(at(1, status="processing"))])
    expected = ([shop.store_id], []) if is_config_known else ([], [shop.store_id])
    assert (work.due_stores, work.configs) == expected


def test_a_delivery_keeps_what_it_said_of_its_order_and_what_was_decided(shop: Shop) -> None:
    trashed = shop.receive({"id": 1}, "order.deleted")
    paid, older = shop.receive(at(9, status="processing")), shop.receive(at(1, status="pending"))
    shop.process(trashed, paid, older)
    with shop.context.ledger.read() as connection:
        found = [deliveries.get(connection, one) for one in (trashed, paid, older)]
    reasons = [one.reason or "" for one in found if one is not None]
    assert reasons[0] == "deletes an order of which nothing was known"
    assert reasons[1].startswith("order 1 is processing -> invoice")
    assert reasons[2].startswith("older than what was known of the order -> invoice")


def test_a_delivery_that_is_processed_is_logged_with_its_store_and_its_order(shop: Shop) -> None:
    received = [shop.receive({**at(1), "id": number, "order_key": f"key {number}"}) for number in (7, 8)]
    with capture_logs() as logged:
        process_deliveries(shop.context, received)
    line = {"event": "delivery processed", "log_level": "info", "store": "shop"}
    assert logged == [line | {"delivery": one, "order": n} for one, n in zip(received, (7, 8), strict=True)]


def test_an_order_whose_issuance_is_stuck_is_decided_anew_when_the_rules_change(shop: Shop) -> None:
    (estimate,) = shop.process(shop.receive(at(1, status="on-hold", payment_method="bacs")))
    attempt = shop.claim(estimate, lease=40)
    with shop.context.ledger.write() as connection:
        issuances.mark_failed(connection, attempt, error="refused", now=shop.clock.now())
        config = {"id": WOOCOMMERCE, "name": "Shop", "issueInvoiceForBankPayment": True}
        store_configs.save(connection, stores.get(connection, shop.store_id), config, shop.clock.now())
    redecide(shop.context)
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
        list(workers.map(lambda one: process_deliveries(shop.context, [one]), received * 3))
    assert shop.states() == {"invoice": "due"}
    with shop.context.ledger.read() as connection:
        assert {one.state for one in deliveries.listed(connection)} == {"processed"}
    assert shop.order().delivery_id == received[-1]


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
    away = replace(shop.context, api_url="http://127.0.0.1:1/v1", _clients=Clients())
    forward_issuance(away, invoice)
    assert shop.states() == {"invoice": "due"}
    shop.clock.advance(seconds=6)
    assert list(maintain(shop.context).due_stores) == [shop.store_id]
    forward_issuance(shop.context, invoice)
    assert shop.documents() == ["invoice"]


def test_an_order_whose_key_no_header_can_carry_gets_its_invoice(shop: Shop) -> None:
    (invoice,) = shop.process(shop.receive(at(1, status="processing", order_key="naročilo 1 €")))
    forward_issuance(shop.context, invoice)
    assert shop.documents() == ["invoice"]


def test_a_row_that_somebody_holds_keeps_no_other_work_from_being_found(
    shop: Shop, database_url: str
) -> None:
    held_up, due = shop.paid(1), shop.paid(2)
    shop.claim(held_up, lease=10)
    shop.clock.advance(minutes=1)
    impatient = Ledger(database_url, lock_timeout=0.5)
    with shop.context.ledger.write() as connection:
        orders.lock(connection, shop.issuance(held_up).order_id)
        context = replace(shop.context, ledger=impatient)
        rescue(context)
        assert list(sweep(context).due_stores) == [shop.store_id]
    impatient.close()
    assert shop.issuance(due).state == "due"


def test_a_deletion_means_the_youngest_order_of_its_id(shop: Shop) -> None:
    """A shop that was installed anew starts its ids again."""
    for second, key in enumerate(["wc_order_z", "wc_order_a"], start=1):
        body = at(second, status="processing", order_key=key, date_created_gmt=f"2026-11-0{second}T12:00:00")
        shop.process(shop.receive(body))
    shop.process(shop.receive({"id": 1}, "order.deleted"))
    with shop.context.ledger.read() as connection:
        before, after = orders.of_resource(connection, shop.store_id, 1)
    assert (before.order_key, before.deleted_at, before.decision) == ("wc_order_z", None, "invoice")
    assert (after.order_key, after.deleted_at, after.decision) == ("wc_order_a", shop.clock.now(), "skip")


def test_a_deletion_that_arrived_after_a_snapshot_is_not_processed_with_it(shop: Shop) -> None:
    shop.process(shop.receive(at(1, status="pending")))
    paid = shop.receive(at(2, status="processing"))
    trashed = shop.receive({"id": 1}, "order.deleted")
    shop.process(paid)
    assert (shop.order().deleted_at, shop.states()) == (None, {"invoice": "due"})
    with shop.context.ledger.read() as connection:
        assert [one.id for one in deliveries.listed(connection, state="received")] == [trashed]
    shop.process(trashed)
    assert (shop.order().decision, shop.states()) == ("skip", {"invoice": "withdrawn"})


def test_an_order_that_is_trashed_again_while_its_restoring_is_processed_is_trashed(shop: Shop) -> None:
    ledger = shop.context.ledger
    shop.process(shop.receive(at(1, status="processing")))
    trashed = shop.receive({"id": 1}, "order.deleted")
    restored = shop.receive(at(9, status="processing"))
    with ledger.write() as connection:
        orders.lock(connection, shop.order().id)
        processing = Other(lambda: process_deliveries(shop.context, [restored]))
        processing.wait_until_it_waits(ledger)
        # Whoever processes looks at deletions when the order is theirs, and not before.
        assert shop.record(connection, {"id": 1}, "order.deleted") == trashed
    processing.result()
    shop.process(trashed)
    assert (shop.order().decision, shop.states()) == ("skip", {"invoice": "withdrawn"})


def test_a_deletion_that_is_being_repeated_as_the_order_is_restored_keeps_nobody_waiting(shop: Shop) -> None:
    """But in SQLite, where who writes waits for whoever does."""
    ledger = shop.context.ledger
    shop.process(shop.receive(at(1, status="processing")))
    trashed = shop.receive({"id": 1}, "order.deleted")
    restored = shop.receive(at(9, status="processing"))
    with ledger.write() as connection:
        assert shop.record(connection, {"id": 1}, "order.deleted") == trashed
        processing = Other(lambda: process_deliveries(shop.context, [restored]))
        if connection.dialect.name == "sqlite":
            processing.wait_until_it_waits(ledger)
        else:
            processing.result()
    processing.result()
    assert shop.states() == {"invoice": "due"}
    shop.process(trashed)
    assert (shop.order().decision, shop.states()) == ("skip", {"invoice": "withdrawn"})
