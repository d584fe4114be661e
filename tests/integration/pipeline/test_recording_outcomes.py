"""Outcomes: what follows from each for its issuance, and how it is kept."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from bridge.db import tables
from bridge.issuance import StoreOptions
from bridge.issuance.backoff import GIVE_UP_AFTER, LEAST_ATTEMPTS
from bridge.ledger import attempts, orders, store_pauses, stores
from bridge.ledger.issuances import StartedAttempt
from bridge.pipeline.complete import Completed, record, release_expired
from bridge.pipeline.context import Context
from bridge.spaceinvoices import Effect, Outcome
from tests.support.api import failing_api
from tests.support.shop import LongestWaits, Shop, forward

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

TICK = timedelta(microseconds=1)
LONG_AGO = GIVE_UP_AFTER + timedelta(days=1)


@pytest.fixture
def context(shop: Shop) -> Context:
    """The shop's, in which each wait is as long as it can be."""
    return replace(shop.context, random=LongestWaits())


def end(shop: Shop, context: Context, *ended: Completed) -> Collection[int]:
    """Record outcomes together; the ids of stores of which something may be due then."""
    with context.ledger.write() as connection:
        order_ids = {one.attempt.order_id for one in ended}
        return record(context, connection, ended, orders.lock_each(connection, order_ids))


def tried(shop: Shop, *, number: int = 1, ago: timedelta = timedelta()) -> StartedAttempt:
    """An attempt under way, the last of so many for an order; the first was so long `ago`."""
    attempt = shop.claim(shop.paid(1), lease=40)
    return replace(attempt, number=number, first_attempt_at=shop.clock.now() - ago)


def resends(shop: Shop) -> None:
    with shop.context.ledger.write() as connection:
        options = StoreOptions(unknown_outcome="resend")
        stores.set_options(connection, shop.store(), options, shop.clock.now())


def test_what_is_not_taken_is_due_again_after_a_while(shop: Shop, context: Context) -> None:
    attempt = tried(shop, number=3)
    end(shop, context, Completed(attempt, Outcome(Effect.NOT_TAKEN, "busy", status=503), duration=1.5))
    left = shop.issuance(attempt.issuance_id)
    assert (left.state, left.attempts, left.last_error) == ("due", 1, "busy")
    assert left.next_attempt_at == shop.clock.now() + timedelta(seconds=20)
    with shop.context.ledger.read() as connection:
        (kept,) = attempts.of_order(connection, attempt.order_id)
    assert (kept.outcome, kept.status, kept.duration_ms) == ("not taken", 503, 1500)
    assert shop.store().failures == 1


def test_the_time_to_wait_that_an_answer_asks_for_is_waited(shop: Shop, context: Context) -> None:
    attempt = tried(shop)
    end(
        shop, context, Completed(attempt, Outcome(Effect.NOT_TAKEN, "busy", retry_after=1800.0), duration=0.1)
    )
    at = shop.issuance(attempt.issuance_id).next_attempt_at
    assert at == shop.clock.now() + timedelta(seconds=1805)


@pytest.mark.parametrize(
    ("effect", "state", "attempts_left", "error"),
    [
        (Effect.ISSUED, "issued", 1, None),
        (Effect.REFUSED, "failed", 1, "so it went"),
        (Effect.ACCOUNT_REFUSED, "due", 0, "so it went"),
        (Effect.UNKNOWN, "held", 1, "so it went"),
    ],
)
def test_an_outcome_brings_its_issuance_to_the_state_that_it_calls_for(
    shop: Shop, context: Context, effect: Effect, state: str, attempts_left: int, error: str | None
) -> None:
    attempt = tried(shop, number=1)
    shop.clock.advance(seconds=2)
    outcome = Outcome(effect, "so it went", status=299, excerpt="an excerpt")
    end(shop, context, Completed(attempt, outcome, duration=None))
    left = shop.issuance(attempt.issuance_id)
    assert (left.state, left.attempts, left.last_error) == (state, attempts_left, error)
    assert left.next_attempt_at == (shop.clock.now() if state == "due" else None)
    with shop.context.ledger.read() as connection:
        (kept,) = attempts.of_order(connection, attempt.order_id)
    assert (kept.outcome, kept.status, kept.excerpt) == (effect.value, 299, "an excerpt")
    assert kept.duration_ms is None


