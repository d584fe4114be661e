"""Recording: what arrives at the same time is committed together, and as if each had come by itself."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import pytest
import structlog
from sqlalchemy import text

from bridge.admin import store_removal
from bridge.db import Ledger, LedgerFaultError, tables
from bridge.ledger import processing, store_secrets, stores
from bridge.ledger.deliveries import FAILED, PROCESSED, RECEIVED
from bridge.ledger.insertion import Insertion, insert_together
from bridge.ledger.stores import Store
from bridge.pipeline.receive import DeliveryRecorder, RecordedDelivery, StoreChangedError
from bridge.vault import Vault
from bridge.vault.encryption import make_key
from tests.support.books import (
    LATER,
    NOW,
    SECRET,
    TOKEN,
    VAULT,
    Books,
    add_store,
    delivery_of,
)
from tests.support.crowds import Crew, Other
from tests.support.servers import START_WITHIN, wait_until

KINDS: list[dict[str, Any]] = [
    {},
    {"topic": "order.deleted", "is_deletion": True},
    {"state": "ignored", "reason": "not an order", "resource_id": None},
    {"resource_id": 2**63 - 1, "topic": "é😀"},
]
BAD: list[dict[str, Any]] = [
    {"resource_id": 2**70},
    {"topic": "half a pair: \ud800"},
    {"topic": None},
    {"now": NOW.replace(tzinfo=None)},
]

_Result = TypeVar("_Result")


def order(number: int, site: str = "") -> bytes:
    """An order that names its site, if there is one given."""
    said: dict[str, Any] = {
        "id": number,
        "order_key": f"wc_order_{number}",
        "status": "processing",
        "currency": "EUR",
        "total": "12.30",
        "date_modified_gmt": "2026-11-23T12:00:00",
    }
    if site:
        said["_links"] = {"self": [{"href": f"https://{site}/wp-json/wc/v3/orders/{number}"}]}
    return json.dumps(said).encode()


BODIES = [order(number) for number in range(1, 41)]


def read_store(ledger: Ledger, store_id: int = 1) -> Store:
    """The store as it is now."""
    with ledger.read() as connection:
        return stores.get(connection, store_id)


# How a row is inserted.


def insert_by_driver(books: Books, *batch: Any) -> Sequence[Insertion | None]:
    """Insert deliveries in one transaction by the driver, for their stores as they are now."""
    rows: Any = [
        {"webhook_secret": books.store(new["store_id"]).encrypted_webhook_secret, **new} for new in batch
    ]
    ledger = books.ledger
    return ledger.write_by_driver(lambda cursor: insert_together(cursor, ledger.dialect, rows))


@pytest.mark.parametrize("given", KINDS)
@pytest.mark.parametrize("company", [[], [b"another"]], ids=["alone", "with another"])
def test_a_delivery_is_inserted_by_the_driver_as_in_a_transaction_of_the_callers(
    books: Books, given: dict[str, Any], company: list[bytes]
) -> None:
    other = books.write(add_store, "other")
    others = [delivery_of(other, body) for body in company]
    (insertion, *_) = insert_by_driver(books, delivery_of(other, b'{"id": 1}', **given), *others)
    by_itself = books.deliver(b'{"id": 1}', **given)
    assert insertion == replace(by_itself, delivery_id=insertion.delivery_id if insertion else 0)
    different = {"id": None, "store_id": None}
    row = dict(books.row(tables.deliveries, insertion.delivery_id)) | different
    assert row == dict(books.row(tables.deliveries, by_itself.delivery_id)) | different
    assert books.delivery(insertion.delivery_id).body == b'{"id": 1}'


@pytest.mark.parametrize("given", KINDS)
@pytest.mark.parametrize("state", [RECEIVED, PROCESSED, FAILED])
@pytest.mark.parametrize("company", [[], [b"another"]], ids=["alone", "with another"])
def test_a_repeat_is_counted_by_the_driver_as_in_a_transaction_of_the_callers(
    books: Books, given: dict[str, Any], state: str, company: list[bytes]
) -> None:
    other = books.write(add_store, "other")
    rows = []
    for store_id in (books.store_id, other):
        new = delivery_of(store_id, b'{"id": 1}', **given)
        (first,) = insert_by_driver(books, new)
        assert first is not None
        books.write(processing.note_failure, first.delivery_id, "failed")
        books.write(processing.finish, [processing.Finished(first.delivery_id, state, "done")])
        new["received_at"] = LATER
        repeat: Insertion | None
        if store_id == other:
            others = [delivery_of(other, body) for body in company]
            (repeat, *_) = insert_by_driver(books, new, *others)
        else:
            repeat = books.deliver(b'{"id": 1}', **given, now=LATER)
        assert repeat is not None
        assert repeat.delivery_id == first.delivery_id
        rows.append(dict(books.row(tables.deliveries, first.delivery_id)) | {"id": None, "store_id": None})
        rows[-1] |= {"is_duplicate": repeat.is_duplicate, "again": repeat.is_to_be_processed}
        # Another place in the sequence for each.
        rows[-1]["arrival"] = (rows[-1]["arrival"] or 0) > first.delivery_id
    assert rows[0] == rows[1]
    assert (rows[0]["duplicates"], rows[0]["last_received_at"]) == (1, LATER)


@pytest.mark.parametrize("bad", BAD)
def test_of_a_batch_with_a_row_that_is_refused_nothing_is_inserted(books: Books, bad: dict[str, Any]) -> None:
    rows = [delivery_of(1, b"1"), delivery_of(1, b"2", **bad), delivery_of(1, b"3")]
    with pytest.raises((LedgerFaultError, ValueError, OverflowError)):
        insert_by_driver(books, *rows)
    assert books.count(tables.deliveries) == 0
    assert None not in insert_by_driver(books, rows[0], rows[2])


@pytest.mark.parametrize("bad", BAD)
def test_a_row_that_is_refused_is_a_fault_to_a_transaction_of_the_callers(
    books: Books, bad: dict[str, Any]
) -> None:
    with pytest.raises(LedgerFaultError):
        books.deliver(b"1", **bad)
    assert books.count(tables.deliveries) == 0


# What is recorded.


class Gate(Ledger):
    """A ledger to which recorders write one batch after the other, each when the test lets it."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.begun, self.may_go_on = threading.Semaphore(0), threading.Semaphore(0)

    @property
    def direct_writers(self) -> int:
        return 1

    def write_by_driver(self, work: Callable[[Any], _Result]) -> _Result:
        self.begun.release()
        assert self.may_go_on.acquire(timeout=START_WITHIN)
        return super().write_by_driver(work)


