"""Deliveries: each content is kept once for each store, byte for byte, and processed until that is done."""

from __future__ import annotations

import random
import sys
from datetime import timedelta, timezone

import pytest
from sqlalchemy import text

from bridge.db import Ledger, tables
from bridge.issuance import printable
from bridge.ledger import deliveries, kept_deliveries, processing
from bridge.ledger.deliveries import (
    FAILED,
    IGNORED,
    PROCESSED,
    RECEIVED,
)
from bridge.ledger.processing import CLOCK_TOLERANCE, GIVE_UP_AFTER, Finished, KnownDeletion
from tests.support.books import NOW, Books, add_store, delivery_of, finish, insert_delivery
from tests.support.crowds import Crew, Other, at_once

MEBIBYTE = 2**20
NOISE = random.Random(1)
CONTENTS = [f'{{"id": {number}}}'.encode() for number in range(12)]


def test_a_delivery_is_kept_as_it_came(books: Books) -> None:
    recorded = books.deliver(b'{"id": 7}', topic="order.deleted", resource_id=7, is_deletion=True)
    assert (recorded.is_duplicate, recorded.is_to_be_processed) == (False, True)
    kept = books.delivery(recorded.delivery_id)
    assert (kept.store_id, kept.store, kept.topic) == (books.store_id, "shop", "order.deleted")
    assert (kept.resource_id, kept.is_deletion, kept.body) == (7, True, b'{"id": 7}')
    assert (kept.state, kept.reason, kept.duplicates) == (RECEIVED, None, 0)
    assert (kept.received_at, kept.last_received_at) == (NOW, NOW)


def test_a_delivery_of_no_use_is_kept_and_not_to_be_processed(books: Books) -> None:
    recorded = books.deliver(b"?", state="ignored", reason="unreadable: not JSON", resource_id=None)
    assert not recorded.is_to_be_processed
    kept = books.delivery(recorded.delivery_id)
    assert (kept.state, kept.reason, kept.resource_id) == (IGNORED, "unreadable: not JSON", None)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(bytes(range(256)), id="every byte"),
        pytest.param(b"\x00" * 3, id="NUL"),
        pytest.param("{“ü”: 🧾}".encode("utf-16"), id="another encoding"),
        pytest.param(NOISE.randbytes(8 * MEBIBYTE), id="8 MiB that cannot be compressed"),
        pytest.param(b" " * 8 * MEBIBYTE, id="8 MiB of spaces"),
    ],
)
def test_a_body_comes_back_byte_for_byte(books: Books, body: bytes) -> None:
    recorded = books.deliver(body)
    assert books.delivery(recorded.delivery_id).body == body


def test_a_body_is_not_quoted_by_a_delivery_that_is_printed(books: Books) -> None:
    kept = books.delivery(books.deliver(b"Maja Novak, Ljubljana").delivery_id)
    assert "Maja" not in repr(kept)
    assert repr(kept.compressed_body) not in repr(kept)


def test_the_same_content_is_one_delivery_that_is_counted(books: Books) -> None:
    first = books.deliver()
    later = NOW + timedelta(hours=1)
    again = [books.deliver(now=later), books.deliver(now=later, topic="order.created")]
    assert [(one.delivery_id, one.is_duplicate) for one in again] == [(first.delivery_id, True)] * 2
    kept = books.delivery(first.delivery_id)
    assert (kept.duplicates, kept.topic) == (2, "order.updated")
    assert (kept.received_at, kept.last_received_at) == (NOW, later)


def test_the_same_content_for_another_store_is_another_delivery(books: Books) -> None:
    other = books.write(add_store, "other")
    first, second = books.deliver(), books.write(insert_delivery, **delivery_of(other, b'{"id": 1}'))
    assert first.delivery_id != second.delivery_id
    assert not second.is_duplicate


def test_eight_threads_that_record_the_same_content_record_it_once(books: Books) -> None:
    recorded = at_once(8, lambda _: books.deliver())
    assert sorted(one.is_duplicate for one in recorded) == [False] + [True] * 7
    (delivery_id,) = {one.delivery_id for one in recorded}
    assert books.delivery(delivery_id).duplicates == 7