@pytest.mark.parametrize(
    ("is_missing", "status", "state"),
    [(True, 404, "due"), (True, 422, "failed"), (False, 404, "failed")],
)
def test_an_order_that_is_not_found_waits_until_the_stores_config_is_asked_for_again(
    shop: Shop, context: Context, is_missing: bool, status: int, state: str
) -> None:
    """Where the config was not listed the last time, the store may be gone at Space Invoices."""
    attempt = tried(shop)
    if is_missing:
        with shop.context.ledger.write() as connection:
            connection.execute(update(tables.stores).values(config_missing_since=shop.clock.now()))
    end(shop, context, Completed(attempt, Outcome(Effect.REFUSED, "no", status=status), duration=0.1))
    left = shop.issuance(attempt.issuance_id)
    assert (left.state, left.last_error, left.attempts) == (state, "no", 1)
    assert left.next_attempt_at == (shop.clock.now() + timedelta(minutes=4) if state == "due" else None)


@pytest.mark.parametrize(("duration", "ms"), [(0.4567, 457), (None, None)])
def test_an_outcome_is_logged_with_all_that_it_is_about(
    shop: Shop, context: Context, duration: float | None, ms: int | None
) -> None:
    shop.paid(7)
    invoice = shop.paid(8)
    attempt = replace(shop.claim(invoice, lease=40), number=3)
    outcome = Outcome(Effect.REFUSED, "no such tax", status=422)
    with capture_logs() as logged:
        end(shop, context, Completed(attempt, outcome, duration=duration))
    assert logged == [
        {
            "event": "attempt ended",
            "log_level": "info",
            "store": "shop",
            "issuance": invoice,
            "attempt": 3,
            "order": 8,
            "delivery": attempt.delivery_id,
            "outcome": "refused",
            "status": 422,
            "ms": ms,
        }
    ]