class Recorder(DeliveryRecorder):
    """A recorder at a time that the test sets, with the ids that it has published."""

    def __init__(self, ledger: Ledger, *, at: datetime = NOW) -> None:
        self.published: list[int] = []
        super().__init__(ledger, publish=self.published.append, now=lambda: at)

    def waiting(self) -> int:
        """How many threads wait for the next transaction."""
        (queue,) = self._batch_writer._queues.values()
        return len(queue._waiting)


@pytest.fixture
def gate(books: Books) -> Iterator[Gate]:
    gate = Gate(books.url)
    yield gate
    gate.close()


@pytest.fixture
def recorder(books: Books) -> Recorder:
    return Recorder(books.ledger)


def record(recorder: DeliveryRecorder, store: Store, body: bytes, topic: str = "order.updated") -> str:
    """Record a delivery; its outcome, or what was raised."""
    try:
        return recorder.record(store, topic, body).outcome
    except (StoreChangedError, LedgerFaultError) as error:
        return type(error).__name__


def record_together(gate: Gate, recorder: Recorder, *work: Callable[[], _Result]) -> Sequence[_Result]:
    """What comes of deliveries that wait for the same transaction, each recorded by a thread of its own."""
    first = Other(lambda: record(recorder, read_store(gate), order(1000)))
    assert gate.begun.acquire(timeout=START_WITHIN)
    others = []
    for number, each in enumerate(work, 1):
        others.append(Other(each))
        wait_until(lambda number=number: recorder.waiting() == number, "one more that waits")  # type: ignore[misc]
    gate.may_go_on.release()
    assert first.result() == "accepted"
    assert gate.begun.acquire(timeout=START_WITHIN)
    assert not any(other.has_ended() for other in others)  # nobody is answered before the commit
    gate.may_go_on.release()
    results = [other.result() for other in others]
    assert not gate.begun.acquire(blocking=False), "they took more than one transaction by the driver"
    return results


def test_deliveries_that_come_at_the_same_time_are_committed_in_one_transaction(
    books: Books, gate: Gate
) -> None:
    recorder, store = Recorder(gate), read_store(books.ledger)
    bodies = [*BODIES[:37], b'{"id": 38}', b'{"id": 39}', b'{"no": "order"}']
    topics = ["order.created"] * 37 + ["order.deleted"] * 2 + ["order.updated"]
    results = record_together(
        gate,
        recorder,
        *(partial(recorder.record, store, topic, body) for topic, body in zip(topics, bodies, strict=True)),
    )
    assert [delivery.outcome for delivery in results] == ["accepted"] * 39 + ["ignored"]
    for topic, body, delivery in zip(topics, bodies, results, strict=True):
        kept = books.delivery(delivery.id)
        assert (kept.topic, kept.body, kept.reason) == (topic, body, delivery.reason)
        assert kept.is_deletion == (topic == "order.deleted")
    assert books.count(tables.deliveries) == len(bodies) + 1
    to_be_processed = {delivery.id for delivery in results if delivery.outcome == "accepted"}
    assert set(recorder.published) == to_be_processed | {1}


