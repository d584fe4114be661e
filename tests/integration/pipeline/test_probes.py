"""A store's account: which outcomes pause it, how often it is probed then, and which let it go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import structlog

from bridge.ledger import store_pauses, stores
from bridge.pipeline.circuit_breaker import PAUSE_AFTER, is_probe_due, note_outcome, probe
from bridge.pipeline.context import Context
from bridge.spaceinvoices import Effect, Outcome
from tests.support.api import Api, failing_api
from tests.support.shop import LongestWaits, Shop, forward

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

TICK = timedelta(microseconds=1)


@pytest.fixture
def context(shop: Shop) -> Context:
    """The shop's, in which each wait is as long as it can be."""
    return replace(shop.context, random=LongestWaits())


def failed(effect: Effect, *, retry_after: float | None = None) -> Outcome:
    return Outcome(effect, "Space Invoices answered so", retry_after=retry_after)


def note(shop: Shop, context: Context, outcome: Outcome, *, of_probe: bool = False) -> bool:
    """Count an outcome for or against the store as it is."""
    with context.ledger.write() as connection:
        store = stores.get(connection, shop.store_id)
        return note_outcome(context, connection, store, outcome, shop.clock.now(), of_probe=of_probe)


def waits(shop: Shop, context: Context, outcomes: Sequence[Outcome]) -> Iterator[float | None]:
    """The seconds to the next probe after each outcome, each but the first few being that of a probe."""
    for outcome in outcomes:
        assert note(shop, context, outcome, of_probe=shop.store().paused_at is not None)
        at = shop.store().next_probe_at
        yield None if at is None else (at - shop.clock.now()).total_seconds()
        shop.clock.at = at or shop.clock.at


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        # A probe asks for the config first, which costs nothing.
        (Effect.NOT_TAKEN, [None] * 4 + [5, 10, 20, 40, 60, 60]),
        # Each probe leaves an order for an operator to look at.
        (Effect.UNKNOWN, [None] * 4 + [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]),
        # Refused once is refused until an operator has looked.
        (Effect.ACCOUNT_REFUSED, [5, 10, 20, 40, 60, 60]),
    ],
)
def test_probes_become_rarer_while_an_outage_lasts(
    shop: Shop, context: Context, effect: Effect, expected: list[float | None]
) -> None:
    assert list(waits(shop, context, [failed(effect)] * len(expected))) == expected


def test_the_next_outage_is_probed_as_often_as_the_first(shop: Shop, context: Context) -> None:
    outage = [failed(Effect.NOT_TAKEN)] * 7
    first = list(waits(shop, context, outage))
    assert note(shop, context, failed(Effect.ISSUED), of_probe=True)
    assert list(waits(shop, context, outage)) == first


def test_a_store_is_paused_since_the_failure_that_paused_it_whatever_fails_later(
    shop: Shop, context: Context
) -> None:
    list(waits(shop, context, [failed(Effect.NOT_TAKEN)] * PAUSE_AFTER))
    paused_at = shop.store().paused_at
    assert shop.store().pause_reason == (
        "5 requests have failed one after the other; the last: Space Invoices answered so"
    )
    list(waits(shop, context, [failed(Effect.NOT_TAKEN), failed(Effect.ACCOUNT_REFUSED)]))
    assert shop.store().paused_at == paused_at
    assert shop.store().pause_reason == (
        "Space Invoices answered so: the store's token or its rights are not accepted"
    )


def test_what_was_under_way_when_the_store_was_paused_tells_nothing_new(shop: Shop, context: Context) -> None:
    list(waits(shop, context, [failed(Effect.NOT_TAKEN)] * PAUSE_AFTER))
    before = shop.store()
    assert not note(shop, context, failed(Effect.NOT_TAKEN))
    assert not note(shop, context, failed(Effect.ACCOUNT_REFUSED, retry_after=3000))
    assert shop.store() == before
    assert note(shop, context, failed(Effect.REFUSED))  # that the account takes orders is news
    assert shop.store().paused_at is None


@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize("of_probe", [False, True])
def test_an_operators_pause_outlasts_any_answer(
    shop: Shop, context: Context, effect: Effect, of_probe: bool
) -> None:
    stop(shop)
    before = shop.store()
    assert not note(shop, context, failed(effect), of_probe=of_probe)
    assert shop.store() == before


def test_an_order_that_is_taken_or_refused_ends_a_row_of_failures(shop: Shop, context: Context) -> None:
    assert not note(shop, context, failed(Effect.ISSUED))  # there is nothing to forget
    for effect in (Effect.ISSUED, Effect.REFUSED):
        list(waits(shop, context, [failed(Effect.UNKNOWN)] * (PAUSE_AFTER - 1)))
        assert shop.store().failures == PAUSE_AFTER - 1
        assert note(shop, context, failed(effect))
        assert (shop.store().failures, shop.store().paused_at) == (0, None)