def test_two_processes_that_record_the_same_contents_record_each_once(books: Books, crew: Crew) -> None:
    recorded = crew.at_once(books.url, _record_all)
    for of_one_content in zip(*recorded, strict=True):
        assert sorted(is_duplicate for _, is_duplicate in of_one_content) == [False] + [True] * 7
        (delivery_id,) = {delivery_id for delivery_id, _ in of_one_content}
        assert books.delivery(delivery_id).duplicates == 7
    assert books.count(tables.deliveries) == len(CONTENTS)


def _record_all(ledger: Ledger, number: int) -> list[tuple[int, bool]]:
    """Each thread begins with another one."""
    found = {}
    for body in CONTENTS[number:] + CONTENTS[:number]:
        with ledger.write() as connection:
            found[body] = insert_delivery(connection, **delivery_of(1, body))
    return [(found[body].delivery_id, found[body].is_duplicate) for body in CONTENTS]


@pytest.mark.parametrize(
    ("state", "is_deletion", "then"),
    [
        (RECEIVED, False, RECEIVED),
        (RECEIVED, True, RECEIVED),
        (PROCESSED, False, PROCESSED),
        (PROCESSED, True, RECEIVED),  # the order was restored meanwhile, and is trashed again
        (IGNORED, False, IGNORED),
        (FAILED, False, RECEIVED),
        (FAILED, True, RECEIVED),
    ],
)
def test_a_repeat_is_processed_again_if_it_is_a_deletion_or_had_failed(
    books: Books, state: str, is_deletion: bool, then: str
) -> None:
    delivery_id = books.deliver(is_deletion=is_deletion).delivery_id
    books.write(finish, delivery_id, state=state, reason=None)
    again = books.deliver(is_deletion=is_deletion)
    assert (again.is_duplicate, again.is_to_be_processed) == (True, then == RECEIVED)
    assert books.delivery(delivery_id).state == then


def test_a_repeat_of_what_had_failed_has_all_its_tries_again(books: Books) -> None:
    delivery_id = books.deliver().delivery_id
    _fail(books, delivery_id, GIVE_UP_AFTER)
    books.deliver()
    _fail(books, delivery_id, GIVE_UP_AFTER - 1)
    assert books.delivery(delivery_id).state == RECEIVED


def test_a_repeat_that_is_dated_before_the_first_does_not_set_its_time_back(books: Books) -> None:
    delivery_id = books.deliver().delivery_id
    books.deliver(now=NOW - timedelta(hours=1))
    kept = books.delivery(delivery_id)
    assert (kept.received_at, kept.last_received_at) == (NOW, NOW)


def test_a_repeat_may_be_dated_in_any_time_zone(books: Books) -> None:
    delivery_id = books.deliver().delivery_id
    later = NOW + timedelta(minutes=1)
    books.deliver(now=later.astimezone(timezone(timedelta(hours=-9))))
    assert books.delivery(delivery_id).last_received_at == later


def test_a_repeat_that_comes_while_a_deletion_is_processed_is_processed_after_it(books: Books) -> None:
    delivery_id = books.deliver(is_deletion=True).delivery_id
    with books.ledger.write() as connection:
        assert deliveries.lock(connection, delivery_id) is not None
        repeat = Other(lambda: books.deliver(is_deletion=True))
        repeat.wait_until_it_waits(books.ledger)
        finish(connection, delivery_id, state=PROCESSED, reason="deletes the order")
    assert repeat.result().is_to_be_processed
    assert books.delivery(delivery_id).state == RECEIVED


def test_a_second_worker_waits_for_the_first_and_finds_the_delivery_processed(books: Books) -> None:
    delivery_id = books.deliver().delivery_id
    with books.ledger.write() as connection:
        assert deliveries.lock(connection, delivery_id) is not None
        second = Other(lambda: books.write(deliveries.lock, delivery_id))
        second.wait_until_it_waits(books.ledger)
        finish(connection, delivery_id, state=PROCESSED, reason="done")
    found = second.result()
    assert found is not None
    assert (found.state, found.reason) == (PROCESSED, "done")


