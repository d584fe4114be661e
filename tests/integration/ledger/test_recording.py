"""Recording: what arrives at the same time is committed together, and as if each had come by itself."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import pytest
from sqlalchemy import text

from bridge.admin import store_removal
from bridge.db import Ledger, LedgerFaultError, tables
from bridge.ledger import deliveries, store_secrets, stores
from bridge.ledger.deliveries import FAILED, PROCESSED, RECEIVED, Recorded
from bridge.ledger.recording import CachedStore, Recorder
from bridge.vault import Vault
from bridge.vault.encryption import make_key
from tests.integration.ledger.books import LATER, NOW, SECRET, TOKEN, VAULT, Books, add_store, delivery_of
from tests.integration.ledger.crowds import START_WITHIN, Crew, Other
from tests.servers import wait_until

BODIES = [f'{{"id": {number}}}'.encode() for number in range(40)]
KINDS: list[dict[str, Any]] = [
    {},
    {"topic": "order.deleted", "is_deletion": True},
    {"state": "ignored", "reason": "not an order", "resource_id": None},
    {"resource_id": 2**63 - 1, "topic": "é😀"},
]

_Result = TypeVar("_Result")


def known(ledger: Ledger, store_id: int = 1) -> CachedStore:
    """The store as it is now."""
    with ledger.read() as connection:
        store = stores.get(connection, store_id)
    return CachedStore(store.id, store.name, frozenset(), store.encrypted_webhook_secret, SECRET)


def record(recorder: Recorder, store: CachedStore, body: bytes, **given: Any) -> Recorded | None:
    values = delivery_of(store.id, body, **given)
    del values["store_id"]
    return recorder.record(store, **values)


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


@pytest.fixture
def gate(books: Books) -> Iterator[Gate]:
    gate = Gate(books.url)
    yield gate
    gate.close()


@pytest.fixture
def recorder(books: Books) -> Recorder:
    return Recorder(books.ledger)


def record_together(
    gate: Gate,
    bodies: Sequence[bytes],
    *,
    of: Sequence[Mapping[str, Any]] = (),
    store: CachedStore | None = None,
) -> Sequence[Recorded | None]:
    """What becomes of deliveries that are written in one transaction, each brought by a thread of its own."""
    recorder, store = Recorder(gate), known(gate)
    first = Other(lambda: record(recorder, store, b"while this is written, the others come"))
    assert gate.begun.acquire(timeout=START_WITHIN)
    others = []
    for number, body in enumerate(bodies):
        given = of[number] if of else {}
        others.append(Other(partial(record, recorder, store, body, **given)))
        wait_until(partial(_is_queued, recorder, number + 1), "one more in the queue")
    gate.may_go_on.release()
    assert first.result() is not None
    assert gate.begun.acquire(timeout=START_WITHIN)
    assert not any(other.has_ended() for other in others)  # nobody is answered before the commit
    gate.may_go_on.release()
    results = [other.result() for other in others]
    assert not gate.begun.acquire(blocking=False), "they took more than one transaction"
    return results


def _is_queued(recorder: Recorder, number: int) -> bool:
    (queue,) = recorder._group._queues.values()
    return len(queue._waiting) == number


@pytest.mark.parametrize("given", KINDS)
def test_a_delivery_is_recorded_as_it_is_in_a_transaction_of_the_callers(
    books: Books, recorder: Recorder, given: dict[str, Any]
) -> None:
    recorded = record(recorder, known(books.ledger), b'{"id": 1}', **given)
    other = books.write(add_store, "other")
    by_itself = books.write(deliveries.record, **delivery_of(other, b'{"id": 1}', **given))
    assert recorded is not None
    assert (recorded.is_duplicate, recorded.is_to_be_processed) == (
        by_itself.is_duplicate,
        by_itself.is_to_be_processed,
    )
    different = {"id": None, "store_id": None}
    row = dict(books.row(tables.deliveries, recorded.delivery_id)) | different
    assert row == dict(books.row(tables.deliveries, by_itself.delivery_id)) | different
    assert books.delivery(recorded.delivery_id).body == b'{"id": 1}'


@pytest.mark.parametrize("given", KINDS)
@pytest.mark.parametrize("state", [RECEIVED, PROCESSED, FAILED])
def test_a_repeat_is_counted_as_it_is_in_a_transaction_of_the_callers(
    books: Books, recorder: Recorder, given: dict[str, Any], state: str
) -> None:
    other = books.write(add_store, "other")
    rows = []
    for store_id in (books.store_id, other):
        first = books.write(deliveries.record, **delivery_of(store_id, b'{"id": 1}', **given))
        books.write(deliveries.note_failure, first.delivery_id, "failed")
        books.write(deliveries.finish, [deliveries.Finished(first.delivery_id, state, "done")])
        later = {**given, "now": LATER}
        if store_id == other:
            repeat = books.write(deliveries.record, **delivery_of(other, b'{"id": 1}', **later))
        else:
            found = record(recorder, known(books.ledger), b'{"id": 1}', **later)
            assert found is not None
            repeat = found
        assert repeat.delivery_id == first.delivery_id
        rows.append(dict(books.row(tables.deliveries, first.delivery_id)) | {"id": None, "store_id": None})
        rows[-1] |= {"is_duplicate": repeat.is_duplicate, "again": repeat.is_to_be_processed}
        # Another place in the sequence for each.
        rows[-1]["arrival"] = (rows[-1]["arrival"] or 0) > first.delivery_id
    assert rows[0] == rows[1]
    assert (rows[0]["duplicates"], rows[0]["last_received_at"]) == (1, LATER)


def test_deliveries_that_come_at_the_same_time_are_kept_in_one_transaction(books: Books, gate: Gate) -> None:
    of = [KINDS[number % len(KINDS)] for number in range(len(BODIES))]
    results = record_together(gate, BODIES, of=of)
    for body, given, recorded in zip(BODIES, of, results, strict=True):
        assert recorded is not None
        assert not recorded.is_duplicate
        kept = books.delivery(recorded.delivery_id)
        assert (kept.body, kept.is_deletion) == (body, given.get("is_deletion", False))
        assert recorded.is_to_be_processed == (kept.state == RECEIVED)
    assert books.count(tables.deliveries) == len(BODIES) + 1


def test_what_comes_twice_at_the_same_time_is_one_delivery(books: Books, gate: Gate) -> None:
    """The second is counted at once, or it is to be recorded by itself: PostgreSQL inserts no row twice."""
    first, second, other = record_together(gate, [b"twice", b"twice", b"once"])
    assert first is not None
    assert other is not None
    assert not first.is_duplicate
    duplicates = books.delivery(first.delivery_id).duplicates
    assert (second, duplicates) in [(None, 0), (Recorded(first.delivery_id, True, True), 1)]
    assert books.count(tables.deliveries) == 3


def test_old_and_new_come_together(books: Books, gate: Gate) -> None:
    old = books.deliver(b"old")
    results = record_together(gate, [b"old", b"new"])
    assert results[0] == Recorded(old.delivery_id, True, True)
    assert results[1] is not None
    assert not results[1].is_duplicate


@pytest.mark.parametrize("bad", [{"resource_id": 2**70}, {"topic": "half a pair: \ud800"}, {"topic": None}])
def test_what_is_refused_is_left_to_each_to_be_recorded_by_itself(
    books: Books, gate: Gate, bad: dict[str, Any]
) -> None:
    assert record_together(gate, [b"1", b"2", b"3"], of=[{}, bad, {}]) == [None] * 3
    assert books.count(tables.deliveries) == 1
    gate.may_go_on.release()
    assert record(Recorder(gate), known(gate), b"after") is not None


def test_a_moment_without_a_time_zone_fails_for_whoever_brought_it_alone(
    books: Books, recorder: Recorder
) -> None:
    with pytest.raises(LedgerFaultError):
        record(recorder, known(books.ledger), b"1", now=NOW.replace(tzinfo=None))
    assert record(recorder, known(books.ledger), b"1") is not None


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


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_is_recorded_of_a_store_that_is_not_what_it_was(
    books: Books, recorder: Recorder, change: Callable[[Books], None]
) -> None:
    before = known(books.ledger)
    assert record(recorder, before, b"before") is not None
    change(books)
    assert record(recorder, before, b"after") is None
    assert record(recorder, before, b"before") is None  # nor is a repeat counted
    assert books.count(tables.deliveries) == 1
    assert books.delivery(1).duplicates == 0


def test_only_those_of_a_store_that_changed_are_left_out_of_what_is_recorded_together(
    books: Books, gate: Gate
) -> None:
    stale = replace(known(gate), encrypted_secret="of another time")
    recorder = Recorder(gate)
    first = Other(lambda: record(recorder, known(gate), b"0"))
    assert gate.begun.acquire(timeout=START_WITHIN)
    others = []
    for number, store in enumerate([stale, known(books.ledger), stale], 1):
        others.append(Other(partial(record, recorder, store, b"%d" % number)))
        wait_until(partial(_is_queued, recorder, number), "one more in the queue")
    gate.may_go_on.release(2)
    results = [other.result() for other in others]
    assert [result is None for result in results] == [True, False, True]
    assert first.result() is not None
    assert books.count(tables.deliveries) == 2


def test_a_repeat_of_what_is_being_worked_on_waits_or_is_left_to_be_recorded_by_itself(
    books: Books, recorder: Recorder
) -> None:
    delivery_id = books.deliver(b"1").delivery_id
    store = known(books.ledger)
    with books.ledger.write() as connection:
        assert deliveries.lock(connection, delivery_id) is not None
        repeat = Other(lambda: record(recorder, store, b"1"))
        repeat.wait_until_it_waits(books.ledger)
        if connection.dialect.name == "postgresql":
            assert repeat.result() is None  # so that what comes meanwhile need not wait with it
            assert record(recorder, store, b"2") is not None
    assert repeat.result() in {None, Recorded(delivery_id, True, True)}


def test_many_threads_of_two_processes_record_everything_once(books: Books, crew: Crew) -> None:
    """Each brings the same deliveries in another order: whoever waits for whom, nobody waits in a circle."""
    results = [found for of_one in crew.at_once(books.url, _record_all, threads=8) for found in of_one]
    assert books.count(tables.deliveries) == len(BODIES)
    for body in BODIES:
        found = [recorded for what, recorded in results if what == body]
        assert len(found) == 16
        assert len({recorded.delivery_id for recorded in found}) == 1
        assert sorted(recorded.is_duplicate for recorded in found) == [False] + [True] * 15
        assert books.delivery(found[0].delivery_id).duplicates == 15


def _record_all(ledger: Ledger, number: int) -> list[tuple[bytes, Recorded]]:
    recorder, store = _recorders.setdefault(id(ledger), (Recorder(ledger), known(ledger)))
    order = random.Random(number).sample(BODIES, len(BODIES))
    results = []
    for body in order:
        recorded = record(recorder, store, body)
        if recorded is None:
            with ledger.write() as connection:
                recorded = deliveries.record(connection, **delivery_of(store.id, body))
        results.append((body, recorded))
    return results


_recorders: dict[int, tuple[Recorder, CachedStore]] = {}  # of this process, by ledger


def test_what_is_committed_when_its_process_is_killed_is_there(books: Books) -> None:
    """Killed by the first thread that is about to be answered: whatever was committed with it stays."""
    process = multiprocessing.get_context("spawn").Process(target=_record_and_die, args=(books.url,))
    process.start()
    process.join(START_WITHIN)
    assert process.exitcode == -signal.SIGKILL
    assert books.count(tables.deliveries) == 1 + len(BODIES)
    assert books.deliver(BODIES[0]).is_duplicate


class _Fatal(Gate):
    def write_by_driver(self, work: Callable[[Any], _Result]) -> _Result:
        result = super().write_by_driver(work)
        with self.read() as connection:
            if connection.execute(text("SELECT count(*) FROM deliveries")).scalar_one() > 1:
                os.kill(os.getpid(), signal.SIGKILL)
        return result


def _record_and_die(url: str) -> None:
    record_together(_Fatal(url), BODIES)
