"""Which delivery counts: by the database's sequence of arrivals, whatever clocks say."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from bridge.db import tables
from bridge.issuance import Timekeeping
from bridge.ledger import deliveries, kept_deliveries, store_pauses
from bridge.pipeline import context
from bridge.pipeline.process import process_deliveries
from tests.support.shop import Shop, at, record_bytes

DELETED: dict[str, Any] = {"id": 1}


def paid(second: int, **fields: Any) -> dict[str, Any]:
    return at(second, status="processing", **fields)


def status(shop: Shop) -> str:
    snapshot = shop.order().snapshot
    assert snapshot is not None
    return snapshot.status


def v1(modified: str, **fields: Any) -> dict[str, Any]:
    """The order as API v1 has it: in the shop's own time, and without UTC."""
    body = {**at(1, **fields), "date_modified": modified}
    return {name: value for name, value in body.items() if not name.endswith("_gmt")}


def delete_by_other_bytes(shop: Shop) -> int:
    """Receive a deletion that is not taken for a repeat of DELETED; its id."""
    with shop.context.ledger.write() as connection:
        body = b'{"id":1}'
        return record_bytes(connection, shop.store_id, body, "order.deleted", now=shop.clock.now())


def process_one_by_one_and_together(shop: Shop, ids: list[int], together: bool) -> None:
    if together:
        process_deliveries(shop.context, ids)
    else:
        shop.process(*ids)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("behind", [0, 5, 3600])
def test_an_order_that_is_restored_is_paid_though_receivers_clocks_differ(
    shop: Shop, behind: int, together: bool
) -> None:
    """Of two receivers, the one that took the restored order is behind: `received_at` goes backwards."""
    created = shop.receive(paid(1))
    trashed = shop.receive(DELETED, "order.deleted")
    shop.clock.advance(seconds=-behind)
    restored = shop.receive(paid(9))
    process_one_by_one_and_together(shop, [created, trashed, restored], together)
    assert (shop.order().deleted_at, shop.order().decision) == (None, "invoice")


@pytest.mark.parametrize("together", [True, False])
def test_an_order_that_is_trashed_is_trashed_though_receivers_clocks_differ(
    shop: Shop, together: bool
) -> None:
    created = shop.receive(paid(1))
    shop.clock.advance(seconds=-5)
    trashed = shop.receive(DELETED, "order.deleted")
    process_one_by_one_and_together(shop, [created, trashed], together)
    assert shop.order().decision == "skip"
    assert shop.order().deleted_arrival == trashed


@pytest.mark.parametrize(("topic", "decision"), [("order.restored", "invoice"), ("order.updated", "skip")])
def test_a_restored_order_is_back_though_the_shops_clock_was_set_back(
    shop: Shop, topic: str, decision: str
) -> None:
    """Where the topic does not say so, a snapshot of before the last one may be one that was late."""
    shop.process(shop.receive(paid(9)), shop.receive(DELETED, "order.deleted"))
    shop.process(shop.receive(paid(4), topic))
    assert shop.order().decision == decision


def test_a_topic_says_nothing_of_what_arrived_before_the_deletion(shop: Shop) -> None:
    shop.process(shop.receive(paid(1)))
    late = shop.receive(paid(9), "order.restored")
    trashed = shop.receive(DELETED, "order.deleted")
    shop.process(trashed, late)
    assert shop.order().decision == "skip"


def test_a_topic_makes_no_older_snapshot_count_of_an_order_that_is_not_deleted(shop: Shop) -> None:
    shop.process(shop.receive(paid(9)))
    shop.process(shop.receive(at(4, status="pending"), "order.restored"))
    assert (status(shop), shop.order().decision) == ("processing", "invoice")


def test_a_deletion_that_is_repeated_takes_a_new_place(shop: Shop) -> None:
    created, trashed = shop.receive(paid(1)), shop.receive(DELETED, "order.deleted")
    restored = shop.receive(paid(9), "order.restored")
    shop.process(created, trashed, restored)
    assert shop.order().decision == "invoice"
    assert shop.receive(DELETED, "order.deleted") == trashed
    with shop.context.ledger.read() as connection:
        again = deliveries.get(connection, trashed)
    assert again is not None
    assert again.arrival > restored
    shop.process(trashed)
    assert shop.order().decision == "skip"
    assert shop.order().deleted_arrival == again.arrival
    shop.process(shop.receive(paid(12), "order.restored"))
    assert shop.order().decision == "invoice"
    shop.process(shop.receive(paid(15)))
    assert (shop.order().deleted_at, shop.order().deleted_arrival) == (None, None)


