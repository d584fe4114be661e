"""Moments: kept to the microsecond, in UTC, whatever time zones the servers and their callers are in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, text

from bridge.db import Ledger, LedgerFaultError
from bridge.ledger import attempts, deliveries, due, issuances, processing, store_pauses, stores
from tests.support.books import NOW, Books, add_store, delivery_of, insert_delivery

OLDEST, LAST = (moment.replace(tzinfo=UTC) for moment in (datetime.min, datetime.max))  # noqa: DTZ901
LJUBLJANA = ZoneInfo("Europe/Ljubljana")
NAIVE = datetime(2026, 11, 23, 12)  # noqa: DTZ001


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(NOW.replace(microsecond=0), id="a full second"),
        pytest.param(NOW.replace(microsecond=1), id="one microsecond"),
        pytest.param(NOW.replace(microsecond=999_999), id="the last microsecond"),
        pytest.param(datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC), id="before 1970"),
        pytest.param(OLDEST, id="the oldest"),
        pytest.param(LAST, id="the last"),
        pytest.param(NOW.astimezone(timezone(timedelta(hours=5, minutes=30))), id="east"),
        pytest.param(NOW.astimezone(timezone(timedelta(hours=-9))), id="west"),
        pytest.param(datetime(2026, 10, 25, 2, 30, tzinfo=LJUBLJANA), id="the first of two half past two"),
        pytest.param(datetime(2026, 10, 25, 2, 30, tzinfo=LJUBLJANA, fold=1), id="the second of them"),
    ],
)
def test_a_moment_comes_back_to_the_microsecond_and_in_utc(books: Books, moment: datetime) -> None:
    books.write(stores.record_ping, books.store_id, moment)
    found = books.store().last_ping_at
    assert found is not None
    assert (found, found.tzinfo) == (moment.astimezone(UTC), UTC)


def test_moments_are_in_order_whatever_zones_they_are_given_in(books: Books) -> None:
    zones = [UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-11)), LJUBLJANA]
    moments = [NOW + timedelta(minutes=number) for number in range(12)]
    ids = [
        books.due(number + 1, at=moment.astimezone(zones[number % 4])).id
        for number, moment in enumerate(moments)
    ]
    for zone in zones:
        queue = books.read(
            due.of_store,
            books.store_id,
            now=moments[8].astimezone(zone),
            limit=99,
        )
        assert list(queue) == ids[:9]


WITHOUT_A_ZONE: dict[str, Callable[[Connection], object]] = {
    "recorded": lambda connection: insert_delivery(connection, **delivery_of(1, b"2", now=NAIVE)),
    "repeated": lambda connection: insert_delivery(connection, **delivery_of(1, b"1", now=NAIVE)),
    "compared": lambda connection: processing.unprocessed(connection, received_before=NAIVE, limit=9),
    "a lease": lambda connection: attempts.expired_ids(connection, now=NAIVE, limit=9),
    "a queue": lambda connection: due.of_store(connection, 1, now=NAIVE, limit=9),
    "an update": lambda connection: stores.record_ping(connection, 1, NAIVE),
    "a withdrawal": lambda connection: issuances.withdraw(connection, [1], NAIVE),
    "a pause": lambda connection: store_pauses.pause(connection, 1, reason="", now=NAIVE, next_probe_at=None),
}


@pytest.mark.parametrize("use", WITHOUT_A_ZONE)
def test_a_moment_without_a_time_zone_is_refused(books: Books, use: str) -> None:
    books.deliver(b"1")
    with pytest.raises(LedgerFaultError, match="time zone"):
        books.write(WITHOUT_A_ZONE[use])


@pytest.fixture(params=["America/New_York", "Pacific/Kiritimati"])
def abroad(
    request: pytest.FixtureRequest, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ledger]:
    """A ledger whose machine, and whose server if it has one, are in another time zone."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    if database_url.startswith("postgresql"):
        server = Ledger(database_url)
        with server.write() as connection:
            connection.execute(text(f"ALTER DATABASE test SET timezone = '{request.param}'"))
        server.close()
    ledger = Ledger(database_url)
    ledger.upgrade()
    yield ledger
    ledger.close()
    monkeypatch.undo()
    time.tzset()


def test_the_time_zone_of_the_machines_makes_no_difference(abroad: Ledger) -> None:
    for number, moment in enumerate([OLDEST, NOW, LAST]):
        with abroad.write() as connection:
            store_id = add_store(connection, f"shop-{number}")
            stores.record_ping(connection, store_id, moment)
            body = str(number).encode()
            delivery_id = insert_delivery(connection, **delivery_of(store_id, body, now=moment)).delivery_id
        with abroad.read() as connection:
            delivery = deliveries.get(connection, delivery_id)
            assert delivery is not None
            assert (delivery.received_at, stores.get(connection, store_id).last_ping_at) == (moment, moment)