def test_what_is_not_there_is_not_found(books: Books) -> None:
    assert books.read(deliveries.get, 1) is None
    assert books.write(deliveries.lock, 1) is None
    assert not books.write(kept_deliveries.replay, 1)
    books.write(processing.note_failure, 1, "of nothing")
    assert books.count(tables.deliveries) == 0


def test_any_printable_text_can_be_a_topic_and_a_reason(books: Books) -> None:
    everything = "".join(chr(code) for code in range(sys.maxunicode + 1) if chr(code).isprintable())
    delivery_id = books.deliver(topic=everything).delivery_id
    books.write(finish, delivery_id, state=PROCESSED, reason=everything)
    kept = books.delivery(delivery_id)
    assert (kept.topic, kept.reason) == (everything, everything)


@pytest.mark.parametrize(
    "sent", ["", "\x00", "a\x00b", "\ud800", "\udfff\ud800", "\x1b[31m", "\u202e", "é" * 999]
)
def test_whatever_was_sent_as_a_topic_can_be_kept_as_it_is_printed(books: Books, sent: str) -> None:
    kept = books.delivery(books.deliver(topic=printable(sent)).delivery_id)
    assert kept.topic == printable(sent)


def test_a_delivery_is_given_up_after_its_twentieth_failure(books: Books) -> None:
    delivery_id = books.deliver().delivery_id
    for number in range(1, GIVE_UP_AFTER):
        books.write(processing.note_failure, delivery_id, f"failure {number}")
        assert (books.delivery(delivery_id).state, books.delivery(delivery_id).reason) == (
            RECEIVED,
            f"failure {number}",
        )
    books.write(processing.note_failure, delivery_id, "the last one")
    assert (books.delivery(delivery_id).state, books.delivery(delivery_id).reason) == (FAILED, "the last one")


def test_failures_noted_by_many_at_once_are_all_counted(books: Books) -> None:
    delivery_id = books.deliver().delivery_id
    at_once(8, lambda _: books.write(processing.note_failure, delivery_id, "failed"))
    assert books.row(tables.deliveries, delivery_id)["failures"] == 8


@pytest.mark.parametrize("state", [PROCESSED, IGNORED, FAILED])
def test_a_failure_noted_late_does_not_touch_what_has_come_to_its_end(books: Books, state: str) -> None:
    delivery_id = books.deliver().delivery_id
    books.write(finish, delivery_id, state=state, reason="ended")
    before = books.row(tables.deliveries, delivery_id)
    books.write(processing.note_failure, delivery_id, "failed, late")
    assert books.row(tables.deliveries, delivery_id) == before


@pytest.mark.parametrize(
    ("state", "is_replayed"), [(RECEIVED, False), (PROCESSED, True), (FAILED, True), (IGNORED, False)]
)
def test_what_has_come_to_its_end_and_is_of_use_can_be_replayed(
    books: Books, state: str, is_replayed: bool
) -> None:
    delivery_id = books.deliver().delivery_id
    books.write(finish, delivery_id, state=state, reason=None)
    assert books.write(kept_deliveries.replay, delivery_id) == is_replayed
    assert books.delivery(delivery_id).state == (RECEIVED if is_replayed else state)


def test_what_is_replayed_has_all_its_tries_again(books: Books) -> None:
    delivery_id = books.deliver().delivery_id
    _fail(books, delivery_id, GIVE_UP_AFTER)
    assert books.write(kept_deliveries.replay, delivery_id)
    _fail(books, delivery_id, GIVE_UP_AFTER - 1)
    assert books.delivery(delivery_id).state == RECEIVED
    _fail(books, delivery_id, 1)
    assert books.delivery(delivery_id).state == FAILED