def test_a_deletion_that_arrived_before_a_snapshot_is_processed_first(shop: Shop) -> None:
    created = shop.receive(paid(1))
    trashed = shop.receive(DELETED, "order.deleted")
    saved = shop.receive(paid(1, total="9.00"))  # within the second: no sign that it was restored
    shop.process(created, saved)
    with shop.context.ledger.read() as connection:
        first = deliveries.get(connection, trashed)
    assert first is not None
    assert (first.state, first.reason) == ("processed", "deletes the order")
    assert shop.order().decision == "skip"


def test_a_repeated_deletion_comes_before_the_snapshot_that_arrives_next(shop: Shop) -> None:
    """In SQLite, both have the same place."""
    trashed = shop.receive(DELETED, "order.deleted")
    shop.process(shop.receive(paid(1)), trashed, shop.receive(paid(9), "order.restored"))
    assert shop.receive(DELETED, "order.deleted") == trashed
    saved = shop.receive(paid(9, total="9.00"))  # within the second: no sign that it was restored
    shop.process(saved, trashed)
    assert shop.order().decision == "skip"


def test_a_deletion_of_before_the_newest_snapshot_is_processed_and_deletes_nothing(shop: Shop) -> None:
    created, trashed = shop.receive(paid(1)), shop.receive(DELETED, "order.deleted")
    shop.process(created, trashed, shop.receive(paid(9), "order.restored"))
    with shop.context.ledger.write() as connection:
        assert kept_deliveries.replay(connection, trashed)
    shop.process(trashed)
    with shop.context.ledger.read() as connection:
        again = deliveries.get(connection, trashed)
    assert again is not None
    assert again.state == "processed"
    assert (again.reason or "").startswith(
        "deletes the order, of which the shop has sent more since -> invoice"
    )
    assert shop.order().decision == "invoice"


def test_a_snapshot_that_arrives_between_two_deletions_is_restored_by_the_last_only_if_it_is_later(
    shop: Shop,
) -> None:
    shop.process(shop.receive(paid(1)), shop.receive(DELETED, "order.deleted"))
    restored = shop.receive(paid(9), "order.restored")
    again = shop.receive(DELETED, "order.deleted")
    shop.process(again, restored)
    assert shop.order().decision == "skip"
    shop.process(restored)
    assert shop.order().decision == "skip"


def test_a_late_snapshot_of_before_the_deletion_does_not_bring_the_order_back(shop: Shop) -> None:
    late = shop.receive(paid(2))
    shop.process(shop.receive(paid(3)), shop.receive(DELETED, "order.deleted"))
    shop.process(late)
    assert shop.order().decision == "skip"


def test_of_several_deletions_of_an_order_that_was_not_known_the_last_one_counts(shop: Shop) -> None:
    first = shop.receive(DELETED, "order.deleted")
    between = shop.receive(paid(1))
    last = delete_by_other_bytes(shop)
    shop.process(last, first, between)
    assert (shop.order().decision, shop.order().deleted_arrival) == ("skip", last)
    shop.process(shop.receive(paid(9)))
    assert shop.order().decision == "invoice"


def test_a_deletion_that_was_processed_counts_though_its_body_was_erased_since(shop: Shop) -> None:
    created, trashed = shop.receive(paid(1)), shop.receive(DELETED, "order.deleted")
    shop.process(trashed)
    with shop.context.ledger.write() as connection:
        erased = update(tables.deliveries).where(tables.deliveries.c.id == trashed)
        connection.execute(erased.values(body=b""))
    shop.process(created)
    assert (shop.order().decision, shop.order().deleted_arrival) == ("skip", trashed)