def test_what_comes_twice_at_the_same_time_is_one_delivery(books: Books, gate: Gate) -> None:
    recorder, store = Recorder(gate), read_store(books.ledger)
    work = [partial(recorder.record, store, "order.created", order(number)) for number in (1, 1, 2)]
    first, second, other = record_together(gate, recorder, *work)
    assert (first.outcome, second.outcome, other.outcome) == ("accepted", "duplicate", "accepted")
    assert first.id == second.id
    assert books.delivery(first.id).duplicates == 1
    assert books.count(tables.deliveries) == 3


def test_old_and_new_come_together(books: Books, gate: Gate) -> None:
    recorder, store = Recorder(gate), read_store(books.ledger)
    old = Recorder(books.ledger).record(store, "order.created", order(1))
    work = [partial(recorder.record, store, "order.created", order(number)) for number in (1, 2)]
    again, new = record_together(gate, recorder, *work)
    assert again == replace(old, outcome="duplicate")
    assert new.outcome == "accepted"


def test_what_is_refused_costs_those_that_come_with_it_nothing(books: Books, gate: Gate) -> None:
    recorder, store = Recorder(gate), read_store(books.ledger)
    unsendable = replace(store, encrypted_webhook_secret="half a pair: \ud800")
    work = [
        partial(record, recorder, one, order(number))
        for number, one in enumerate([store, unsendable, store], 1)
    ]
    assert record_together(gate, recorder, *work) == ["accepted", "LedgerFaultError", "accepted"]
    assert books.count(tables.deliveries) == 3
    assert len(recorder.published) == 3


def test_a_moment_without_a_time_zone_is_refused(books: Books) -> None:
    recorder = Recorder(books.ledger, at=NOW.replace(tzinfo=None))
    assert record(recorder, read_store(books.ledger), order(1)) == "LedgerFaultError"
    assert (books.count(tables.deliveries), recorder.published) == (0, [])


def test_a_delivery_that_is_recorded_is_published_and_logged_without_what_is_in_it(
    books: Books, recorder: Recorder
) -> None:
    with structlog.testing.capture_logs() as lines:
        delivery = recorder.record(read_store(books.ledger), "order.created", order(7))
        ignored = recorder.record(read_store(books.ledger), "product.updated", b'{"id": 7}')
    assert delivery == RecordedDelivery(delivery.id, "accepted", None, ())
    assert ignored.outcome == "ignored"
    assert recorder.published == [delivery.id]
    line = {
        "event": "delivery recorded",
        "log_level": "info",
        "store": "shop",
        "order": 7,
        "source": "webhook",
    }
    assert lines == [
        {**line, "delivery": delivery.id, "topic": "order.created", "outcome": "accepted"},
        {**line, "delivery": ignored.id, "topic": "product.updated", "outcome": "ignored"},
    ]


def test_the_first_order_tells_where_the_shop_is_and_what_comes_from_elsewhere_is_quarantined(
    books: Books, recorder: Recorder
) -> None:
    store = read_store(books.ledger)
    here = recorder.record(store, "order.created", order(1, "shop.example"))
    assert (here.outcome, list(here.shop_urls)) == ("accepted", ["shop.example"])
    assert list(books.store().shop_urls) == ["shop.example"]
    for number, read in enumerate([store, books.store()], 2):  # before the address was known, and after
        elsewhere = recorder.record(read, "order.created", order(number, "copy.example"))
        assert (elsewhere.outcome, list(elsewhere.shop_urls)) == ("quarantined", ["shop.example"])
        assert "copy.example" in (elsewhere.reason or "")
    trashed = recorder.record(books.store(), "order.deleted", b'{"id": 1}', "https://copy.example/")
    assert trashed.outcome == "quarantined"
    assert recorder.published == [here.id]


def _rotate(books: Books) -> None:
    with books.ledger.write() as connection:
        store = stores.lock(connection, books.store_id)
        store_secrets.rotate_webhook_secret(connection, store, VAULT, "new", keep_previous=True, now=NOW)


def _remove(books: Books) -> None:
    with books.ledger.write() as connection:
        store_removal.remove(connection, stores.lock(connection, books.store_id), who="maja", now=NOW)


def _remove_and_take_back(books: Books) -> None:
    _remove(books)
    with books.ledger.write() as connection:
        store = stores.lock(connection, books.store_id)
        store_removal.take_back(
            connection,
            store,
            vault=VAULT,
            name="shop",
            organization_id=store.organization_id,
            api_token=TOKEN,
            webhook_secret=SECRET,
            now=NOW,
        )


