"""Requests that are refused (401): counted for their store, however many come, and at nobody's expense."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest
from sqlalchemy import Engine, event

from bridge.db import Ledger
from bridge.ledger import stores
from bridge.ledger.stores import Store
from bridge.web.refusals import PAUSE, Refusals
from tests.support.books import NOW, add_store
from tests.support.crowds import at_once
from tests.support.pauses import Pauses

MANY = 1000


@pytest.fixture
def pauses() -> Iterator[Pauses]:
    pauses = Pauses()
    yield pauses
    for _ in range(9):
        pauses.end_one()


def now() -> datetime:
    return NOW


def add(ledger: Ledger, name: str) -> int:
    with ledger.write() as connection:
        return add_store(connection, name)


def store(ledger: Ledger, store_id: int) -> Store:
    with ledger.read() as connection:
        return stores.get(connection, store_id)


def test_the_first_is_written_at_once_and_however_many_follow_in_one_more_transaction(
    ledger: Ledger, pauses: Pauses
) -> None:
    shop, other = add(ledger, "shop"), add(ledger, "other")
    refusals = Refusals(ledger, now, sleep=pauses.sleep)
    refusals.note(shop)
    pauses.wait_for_one()
    assert (store(ledger, shop).refused_deliveries, store(ledger, shop).last_refused_at) == (1, NOW)
    written: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        written.extend([statement] if statement.startswith("UPDATE stores") else [])

    event.listen(Engine, "before_cursor_execute", note)

    def hammer(_: int) -> None:
        for _ in range(MANY // 4):
            refusals.note(shop)

    at_once(4, hammer)
    refusals.note(other)
    assert (written, store(ledger, shop).refused_deliveries) == ([], 1)
    pauses.end_one()
    pauses.wait_for_one()
    event.remove(Engine, "before_cursor_execute", note)
    assert len(written) == 2
    assert store(ledger, shop).refused_deliveries == MANY + 1
    assert store(ledger, other).refused_deliveries == 1
    assert pauses.lengths == [PAUSE, PAUSE]


def test_what_cannot_be_written_is_kept_until_it_can_and_nobody_waits_for_it(
    ledger: Ledger, database_url: str, pauses: Pauses
) -> None:
    shop = add(ledger, "shop")
    impatient = Ledger(database_url, lock_timeout=0.1)
    refusals = Refusals(impatient, now, sleep=pauses.sleep)
    with ledger.write() as connection:
        stores.lock(connection, shop)
        refusals.note(shop)
        pauses.wait_for_one()  # after which the thread that writes tries again
        refusals.note(shop)
    assert store(ledger, shop).refused_deliveries == 0
    pauses.end_one()
    pauses.wait_for_one()
    assert store(ledger, shop).refused_deliveries == 2
    impatient.close()


def test_what_came_in_the_last_pause_is_written_by_the_close(ledger: Ledger, pauses: Pauses) -> None:
    shop = add(ledger, "shop")
    refusals = Refusals(ledger, now, sleep=pauses.sleep)
    refusals.note(shop)
    pauses.wait_for_one()
    refusals.note(shop)
    assert store(ledger, shop).refused_deliveries == 1
    pauses.end_one()
    pauses.end_one()
    refusals.close()
    assert store(ledger, shop).refused_deliveries == 2


def test_a_close_ends_a_pause(ledger: Ledger) -> None:
    shop = add(ledger, "shop")
    refusals = Refusals(ledger, now)
    refusals.note(shop)
    refusals.close()
    assert store(ledger, shop).refused_deliveries == 1
    Refusals(ledger, now).close()  # without a refusal there is no thread