def test_the_sweep_finds_what_waits_for_longer_than_a_message_takes_in_order(books: Books) -> None:
    ids = [
        books.deliver(body, now=NOW - timedelta(seconds=age)).delivery_id
        for body, age in zip(CONTENTS, [2, 9, 0, 5, 3, 60, 2, 3], strict=False)
    ]
    for number, state in ((3, PROCESSED), (4, IGNORED), (5, FAILED)):
        books.write(finish, ids[number], state=state, reason=None)
    before = NOW - timedelta(seconds=2)
    found = books.read(processing.unprocessed, received_before=before, limit=100)
    assert found == [ids[0], ids[1], ids[6], ids[7]]
    assert books.read(processing.unprocessed, received_before=before, limit=3) == found[:3]


def test_a_repeat_gives_what_waits_the_time_that_its_own_message_takes(books: Books) -> None:
    delivery_id = books.deliver(now=NOW - timedelta(hours=1)).delivery_id
    assert books.read(processing.unprocessed, received_before=NOW, limit=9) == [delivery_id]
    books.deliver(now=NOW + timedelta(seconds=1))
    assert books.read(processing.unprocessed, received_before=NOW, limit=9) == []


def test_the_sweep_finds_what_a_clock_that_was_set_back_since_dated_in_the_future(books: Books) -> None:
    just_now = books.deliver(b"1", now=NOW + CLOCK_TOLERANCE)
    tomorrow = books.deliver(b"2", now=NOW + CLOCK_TOLERANCE + timedelta(microseconds=1))
    found = books.read(processing.unprocessed, received_before=NOW, limit=9)
    assert found == [tomorrow.delivery_id]
    assert just_now.delivery_id not in found


def test_deletions_are_found_by_what_they_are_about_whether_or_not_they_wait(books: Books) -> None:
    other = books.write(add_store, "other")
    waiting = books.deliver(b"1", is_deletion=True, resource_id=5)
    books.deliver(b"2", is_deletion=True, resource_id=6)
    books.deliver(b"3", is_deletion=False, resource_id=5)
    later = books.deliver(b"4", is_deletion=True, resource_id=5, now=NOW + timedelta(microseconds=1))
    done = books.deliver(b"5", is_deletion=True, resource_id=5)
    books.write(finish, done.delivery_id, state=PROCESSED, reason=None)
    elsewhere = books.write(insert_delivery, **delivery_of(other, b"1", is_deletion=True, resource_id=5))
    here, there, nowhere = (books.store_id, 5), (other, 5), (books.store_id, 7)
    found = books.read(processing.deletions, [here, there, nowhere])
    assert set(found) == {here, there, nowhere}
    assert sorted(found[here], key=lambda one: one.delivery_id) == [
        KnownDeletion(waiting.delivery_id, waiting.delivery_id, is_unprocessed=True),
        KnownDeletion(later.delivery_id, later.delivery_id, is_unprocessed=True),
        KnownDeletion(done.delivery_id, done.delivery_id, is_unprocessed=False),
    ]
    assert found[there] == [KnownDeletion(elsewhere.delivery_id, elsewhere.delivery_id, is_unprocessed=True)]
    assert found[nowhere] == []
    assert books.read(processing.deletions, []) == {}


def test_a_deletion_that_is_repeated_has_arrived_when_it_did_last_and_waits_again(books: Books) -> None:
    about = books.store_id, 5
    books.deliver(b"1", resource_id=5, now=NOW + timedelta(days=1))
    assert books.read(processing.deletions, [about]) == {about: []}
    first = books.deliver(b"2", resource_id=5, is_deletion=True).delivery_id
    books.write(finish, first, state=PROCESSED, reason=None)
    assert books.read(processing.deletions, [about])[about] == [KnownDeletion(first, first, False)]
    snapshot = books.deliver(b"3", resource_id=5).delivery_id
    # By a receiver whose clock is an hour behind: the place is the database's.
    books.deliver(b"2", resource_id=5, is_deletion=True, now=NOW - timedelta(hours=1))
    (again,) = books.read(processing.deletions, [about])[about]
    assert (again.delivery_id, again.is_unprocessed) == (first, True)
    assert again.arrival > snapshot
    restored = books.deliver(b"4", resource_id=5, now=NOW - timedelta(hours=2)).delivery_id
    assert restored >= again.arrival


