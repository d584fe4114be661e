"""A store is compared with its shop: what no webhook told enters, is issued once, and nothing else does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from bridge.db import tables
from bridge.ledger import absences, finds, orders, shops
from bridge.ledger.deliveries import RECONCILE
from bridge.pipeline.process import process_deliveries
from bridge.shop import MaintenanceError
from tests.support.reconciling import Connected, connected
from tests.support.shop import Shop, forward

MINUTE = timedelta(minutes=1)


@pytest.fixture
def pair(shop: Shop) -> Iterator[Connected]:
    with connected(shop) as pair:
        pair.advance(minutes=1)
        yield pair


def issued(pair: Connected) -> Counter[tuple[int, str]]:
    """The documents, by the order's id and the kind."""
    documents = pair.store.sandbox.test_client().get("/sandbox/documents").json["documents"]
    return Counter((int(one["orderId"]), one["kind"]) for one in documents)


def deliver(pair: Connected, order_id: int, topic: str = "order.updated") -> None:
    """Have a webhook tell of an order as it is now."""
    body = pair.there.body(order_id)
    delivery = pair.store.record_body(body, topic)
    process_deliveries(pair.context, [delivery])
    forward(pair.context, pair.store.store_id)


def kinds(pair: Connected, **plan: Any) -> list[tuple[int, str]]:
    return [(one.resource_id, one.kind) for one in pair.compare(**plan).found]


def known(pair: Connected, order_id: int) -> orders.KnownOrder:
    with pair.context.ledger.read() as connection:
        (order,) = orders.of_resource(connection, pair.store.store_id, order_id)
    return order


def test_an_order_that_no_webhook_told_of_is_found_and_issued_once(pair: Connected) -> None:
    lost = pair.there.make_order(is_silent=True)
    pair.advance(minutes=3)
    comparison = pair.compare()
    (found,) = comparison.found
    assert (found.resource_id, found.kind, comparison.is_complete) == (lost, finds.MISSING, True)
    assert issued(pair) == {(lost, "invoice"): 1}
    assert pair.row().compared_until == comparison.plan.until
    # It stays within the overlap, and the webhook comes all the same.
    pair.advance(minutes=1)
    assert pair.compare().found == []
    deliver(pair, lost, "order.created")
    assert issued(pair) == {(lost, "invoice"): 1}
    (delivery,) = pair.store.deliveries(lost)
    assert (delivery.source, delivery.duplicates) == (RECONCILE, 1)


def test_what_its_webhook_may_still_tell_is_left_to_it_and_found_if_it_does_not(pair: Connected) -> None:
    young = pair.there.make_order(is_silent=True)
    pair.advance(seconds=90)
    assert kinds(pair) == []
    pair.advance(minutes=1)
    assert kinds(pair) == [(young, finds.MISSING)]


def test_what_is_known_as_it_is_there_is_left_alone(pair: Connected) -> None:
    order_id = pair.there.make_order(is_silent=True)
    deliver(pair, order_id)
    pair.advance(minutes=3)
    comparison = pair.compare()
    assert (comparison.compared, comparison.found, comparison.delivery_ids) == (1, [], [])


def test_a_change_that_no_webhook_told_of_is_found(pair: Connected) -> None:
    order_id = pair.there.make_order(status="on-hold", payment_method="bacs", is_silent=True)
    deliver(pair, order_id)
    pair.advance(minutes=1)
    with pair.there.silence():
        pair.there.change_status(order_id, "completed")
    pair.advance(minutes=3)
    assert kinds(pair) == [(order_id, finds.STALE)]
    assert issued(pair) == {(order_id, "estimate"): 1, (order_id, "invoice"): 1}


def test_a_delivery_that_waits_to_be_processed_is_not_missing(pair: Connected) -> None:
    order_id = pair.there.make_order(is_silent=True)
    pair.store.record_body(pair.there.body(order_id), "order.created")
    pair.advance(minutes=3)
    assert kinds(pair) == []


def test_the_trash_and_the_way_out_of_it_are_found(pair: Connected) -> None:
    order_id = pair.there.make_order(status="on-hold", payment_method="cheque", is_silent=True)
    deliver(pair, order_id)
    pair.advance(minutes=1)
    with pair.there.silence():
        pair.there.trash(order_id)
    pair.advance(minutes=3)
    assert kinds(pair, with_trash=True) == [(order_id, finds.TRASHED)]
    assert known(pair, order_id).decision == "attention"  # it has its invoice
    with pair.there.silence():
        pair.there.change_status(order_id, "processing")  # by which no webhook tells, ever
    pair.advance(minutes=3)
    assert kinds(pair, with_trash=True) == [(order_id, finds.STALE)]
    assert known(pair, order_id).decision == "done"
    assert issued(pair) == {(order_id, "invoice"): 1}