def test_a_store_that_an_outcome_has_paused_is_known_to_be_paused(
    shop: Shop, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.pipeline.context.RECENT", 3600.0)
    attempt = tried(shop)
    assert context.recent_store(shop.store_id).paused_at is None
    end(shop, context, Completed(attempt, Outcome(Effect.ACCOUNT_REFUSED, "401", status=401), duration=0.1))
    assert context.recent_store(shop.store_id).paused_at == shop.clock.now()


def test_of_a_store_that_a_probe_resumes_something_may_be_due(shop: Shop, context: Context) -> None:
    attempt = tried(shop)
    with shop.context.ledger.write() as connection:
        now = shop.clock.now()
        store_pauses.pause(connection, shop.store_id, reason="?", now=now, next_probe_at=now)
    issued = Completed(attempt, Outcome(Effect.ISSUED, "issued"), duration=0.1, is_probe=True)
    assert list(end(shop, context, issued)) == [shop.store_id]
    assert shop.store().paused_at is None
    assert list(end(shop, context, issued)) == []


def test_a_store_that_wants_it_so_has_what_may_exist_sent_again(shop: Shop) -> None:
    invoice = shop.paid(1)
    resends(shop)
    with failing_api(shop) as (api, context):
        for api.order_status, state in ((502, "due"), (502, "due"), (200, "issued")):
            forward(context, shop.store_id)
            assert shop.issuance(invoice).state == state
            shop.clock.advance(minutes=1)
    assert api.orders == [1, 1, 1]
    assert len(set(api.keys)) == 1  # by which Space Invoices may know the repeat
    assert shop.issuance(invoice).attempts == 3


GIVEN_UP = {"number": LEAST_ATTEMPTS, "ago": GIVE_UP_AFTER}


@pytest.mark.parametrize(("effect", "state"), [(Effect.NOT_TAKEN, "failed"), (Effect.UNKNOWN, "held")])
@pytest.mark.parametrize(
    ("of", "is_given_up"),
    [
        pytest.param(GIVEN_UP, True, id="tried often and for long"),
        pytest.param(GIVEN_UP | {"ago": GIVE_UP_AFTER - TICK}, False, id="tried often"),
        pytest.param(GIVEN_UP | {"number": LEAST_ATTEMPTS - 1}, False, id="tried for long"),
    ],
)
def test_what_cannot_be_handed_over_for_three_days_is_given_up(
    shop: Shop, context: Context, effect: Effect, state: str, of: dict[str, Any], is_given_up: bool
) -> None:
    attempt = tried(shop, **of)
    resends(shop)
    end(shop, context, Completed(attempt, Outcome(effect, "busy"), duration=0.1))
    left = shop.issuance(attempt.issuance_id)
    if is_given_up:
        # What may exist is never said to have failed: the operator has to look first.
        assert (left.state, left.last_error) == (state, "given up after 10 attempts: busy")
        assert shop.order().decision == "attention"
    else:
        assert (left.state, left.last_error) == ("due", "busy")
        assert left.next_attempt_at is not None


def test_three_days_are_those_since_the_store_was_resumed_last(shop: Shop, context: Context) -> None:
    attempt = tried(shop, number=LEAST_ATTEMPTS, ago=LONG_AGO)
    with shop.context.ledger.write() as connection:
        now = shop.clock.now()
        store_pauses.resume(connection, shop.store_id, now - GIVE_UP_AFTER + TICK, by_operator=True)
    end(shop, context, Completed(attempt, Outcome(Effect.NOT_TAKEN, "busy"), duration=0.1))
    assert shop.issuance(attempt.issuance_id).state == "due"


def test_three_days_are_not_those_since_the_store_was_resumed_before_the_first_attempt(
    shop: Shop, context: Context
) -> None:
    attempt = tried(shop, number=LEAST_ATTEMPTS, ago=timedelta(days=1))
    with shop.context.ledger.write() as connection:
        store_pauses.resume(connection, shop.store_id, shop.clock.now() - LONG_AGO, by_operator=True)
    end(shop, context, Completed(attempt, Outcome(Effect.NOT_TAKEN, "busy"), duration=0.1))
    assert shop.issuance(attempt.issuance_id).state == "due"


def test_a_lease_that_ended_is_settled_once_and_not_before(shop: Shop, context: Context) -> None:
    invoice = shop.paid(1)
    attempt = shop.claim(invoice, lease=40)
    release_expired(context, invoice)
    assert shop.issuance(invoice).state == "sending"
    release_expired(context, 99)  # one that there is not
    shop.clock.advance(seconds=40)
    with capture_logs() as logged:
        release_expired(context, invoice)
        release_expired(context, invoice)
    assert [one["event"] for one in logged].count("attempt ended") <= 1
    left = shop.issuance(invoice)
    assert (left.state, left.last_error) == ("held", "the worker died while it was sending")
    with shop.context.ledger.read() as connection:
        (kept,) = attempts.of_order(connection, attempt.order_id)
    assert (kept.outcome, kept.duration_ms, kept.status) == ("unknown", None, None)
    assert shop.store().failures == 1


def test_a_worker_that_died_with_an_order_of_before_the_pause_puts_no_probe_off(
    shop: Shop, context: Context
) -> None:
    invoice = shop.paid(1)
    shop.claim(invoice, lease=40)
    with shop.context.ledger.write() as connection:
        now = shop.clock.now()
        store_pauses.pause(connection, shop.store_id, reason="?", now=now, next_probe_at=now)
    before = shop.store()
    shop.clock.advance(seconds=40)
    release_expired(context, invoice)
    assert shop.issuance(invoice).state == "held"
    assert shop.store() == before