def test_what_deliveries_are_about_is_locked_of_those_that_wait(books: Books) -> None:
    other = books.write(add_store, "other")
    ids = [
        books.deliver(body, resource_id=about).delivery_id
        for body, about in zip(CONTENTS, (5, 5, 6, 7, None), strict=False)
    ]
    ids.append(books.write(insert_delivery, **delivery_of(other, b"1", resource_id=5)).delivery_id)
    books.write(finish, ids[3], state=PROCESSED, reason=None)

    def is_held(about: tuple[int, int]) -> bool:
        name = f"spacebridge {about[0]} {about[1]}"
        query = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")
        with books.ledger.write() as another:
            return not another.execute(query, {"name": name}).scalar_one()

    with books.ledger.write() as connection:
        processing.lock_resources_of(connection, [*ids, 99])
        assert processing.lock_unprocessed(connection, []) == []
        if connection.dialect.name == "postgresql":  # who writes in SQLite has locked everything
            abouts = [(books.store_id, 5), (books.store_id, 6), (books.store_id, 7), (other, 5), (other, 6)]
            assert [one for one in abouts if is_held(one)] == [abouts[0], abouts[1], abouts[3]]


def test_those_that_wait_are_locked_as_they_came_and_those_that_somebody_holds_are_left_out(
    books: Books,
) -> None:
    ids = [books.deliver(body).delivery_id for body in CONTENTS[:4]]
    books.write(finish, ids[1], state=PROCESSED, reason=None)
    with books.ledger.write() as connection:
        found = processing.lock_unprocessed(connection, [ids[3], ids[0], ids[1], 99])
        assert [one.id for one in found] == [ids[0], ids[3]]
        second = Other(lambda: books.write(processing.lock_unprocessed, ids))
        has_one_writer = connection.dialect.name == "sqlite"
        if has_one_writer:  # who writes has locked all
            second.wait_until_it_waits(books.ledger)
        else:
            second.result()
    left = [ids[0], ids[2], ids[3]] if has_one_writer else [ids[2]]
    assert [one.id for one in second.result()] == left


def test_each_of_several_that_come_to_their_end_together_has_its_own(books: Books) -> None:
    ids = [books.deliver(body).delivery_id for body in CONTENTS[:4]]
    ends = [(PROCESSED, "one"), (IGNORED, None), (FAILED, "three")]
    finished = [Finished(one, *end) for one, end in zip(ids, ends, strict=False)]
    books.write(processing.finish, finished)
    books.write(processing.finish, [])
    kept = [books.delivery(one) for one in ids]
    assert [(one.state, one.reason) for one in kept] == [*ends, (RECEIVED, None)]


def test_deliveries_are_listed_from_the_newest_and_told_of_an_order_from_the_oldest(books: Books) -> None:
    other = books.write(add_store, "other")
    ids = [books.deliver(body, resource_id=5).delivery_id for body in CONTENTS[:4]]
    elsewhere = books.write(insert_delivery, **delivery_of(other, b"x", resource_id=5)).delivery_id
    books.write(finish, ids[1], state=PROCESSED, reason=None)
    assert [one.id for one in books.read(deliveries.listed)] == [elsewhere, *reversed(ids)]
    assert [one.id for one in books.read(deliveries.listed, store="other")] == [elsewhere]
    assert [one.id for one in books.read(deliveries.listed, state=PROCESSED)] == [ids[1]]
    assert [one.id for one in books.read(deliveries.listed, store="shop", limit=2)] == [ids[3], ids[2]]
    assert [one.id for one in books.read(deliveries.of_resource, books.store_id, 5)] == ids


def _fail(books: Books, delivery_id: int, times: int) -> None:
    for _ in range(times):
        books.write(processing.note_failure, delivery_id, "failed")