def test_the_time_to_wait_that_an_answer_asks_for_delays_the_next_probe_if_that_is_longer(
    shop: Shop, context: Context
) -> None:
    refused = failed(Effect.ACCOUNT_REFUSED, retry_after=7.0)
    assert list(waits(shop, context, [refused] * 3)) == [7, 10, 20]


def test_a_pause_and_its_end_are_logged_once_and_name_the_store_and_the_reason(
    shop: Shop, context: Context
) -> None:
    with structlog.testing.capture_logs() as lines:
        list(waits(shop, context, [failed(Effect.ACCOUNT_REFUSED)] * 2))
        reason = shop.store().pause_reason
        assert note(shop, context, failed(Effect.ISSUED), of_probe=True)
    assert lines == [
        {"event": "store paused", "log_level": "warning", "store": "shop", "reason": reason},
        {"event": "store resumed", "log_level": "info", "store": "shop"},
    ]


@pytest.mark.parametrize(
    ("wait", "is_due"),
    [
        (timedelta(seconds=-1), True),
        (timedelta(), True),
        (TICK, False),
        (timedelta(hours=2), False),
        (timedelta(hours=2) + TICK, True),  # the clock has been set back since
        (None, False),  # an operator has paused it
    ],
)
def test_a_probe_is_due_when_its_time_has_come(shop: Shop, wait: timedelta | None, is_due: bool) -> None:
    now = shop.clock.now()
    store = replace(shop.store(), paused_at=now, next_probe_at=None if wait is None else now + wait)
    assert is_probe_due(store, now) == is_due


def paused(shop: Shop) -> datetime:
    """Pause the store, with a probe due now; returns when that is."""
    now = shop.clock.now()
    with shop.context.ledger.write() as connection:
        store_pauses.pause(connection, shop.store_id, reason="?", now=now, next_probe_at=now)
    return now


def stop(shop: Shop) -> None:
    """Pause the store, as an operator does."""
    with shop.context.ledger.write() as connection:
        now = shop.clock.now()
        store_pauses.pause(connection, shop.store_id, reason="by hand", now=now, next_probe_at=None)


def test_a_store_whose_failures_were_forgotten_is_resumed_like_any_other(
    shop: Shop, context: Context
) -> None:
    paused(shop)
    assert shop.store().failures == 0
    assert note(shop, context, failed(Effect.ISSUED), of_probe=True)
    assert shop.store().paused_at is None


def test_a_store_that_is_stopped_while_an_order_is_taken_stays_stopped(shop: Shop, context: Context) -> None:
    paused(shop)
    before = shop.store()
    stop(shop)
    with context.ledger.write() as connection:
        issued = failed(Effect.ISSUED)
        note_outcome(context, connection, before, issued, shop.clock.now(), of_probe=True)
    assert (shop.store().pause_reason, shop.store().next_probe_at) == ("by hand", None)


@pytest.fixture
def api(shop: Shop) -> Iterator[tuple[Api, Context]]:
    with failing_api(shop) as (api, context):
        yield api, replace(context, random=LongestWaits())


def test_a_probe_is_made_once_and_by_the_next_worker_when_the_first_has_surely_died(
    shop: Shop, api: tuple[Api, Context]
) -> None:
    now, (_, context) = paused(shop), api
    before = shop.store()
    assert probe(context, before)
    assert shop.store().next_probe_at == now + timedelta(seconds=4 * context.api_timeout)
    assert not probe(context, before)  # by one who has read the store before
    assert not probe(context, shop.store())
    shop.clock.advance(seconds=4 * context.api_timeout)
    assert probe(context, shop.store())


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "the store's token or its rights are not accepted"),
        (403, "the store's token or its rights are not accepted"),
        (503, "1 requests have failed one after the other; the last: "),
    ],
)
def test_a_question_that_fails_is_the_probe_and_no_order_is_tried(
    shop: Shop, api: tuple[Api, Context], status: int, reason: str
) -> None:
    now, (answers, context) = paused(shop), api
    answers.find_status = status
    assert not probe(context, shop.store())
    store = shop.store()
    assert reason in (store.pause_reason or "")
    assert str(status) in (store.pause_reason or "")
    assert ".:" not in (store.pause_reason or "")
    assert store.next_probe_at == now + timedelta(seconds=5)
    answers.retry_after = "600"
    shop.clock.advance(seconds=5)
    assert not probe(context, shop.store())
    assert shop.store().next_probe_at == shop.clock.now() + timedelta(seconds=600)


def test_a_store_that_is_stopped_while_its_probe_asks_stays_stopped(
    shop: Shop, api: tuple[Api, Context]
) -> None:
    answers, context = api
    invoice = shop.paid(1)
    paused(shop)

    answers.order_status, answers.before_find = 200, lambda: stop(shop)
    forward(context, shop.store_id)
    assert (answers.found, answers.orders) == (1, [])
    assert (shop.store().pause_reason, shop.store().next_probe_at) == ("by hand", None)
    assert (shop.issuance(invoice).state, shop.issuance(invoice).attempts) == ("due", 0)
    answers.find_status = 503
    forward(context, shop.store_id)
    assert (answers.found, shop.store().pause_reason) == (1, "by hand")
