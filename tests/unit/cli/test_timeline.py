"""The timeline of an order: deliveries and their repeats, attempts, and operators' actions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bridge.cli.timeline import timeline
from bridge.issuance import Kind
from bridge.ledger.actions import Action
from bridge.ledger.attempts import Attempt
from bridge.ledger.deliveries import Delivery
from bridge.ledger.finds import Find

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def delivery(
    number: int,
    at: datetime,
    *,
    reason: str | None,
    last: datetime | None = None,
    duplicates: int = 0,
    source: str = "webhook",
) -> Delivery:
    is_deletion = (reason or "").startswith("deletes")
    return Delivery(
        id=number,
        store_id=1,
        store="shop",
        topic="order.deleted" if is_deletion else "order.updated",
        resource_id=1,
        is_deletion=is_deletion,
        state="received" if reason is None else "processed",
        reason=reason,
        duplicates=duplicates,
        received_at=at,
        last_received_at=last or at,
        arrival=number,
        shop_url=None,
        source=source,
        compressed_body=b"",
    )


def test_everything_comes_in_time_order_whatever_it_is() -> None:
    events = timeline(
        [delivery(1, after(0), reason="paid"), delivery(2, after(9), reason="completed")],
        [
            Attempt(after(0.25), 30_012, "unknown", 504, "<html>", Kind.INVOICE),
            Attempt(after(5), 12, "issued", 200, None, Kind.INVOICE),
            Attempt(after(10), None, None, None, None, Kind.ESTIMATE),
        ],
        [Action(after(4), "anna@desk", "resend", "was held, is due", None, 7)],
    )
    assert [(event.at, event.what, event.result) for event in events] == [
        (after(0), "delivery 1", "order.updated: paid"),
        (after(0.25), "attempt for the invoice", "unknown after 30.0 s, status 504: <html>"),
        (after(4), "resend of issuance 7 by anna@desk", "was held, is due"),
        (after(5), "attempt for the invoice", "issued after 0.0 s, status 200"),
        (after(9), "delivery 2", "order.updated: completed"),
        (after(10), "attempt for the estimate", "under way"),
    ]


def test_at_the_same_moment_the_cause_comes_first_and_none_is_lost() -> None:
    events = timeline(
        [delivery(10, NOON, reason="paid"), delivery(9, NOON, reason=None)],
        [Attempt(NOON, 1, "issued", 200, None, Kind.INVOICE)],
        [Action(NOON, "anna", "resend", "is due", None, 3), Action(NOON, "bob", "replay", "again", 10, None)],
    )
    assert [event.what for event in events] == [
        "delivery 10",
        "delivery 9",
        "resend of issuance 3 by anna",
        "replay of delivery 10 by bob",
        "attempt for the invoice",
    ]
    assert events[1].result == "order.updated: received"


def test_a_delivery_that_arrived_several_times_says_so_where_the_last_one_stands() -> None:
    events = timeline(
        [
            delivery(1, after(0), reason="paid", last=after(7), duplicates=2),
            delivery(2, after(3), reason="completed"),
        ],
        [],
        [],
    )
    assert [(event.at, event.what, event.result) for event in events] == [
        (after(0), "delivery 1", "order.updated: paid"),
        (after(3), "delivery 2", "order.updated: completed"),
        (after(7), "delivery 1 again", "for the last of 3 times: the same body"),
    ]


def test_a_repeated_deletion_has_its_effect_where_it_came_last() -> None:
    events = timeline(
        [
            delivery(1, after(0), reason="deletes the order", last=after(7), duplicates=1),
            delivery(2, after(3), reason="restored"),
        ],
        [],
        [],
    )
    assert [(event.what, event.result) for event in events] == [
        ("delivery 1", "order.deleted: arrived"),
        ("delivery 2", "order.updated: restored"),
        ("delivery 1 again", "for the last of 2 times: deletes the order"),
    ]


def test_what_no_webhook_told_says_how_it_came_and_why() -> None:
    found = Find(1, 1, "missing", "switched off", 5, after(0), after(720))
    events = timeline(
        [
            delivery(5, after(720), reason="order 1 is processing", source="reconcile"),
            delivery(6, after(721), reason="order 1 is completed", source="backfill"),
        ],
        [],
        [],
        [found],
    )
    assert [event.result for event in events] == [
        "order.updated: came by reconcile, 12 minutes after the change (the webhook: switched off): "
        "order 1 is processing",
        "order.updated: came by backfill: order 1 is completed",
    ]