@pytest.mark.parametrize(("is_late", "decision"), [(True, "skip"), (False, "invoice")])
def test_a_deletion_of_which_an_older_version_kept_no_arrival_has_that_of_its_delivery(
    shop: Shop, is_late: bool, decision: str
) -> None:
    created, late = shop.receive(paid(1)), shop.receive(paid(9))
    shop.process(created, shop.receive(DELETED, "order.deleted"))
    with shop.context.ledger.write() as connection:
        connection.execute(update(tables.orders).values(deleted_arrival=None))
    saved = late if is_late else shop.receive(paid(10))
    delete_by_other_bytes(shop)  # which arrives later, and is not processed yet
    shop.process(saved)
    assert shop.order().decision == decision


def test_a_store_is_known_as_it_was_when_its_deliveries_were_processed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "RECENT", 3600.0)
    assert shop.context.recent_store(shop.store_id).paused_at is None
    with shop.context.ledger.write() as connection:
        store_pauses.pause(connection, shop.store_id, reason="?", now=shop.clock.now(), next_probe_at=None)
    shop.process(shop.receive(paid(1)))
    assert shop.context.recent_store(shop.store_id).paused_at is not None


# Local times beside UTC.


@pytest.mark.parametrize("offset", [2, -5])
def test_a_payment_by_api_v1_is_newer_than_what_arrived_before_it(shop: Shop, offset: int) -> None:
    """The shop is hours from UTC: either time, taken for the other, is hours off."""
    local = (shop.clock.now() + timedelta(hours=offset)).replace(tzinfo=None).isoformat()
    shop.process(shop.receive(at(1, status="on-hold", payment_method="bacs")))
    shop.process(shop.receive(v1(local, status="processing", payment_method="bacs")))
    assert status(shop) == "processing"
    shop.process(shop.receive(at(9, status="completed")))
    assert status(shop) == "completed"


def test_local_times_are_ordered_among_themselves(shop: Shop) -> None:
    newer = shop.receive(v1("2026-11-23T14:00:09", status="processing"))
    shop.process(newer, shop.receive(v1("2026-11-23T14:00:01", status="on-hold")))
    assert status(shop) == "processing"


# A shop whose clock is ahead.


def ahead(shop: Shop, *, by: float, **fields: Any) -> dict[str, Any]:
    """An order that was saved, by the shop's clock, that many seconds after the next delivery arrives."""
    modified = shop.clock.now() + timedelta(seconds=1 + by)
    return {**at(1, **fields), "date_modified_gmt": modified.replace(tzinfo=None).isoformat()}


def test_a_modification_ahead_of_its_arrival_does_not_make_the_next_hours_payment_older(shop: Shop) -> None:
    shop.process(shop.receive(ahead(shop, by=3600, status="on-hold")))
    assert shop.order().snapshot is not None
    shop.process(shop.receive(paid(30)))
    assert status(shop) == "processing"


@pytest.mark.parametrize(
    ("by", "kept"), [(0, Timekeeping.UTC), (60, Timekeeping.UTC), (61, Timekeeping.NONE)]
)
def test_what_clocks_may_differ_by_is_believed(shop: Shop, by: float, kept: Timekeeping) -> None:
    shop.process(shop.receive(ahead(shop, by=by, status="on-hold")))
    snapshot = shop.order().snapshot
    assert snapshot is not None
    assert snapshot.details.timekeeping is kept


def test_a_time_of_the_shops_own_may_lie_after_its_arrival(shop: Shop) -> None:
    local = (shop.clock.now() + timedelta(hours=12)).replace(tzinfo=None).isoformat()
    shop.process(shop.receive(v1(local, status="processing")))
    snapshot = shop.order().snapshot
    assert snapshot is not None
    assert snapshot.details.timekeeping is Timekeeping.LOCAL


# Metadata of other plugins.


@pytest.mark.parametrize(
    ("value", "decision"),
    [("64ab", "skip"), ("0", "invoice"), ("no", "invoice"), ("FALSE", "invoice"), ("", "invoice")],
)
def test_another_plugins_invoice_is_known_by_its_number(shop: Shop, value: str, decision: str) -> None:
    meta = [{"id": 1, "key": "apollo_invoice_id", "value": value}, {"id": 2, "key": "other", "value": "x"}]
    shop.process(shop.receive(paid(1, meta_data=meta)))
    assert shop.order().decision == decision
    snapshot = shop.order().snapshot
    assert snapshot is not None
    assert json.dumps(snapshot.details.invoiced_by) == (
        '{"apollo_invoice_id": "64ab"}' if decision == "skip" else "{}"
    )
