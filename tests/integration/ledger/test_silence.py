"""What the rhythm of a store is read from: deliveries of its webhooks in eight weeks, by topic and hour."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection, insert, text

from bridge.admin import store_removal
from bridge.db import tables
from bridge.ledger import silence, stores
from bridge.ledger.silence import CREATED, LOOKBACK, UPDATED, Silence
from tests.support.books import NOW, Books, add_store

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SILENT_SINCE = NOW - 2 * DAY
ONCE_AN_HOUR = [SILENT_SINCE - number * HOUR for number in range(30 * 24)]


def deliver(
    connection: Connection, store_id: int, topic: str, at: Iterable[datetime], *, source: str = "webhook"
) -> None:
    """Deliveries at these moments, inserted in the order of their times."""
    connection.execute(
        insert(tables.deliveries),
        [
            {
                "store_id": store_id,
                "topic": topic,
                "digest": hashlib.sha256(f"{store_id} {topic} {source} {moment}".encode()).digest(),
                "body": b"",
                "is_deletion": False,
                "state": "processed",
                "source": source,
                "received_at": moment,
                "last_received_at": moment,
            }
            for moment in sorted(at)
        ],
    )


def test_each_topic_of_each_store_has_its_own_rhythm(books: Books) -> None:
    other = books.write(add_store, "other")
    books.write(deliver, books.store_id, CREATED, [*ONCE_AN_HOUR, NOW - HOUR])
    books.write(deliver, other, UPDATED, [moment + timedelta(minutes=7) for moment in ONCE_AN_HOUR])
    books.write(deliver, other, "order.deleted", ONCE_AN_HOUR)
    since = SILENT_SINCE + timedelta(minutes=7)
    assert books.read(silence.measure, NOW) == {"other": [Silence(UPDATED, since, 47.0)]}


@pytest.mark.parametrize("source", ["reconcile", "backfill"])
def test_what_came_without_a_webhook_breaks_no_silence(books: Books, source: str) -> None:
    books.write(deliver, books.store_id, CREATED, ONCE_AN_HOUR)
    books.write(deliver, books.store_id, CREATED, [NOW - HOUR], source=source)
    assert books.read(silence.measure, NOW) == {"shop": [Silence(CREATED, SILENT_SINCE, 47.0)]}


def test_a_delivery_ends_it(books: Books) -> None:
    books.write(deliver, books.store_id, CREATED, [*ONCE_AN_HOUR, NOW])
    assert books.read(silence.measure, NOW) == {}


def test_stores_that_are_connected_or_removed_are_not_measured(books: Books) -> None:
    removed = books.write(add_store, "removed")
    for store_id in (books.store_id, removed):
        books.write(deliver, store_id, CREATED, ONCE_AN_HOUR)
    assert books.read(silence.measure, NOW).keys() == {"shop", "removed"}
    books.write(store_removal.remove, books.read(stores.get, removed), who="ana", now=NOW)
    with books.ledger.write() as connection:
        connection.execute(
            insert(tables.shops).values(
                store_id=books.store_id,
                url="https://shop.example",
                api="https://shop.example/wp-json/wc/v3",
                login="basic",
                consumer_key="a",
                consumer_secret="b",
                can_write=True,
                connected_at=NOW,
                highest_order_id=0,
            )
        )
    assert books.read(silence.measure, NOW) == {}


def test_deliveries_from_before_eight_weeks_are_not_read(books: Books) -> None:
    before = [NOW - LOOKBACK - number * HOUR for number in range(100, 0, -1)]
    books.write(deliver, books.store_id, "order.deleted", before)
    assert books.read(silence._last_before, NOW - LOOKBACK) == 100
    books.write(deliver, books.store_id, CREATED, ONCE_AN_HOUR)
    assert books.read(silence._last_before, NOW - LOOKBACK) == 100
    assert books.read(silence._last_before, NOW - 1000 * DAY) == 0
    for number in (0, 1, 299, 719):
        assert books.read(silence._last_before, sorted(ONCE_AN_HOUR)[number]) == 100 + number
    assert books.read(silence._last_before, NOW) == 100 + len(ONCE_AN_HOUR)


def test_hours_are_those_of_utc_in_whatever_time_zone_the_server_is(books: Books) -> None:
    """A zone that is half an hour off would join what came in two hours."""
    ten_to, ten_past = SILENT_SINCE - HOUR / 6, SILENT_SINCE + HOUR / 6
    books.write(deliver, books.store_id, CREATED, [ten_to, ten_past, *ONCE_AN_HOUR])
    books.write(deliver, books.store_id, UPDATED, [ten_to - 40 * DAY])
    with books.ledger.read() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL TIME ZONE 'Asia/Kolkata'"))
        assert silence.measure(connection, NOW) == {"shop": [Silence(CREATED, ten_past, 47.0)]}