def test_an_order_that_a_webhook_told_to_be_trashed_and_that_left_in_silence_is_restored(
    pair: Connected,
) -> None:
    order_id = pair.there.make_order(status="pending", is_silent=True)
    deliver(pair, order_id)
    with pair.there.silence():
        pair.there.trash(order_id)
    trashed = pair.store.record_body(b'{"id":%d}' % order_id, "order.deleted")
    process_deliveries(pair.context, [trashed])
    assert known(pair, order_id).deleted_at is not None
    pair.advance(minutes=1)
    with pair.there.silence():
        pair.there.change_status(order_id, "processing")
    pair.advance(minutes=3)
    assert kinds(pair) == [(order_id, finds.RESTORED)]
    assert known(pair, order_id).deleted_at is None
    assert issued(pair) == {(order_id, "invoice"): 1}


def test_an_order_that_was_deleted_for_good_is_known_as_deleted(pair: Connected) -> None:
    order_id = pair.there.make_order(status="pending", is_silent=True)
    other = pair.there.make_order(status="pending", is_silent=True)
    for one in (order_id, other):
        deliver(pair, one)
    with pair.there.silence():
        pair.there.delete(order_id)
    pair.advance(minutes=3)
    assert kinds(pair, created_since=pair.now() - timedelta(days=1)) == [(order_id, finds.GONE)]
    assert (known(pair, order_id).rule, known(pair, other).rule) == ("deleted", "pending")


def test_a_refund_that_was_deleted_is_found_by_what_the_order_says(pair: Connected) -> None:
    order_id = pair.there.make_order(is_silent=True)
    deliver(pair, order_id)
    pair.advance(minutes=1)
    with pair.there.silence():
        refund = pair.there.refund(order_id, "10.00")
    deliver(pair, order_id)
    assert known(pair, order_id).decision == "attention"
    pair.advance(minutes=30)
    assert kinds(pair) == []
    pair.there.delete_refund(order_id, refund)  # which moves no date
    pair.advance(minutes=30)
    assert kinds(pair) == []
    assert kinds(pair, created_since=pair.now() - timedelta(days=1)) == [(order_id, finds.STALE)]
    assert known(pair, order_id).decision == "done"


def test_an_order_whose_status_no_listing_shows_is_asked_for_by_itself(pair: Connected) -> None:
    order_id = pair.there.make_order(status="pending", is_silent=True)
    deliver(pair, order_id)
    pair.there.register_status("odd")
    pair.advance(minutes=1)
    with pair.there.silence():
        pair.there.change_status(order_id, "odd")
    pair.there.unregister_status("odd")
    pair.advance(minutes=3)
    assert kinds(pair, created_since=pair.now() - timedelta(days=1)) == [(order_id, finds.STALE)]
    assert known(pair, order_id).rule == "unknown_status"
    assert kinds(pair, created_since=pair.now() - timedelta(days=1)) == []


def test_nothing_of_before_the_store_was_added_is_missing(pair: Connected) -> None:
    pair.there.make_orders(5, first=pair.now() - timedelta(days=3))
    pair.advance(minutes=3)
    plan: dict[str, Any] = {
        "since": pair.now() - timedelta(days=9),
        "created_since": pair.now() - timedelta(days=9),
    }
    comparison = pair.compare(**plan)
    assert (comparison.compared, comparison.found) == (10, [])  # listed twice


def test_a_rehearsal_shows_the_same_and_writes_nothing(pair: Connected) -> None:
    lost = pair.there.make_order(is_silent=True)
    pair.advance(minutes=3)
    before = pair.row()
    (found,) = pair.compare(is_rehearsal=True).found
    assert (found.resource_id, found.kind, found.delivery_id) == (lost, finds.MISSING, None)
    assert pair.row().compared_until == before.compared_until
    assert pair.store.deliveries(lost) == []
    assert kinds(pair) == [(lost, finds.MISSING)]


def test_where_the_shop_falls_silent_in_the_middle_the_next_round_begins_where_this_one_did(
    pair: Connected,
) -> None:
    lost = [pair.there.make_order(is_silent=True) for _ in range(2)]  # fetched one by one
    pair.advance(minutes=3)
    before = pair.row()

    def go_away() -> None:
        shown = [one for one in pair.there.asked if one.path.endswith(tuple(map(str, lost)))]
        if len(shown) == 2 and pair.there.asked[-1] is shown[-1]:
            pair.there.fault(answer="maintenance")

    pair.there.before_answer(go_away)
    with pytest.raises(MaintenanceError):
        pair.compare()
    assert pair.row().compared_until == before.compared_until
    pair.there.mend()
    pair.advance(minutes=1)
    again = {one.resource_id for one in pair.compare().found}
    assert again < set(lost)  # the others were recorded before
    for number in lost:
        (delivery,) = pair.store.deliveries(number)
        process_deliveries(pair.context, [delivery.id])
    forward(pair.context, pair.store.store_id)
    assert issued(pair) == {(number, "invoice"): 1 for number in lost}


