"""Rounds of connected shops: when they are due, who does them, and what an error leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from bridge.db import tables
from bridge.ledger import shops
from bridge.maintenance.reconcile import Reconciliation
from bridge.pipeline.process import process_deliveries
from bridge.pipeline.shop_round import NotConnectedError, Request, run_round, take_lease
from bridge.shop import KeyRefusedError, MaintenanceError, ShopUnreachableError
from tests.support.reconciling import Connected, connected
from tests.support.servers import wait_until
from tests.support.shop import Shop, forward

MINUTE = timedelta(minutes=1)


@pytest.fixture
def pair(shop: Shop) -> Iterator[Connected]:
    with connected(shop) as pair:
        pair.advance(minutes=1)
        yield pair


def run(pair: Connected) -> None:
    """One round, as a thread of the duty does it."""
    (store_id,) = take_lease(pair.context, store_id=pair.store.store_id)
    run_round(pair.context, store_id)


def test_a_round_finds_what_is_missing_and_sets_the_next_one_within_ten_minutes(pair: Connected) -> None:
    lost = pair.there.make_order(is_silent=True)
    pair.advance(minutes=3)
    (store_id,) = take_lease(pair.context)
    comparison = run_round(pair.context, store_id)
    assert [one.resource_id for one in comparison.found] == [lost]
    row = pair.row()
    assert row.lease_ends_at is None
    assert row.next_round_at is not None
    assert timedelta(0) < row.next_round_at - pair.now() <= timedelta(minutes=10)
    assert take_lease(pair.context) == []
    pair.advance(minutes=10)
    assert take_lease(pair.context) == [store_id]


def test_the_duty_does_the_rounds_that_are_due_and_hands_their_deliveries_on(pair: Connected) -> None:
    lost = pair.there.make_order(is_silent=True)
    pair.advance(minutes=3)
    duty, found = Reconciliation(), list[int]()

    def has_found() -> bool:
        found.extend(duty.run(pair.context).deliveries)
        return bool(found)

    wait_until(has_found, "the delivery of the lost order")
    process_deliveries(pair.context, found)
    forward(pair.context, pair.store.store_id)
    assert pair.store.issued_orders() == [lost]


def test_a_shop_has_its_round_in_one_process_at_a_time(pair: Connected) -> None:
    (store_id,) = take_lease(pair.context)
    assert take_lease(pair.context, store_id=store_id) == []
    pair.advance(minutes=6)  # that process has died
    assert take_lease(pair.context, store_id=store_id) == [store_id]


def test_a_shop_that_cannot_be_asked_is_told_of_and_asked_again(pair: Connected) -> None:
    pair.there.fault(answer="maintenance")
    with pytest.raises(MaintenanceError):
        run(pair)
    failing = pair.row()
    assert (failing.error_kind, failing.failing_since, failing.lease_ends_at) == (
        "MaintenanceError",
        pair.now(),
        None,
    )
    pair.there.mend()
    pair.advance(minutes=11)
    (store_id,) = take_lease(pair.context)
    run_round(pair.context, store_id)
    assert (pair.row().error, pair.row().failing_since) == (None, None)


def test_a_shop_that_is_off_the_net_moves_no_watermark(pair: Connected) -> None:
    before = pair.row()
    with pair.there.down(), pytest.raises(ShopUnreachableError):
        run(pair)
    assert pair.row().compared_until == before.compared_until


def test_a_key_that_is_refused_twice_is_not_tried_every_ten_minutes(pair: Connected) -> None:
    pair.there.revoke(pair.there.key)
    for _ in range(2):
        with pytest.raises(KeyRefusedError):
            run(pair)
    row = pair.row()
    assert row.refusals == 2
    assert row.next_round_at is not None
    assert row.next_round_at - pair.now() >= timedelta(hours=23)
    with pair.context.ledger.write() as connection:
        shops.hasten(connection, pair.now())  # by a worker that has just started
    assert pair.row().next_round_at == row.next_round_at


def test_a_time_without_a_receiver_brings_the_next_round_forward(pair: Connected) -> None:
    run(pair)
    due = pair.row().next_round_at
    assert due is not None
    assert due > pair.now()
    with pair.context.ledger.write() as connection:
        connection.execute(
            tables.absences.insert().values(
                store_id=pair.store.store_id, began_at=pair.now(), ended_at=pair.now() + MINUTE
            )
        )
        shops.hasten_after_absences(connection, pair.now())
    assert pair.row().next_round_at == pair.now()
    # It is not over by this round, which began too early: the next one comes soon.
    run(pair)
    next_round = pair.row().next_round_at
    assert next_round is not None
    assert next_round - pair.now() <= 2 * MINUTE


def test_a_round_by_hand_goes_back_as_far_as_it_is_told(pair: Connected) -> None:
    run(pair)
    pair.advance(minutes=90)
    late = pair.there.make_order(is_silent=True, modified=pair.now() - timedelta(minutes=80))
    (store_id,) = take_lease(pair.context, store_id=pair.store.store_id)
    run_round(pair.context, store_id)  # which compares from ten minutes before the last one
    assert [one.source for one in pair.store.deliveries(late)] == ["reconcile"]


def test_a_rehearsal_leaves_the_next_round_where_it_was(pair: Connected) -> None:
    run(pair)
    before = pair.row()
    (store_id,) = take_lease(pair.context, store_id=pair.store.store_id)
    run_round(pair.context, store_id, request=Request(is_rehearsal=True, is_full=True))
    after = pair.row()
    assert (after.compared_until, after.compared_at) == (before.compared_until, before.compared_at)


def test_a_shop_that_was_disconnected_has_no_round(pair: Connected) -> None:
    (store_id,) = take_lease(pair.context)
    with pair.context.ledger.write() as connection:
        shops.disconnect(connection, store_id)
    with pytest.raises(NotConnectedError):
        run_round(pair.context, store_id)
    assert Reconciliation().run(pair.context).deliveries == []


def test_an_order_that_is_listed_and_not_shown_is_told_and_asks_no_shop_without_end(pair: Connected) -> None:
    broken = pair.there.make_order(is_silent=True)
    pair.there.fault(answer="error", where=f"orders/{broken}")
    with pair.context.ledger.write() as connection:
        connection.execute(
            tables.absences.insert().values(
                store_id=pair.store.store_id, began_at=pair.now(), ended_at=pair.now()
            )
        )
    pair.advance(minutes=3)
    before = pair.row()
    run(pair)
    row = pair.row()
    assert row.compared_until == before.compared_until
    assert f"does not show {broken}" in (row.error or "")
    assert row.next_round_at is not None
    assert row.next_round_at - pair.now() >= timedelta(minutes=9)
    with pair.context.ledger.write() as connection:
        shops.hasten_after_absences(connection, pair.now())
    assert pair.row().next_round_at == row.next_round_at
    pair.there.mend()
    run(pair)
    assert pair.row().error is None
    assert [one.source for one in pair.store.deliveries(broken)] == ["reconcile"]


def test_a_round_that_is_interrupted_leaves_the_shop_to_the_next(pair: Connected) -> None:
    pair.there.make_order(is_silent=True)
    pair.advance(minutes=3)

    def interrupt(_comparison: object, _share: float) -> None:
        raise KeyboardInterrupt

    (store_id,) = take_lease(pair.context)
    with pytest.raises(KeyboardInterrupt):
        run_round(pair.context, store_id, report=interrupt)
    assert take_lease(pair.context, store_id=store_id) == [store_id]


def test_a_delivery_url_that_is_none_keeps_no_shop_from_being_compared(pair: Connected) -> None:
    pair.there.make_webhook("order.updated", "http://[nowhere/webhooks/shop")
    pair.there.make_webhook("order.created", "http://host:port/webhooks/shop")
    deliver = pair.store.record_body(b'{"id":1}', "order.deleted")  # so that webhooks are looked at
    process_deliveries(pair.context, [deliver])
    run(pair)
    assert pair.row().error is None