def _remove_and_add_another(books: Books) -> None:
    _remove(books)
    books.write(add_store)


def _encrypt_anew(books: Books) -> None:
    with books.ledger.write() as connection:
        connection.execute(tables.stores.update().values(webhook_secret=Vault([make_key()]).encrypt(SECRET)))


CHANGES = [_rotate, _remove, _remove_and_take_back, _remove_and_add_another, _encrypt_anew]


@pytest.mark.parametrize("site", ["", "shop.example"], ids=["with others", "alone"])
@pytest.mark.parametrize("change", CHANGES)
def test_nothing_is_recorded_of_a_store_that_is_not_what_it_was(
    books: Books, recorder: Recorder, change: Callable[[Books], None], site: str
) -> None:
    before = read_store(books.ledger)
    assert record(recorder, before, order(1)) == "accepted"
    change(books)
    assert record(recorder, before, order(2, site)) == "StoreChangedError"
    assert record(recorder, before, order(1)) == "StoreChangedError"  # nor is a repeat counted
    assert books.count(tables.deliveries) == 1
    assert books.delivery(1).duplicates == 0
    assert list(books.store().shop_urls) == []
    assert recorder.published == [1]


def test_only_those_of_a_store_that_changed_are_left_out_of_what_is_recorded_together(
    books: Books, gate: Gate
) -> None:
    recorder, store = Recorder(gate), read_store(books.ledger)
    stale = replace(store, encrypted_webhook_secret="of another time")
    work = [
        partial(record, recorder, one, order(number)) for number, one in enumerate([stale, store, stale], 1)
    ]
    assert record_together(gate, recorder, *work) == ["StoreChangedError", "accepted", "StoreChangedError"]
    assert books.count(tables.deliveries) == 2


def test_a_repeat_of_what_is_being_worked_on_waits_and_no_other_waits_with_it(
    books: Books, recorder: Recorder
) -> None:
    store = read_store(books.ledger)
    delivery = recorder.record(store, "order.created", order(1))
    with books.ledger.write() as connection:
        processing.lock_unprocessed(connection, [delivery.id])
        repeat = Other(lambda: record(recorder, store, order(1)))
        repeat.wait_until_it_waits(books.ledger)
        if connection.dialect.name == "postgresql":
            assert record(recorder, store, order(2)) == "accepted"
        assert not repeat.has_ended()
    assert repeat.result() == "duplicate"


def test_many_threads_of_two_processes_record_everything_once(books: Books, crew: Crew) -> None:
    """Each brings the same deliveries in another order: whoever waits for whom, nobody waits in a circle."""
    results = [found for of_one in crew.at_once(books.url, _record_all, threads=8) for found in of_one]
    assert books.count(tables.deliveries) == len(BODIES)
    for body in BODIES:
        recorded = [delivery for what, delivery in results if what == body]
        assert sorted(delivery.outcome for delivery in recorded) == ["accepted"] + ["duplicate"] * 15
        (delivery_id,) = {delivery.id for delivery in recorded}
        assert books.delivery(delivery_id).duplicates == 15


def _record_all(ledger: Ledger, number: int) -> list[tuple[bytes, RecordedDelivery]]:
    recorder, store = _recorders.setdefault(id(ledger), (Recorder(ledger), read_store(ledger)))
    order = random.Random(number).sample(BODIES, len(BODIES))
    return [(body, recorder.record(store, "order.created", body)) for body in order]


_recorders: dict[int, tuple[Recorder, Store]] = {}  # of this process, by ledger


def test_what_is_committed_when_its_process_is_killed_is_there(books: Books) -> None:
    """Killed by the first thread that is about to be answered: whatever was committed with it stays."""
    process = multiprocessing.get_context("spawn").Process(target=_record_and_die, args=(books.url,))
    process.start()
    process.join(START_WITHIN)
    assert process.exitcode == -signal.SIGKILL
    assert books.count(tables.deliveries) == 1 + len(BODIES)
    assert record(Recorder(books.ledger), read_store(books.ledger), BODIES[0]) == "duplicate"


class _Fatal(Gate):
    def write_by_driver(self, work: Callable[[Any], _Result]) -> _Result:
        result = super().write_by_driver(work)
        with self.read() as connection:
            if connection.execute(text("SELECT count(*) FROM deliveries")).scalar_one() > 1:
                os.kill(os.getpid(), signal.SIGKILL)
        return result


def _record_and_die(url: str) -> None:
    gate = _Fatal(url)
    recorder, store = Recorder(gate), read_store(gate)
    record_together(gate, recorder, *(partial(record, recorder, store, body) for body in BODIES))