def test_an_absence_is_settled_by_a_round_that_began_after_it(pair: Connected) -> None:
    with pair.context.ledger.write() as connection:
        connection.execute(
            tables.absences.insert().values(
                store_id=pair.store.store_id, began_at=pair.now(), ended_at=pair.now() + MINUTE
            )
        )
    lost = pair.there.make_order(is_silent=True)
    pair.advance(minutes=2)
    comparison = pair.compare()  # it ended only a minute ago
    assert comparison.plan.with_trash
    with pair.context.ledger.read() as connection:
        assert len(absences.unsettled(connection, pair.store.store_id)) == 1
    pair.advance(minutes=3)
    (found,) = pair.compare().found
    assert (found.resource_id, found.reason) == (lost, "the bridge was away")
    with pair.context.ledger.read() as connection:
        assert absences.unsettled(connection, pair.store.store_id) == []


def test_what_is_asked_for_during_a_round_is_left_to_the_next(pair: Connected) -> None:
    with pair.client() as client:
        reconciler = pair.reconciler(client)
        plan = reconciler.plan()
        asked = pair.now() - timedelta(days=2)
        with pair.context.ledger.write() as connection:
            shops.ask_for(connection, pair.store.store_id, asked, pair.now())
        reconciler.run(plan)
    assert pair.row().compare_from == asked
    pair.compare()
    assert pair.row().compare_from is None


def test_a_shop_of_several_pages_is_compared_whole_and_fetched_by_pages(pair: Connected) -> None:
    made = pair.there.make_orders(250, first=pair.now(), every=0.2)
    pair.advance(minutes=5)
    before = len(pair.there.asked)
    comparison = pair.compare()
    assert (comparison.compared, len(comparison.found)) == (250, 250)
    assert issued(pair) == dict.fromkeys(((order_id, "invoice") for order_id in made), 1)
    assert len(pair.there.asked) - before < 20
    # What a webhook brings then is known, byte for byte.
    deliver(pair, made[0])
    (delivery,) = pair.store.deliveries(made[0])
    assert delivery.duplicates == 1


def test_a_shop_that_has_lost_all_its_orders_does_not_have_them_deleted_here(pair: Connected) -> None:
    lost = [pair.there.make_order(status="pending", is_silent=True) for _ in range(6)]
    for order_id in lost:
        deliver(pair, order_id)
    with pair.there.silence():
        for order_id in lost:
            pair.there.delete(order_id)
    pair.advance(minutes=3)
    assert kinds(pair, created_since=pair.now() - timedelta(days=1)) == []
    assert {known(pair, order_id).rule for order_id in lost} == {"pending"}


def test_an_order_that_is_as_it_was_before_it_was_deleted_is_restored(pair: Connected) -> None:
    order_id = pair.there.make_order(is_silent=True)  # trashed, and back within the second
    deliver(pair, order_id)
    trashed = pair.store.record_body(b'{"id":%d}' % order_id, "order.deleted")
    process_deliveries(pair.context, [trashed])
    assert known(pair, order_id).rule == "deleted_after_invoice"
    pair.advance(minutes=3)
    assert kinds(pair) == [(order_id, finds.RESTORED)]
    assert known(pair, order_id).decision == "done"
    assert kinds(pair) == []
    assert issued(pair) == {(order_id, "invoice"): 1}
    again = pair.store.record_body(b'{"id":%d}' % order_id, "order.deleted")
    process_deliveries(pair.context, [again])
    pair.advance(minutes=1)
    assert kinds(pair) == [(order_id, finds.RESTORED)]  # and so at each further time


def test_a_refund_that_is_made_and_deleted_within_a_second_is_known_as_deleted(pair: Connected) -> None:
    order_id = pair.there.make_order(is_silent=True)
    deliver(pair, order_id)
    with pair.there.silence():
        refund = pair.there.refund(order_id, "10.00")
    deliver(pair, order_id)
    pair.there.delete_refund(order_id, refund)
    pair.advance(minutes=3)
    of_a_day = {"created_since": pair.now() - timedelta(days=1)}
    assert kinds(pair, **of_a_day) == [(order_id, finds.STALE)]
    assert known(pair, order_id).decision == "done"
    assert kinds(pair, **of_a_day) == []


def test_a_change_within_the_second_of_the_last_snapshot_is_found(pair: Connected) -> None:
    order_id = pair.there.make_order(status="pending", is_silent=True)
    deliver(pair, order_id)
    with pair.there.silence():
        pair.there.change_status(order_id, "processing")
    pair.advance(minutes=3)
    assert kinds(pair) == [(order_id, finds.STALE)]
    assert issued(pair) == {(order_id, "invoice"): 1}
