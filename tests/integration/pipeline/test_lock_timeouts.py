"""How long processing, claims and outcomes wait for another transaction's lock."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy import update

from bridge.db import tables
from bridge.pipeline import process
from bridge.pipeline.claim import Quota, claim
from bridge.pipeline.complete import Completed, Completer, release_expired
from bridge.pipeline.context import Context
from bridge.pipeline.process import process_deliveries
from bridge.spaceinvoices import Effect, Outcome
from tests.support.shop import Shop, at
from tests.support.watched import WatchedLedger

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def context(shop: Shop, watched: WatchedLedger) -> Context:
    return replace(shop.context, ledger=watched, patience=0.25)


def test_a_claim_waits_no_longer_than_what_is_written_together(
    shop: Shop, watched: WatchedLedger, context: Context
) -> None:
    shop.paid(1)
    assert len(claim(context, [Quota(shop.store(), limit=10)])) == 1
    assert watched.lock_timeouts == [0.25]


def test_an_outcome_waits_no_longer_than_what_is_written_together(
    shop: Shop, watched: WatchedLedger, context: Context
) -> None:
    attempt = shop.claim(shop.paid(1), lease=40)
    completer = Completer(context, on_due=lambda store_ids: None)
    completer.put(Completed(attempt, Outcome(Effect.ISSUED, "issued"), duration=0.1), lambda: None)
    completer.close()
    assert watched.lock_timeouts == [0.25]


def test_a_lease_that_ended_waits_no_longer_than_what_is_written_together(
    shop: Shop, watched: WatchedLedger, context: Context
) -> None:
    invoice = shop.paid(1)
    shop.claim(invoice, lease=40)
    shop.clock.advance(seconds=40)
    release_expired(context, invoice)
    assert watched.lock_timeouts == [0.25]


@pytest.mark.parametrize(
    ("patience", "lock_timeouts"),
    [
        pytest.param(20, [20, 1.1, 0.2, 0.05, 0.05], id="two seconds for all together"),
        pytest.param(0.5, [0.5, 0.5, 0.2, 0.05, 0.05], id="each no longer than by itself"),
        pytest.param(0.01, [0.01] * 5, id="shorter than the shortest"),
    ],
)
def test_deliveries_that_are_processed_one_by_one_wait_for_two_seconds_all_together(
    shop: Shop,
    watched: WatchedLedger,
    monkeypatch: pytest.MonkeyPatch,
    patience: float,
    lock_timeouts: Sequence[float],
) -> None:
    ids = [shop.receive(at(1, id=number, order_key=f"key {number}")) for number in range(1, 5)]
    with shop.context.ledger.write() as connection:
        broken = update(tables.deliveries).where(tables.deliveries.c.id == ids[0])
        connection.execute(broken.values(body=b"not what zlib has written"))
    # Each of them takes nine tenths of a second.
    seconds = itertools.count(step=0.9)
    monkeypatch.setattr(process, "monotonic", lambda: next(seconds))
    process_deliveries(replace(shop.context, ledger=watched, patience=patience), ids)
    # What notes the failure of the first waits as long as any transaction.
    assert [one for one in watched.lock_timeouts if one is not None] == pytest.approx(lock_timeouts)
