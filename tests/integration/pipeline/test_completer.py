"""The completer: outcomes wait for a ledger that is away, and for no longer than makes sense."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from bridge.ledger.issuances import StartedAttempt
from bridge.pipeline import complete
from bridge.pipeline.complete import RETRY_EVERY, Completed, Completer
from bridge.spaceinvoices import Effect, Outcome
from tests.support.servers import START_WITHIN, wait_until
from tests.support.shop import Shop
from tests.support.watched import WatchedLedger, lose, wait_in_vain

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Given:
    """A completer over a watched ledger, and what it has called."""

    def __init__(self, shop: Shop, watched: WatchedLedger) -> None:
        self.shop = shop
        self.due: list[list[int]] = []  # the stores that it named after each transaction
        self.ended: list[tuple[int, str]] = []  # each issuance, and its state when its thread became idle
        context = replace(shop.context, ledger=watched)
        self.completer = Completer(context, on_due=lambda store_ids: self.due.append(list(store_ids)))

    def sending(self, number: int = 1) -> StartedAttempt:
        """The attempt under way for an order of this number."""
        return self.shop.claim(self.shop.paid(number), lease=40)

    def put(self, *ended: StartedAttempt, effect: Effect = Effect.ISSUED) -> None:
        for attempt in ended:
            completed = Completed(attempt, Outcome(effect, "so it went"), duration=0.1)
            self.completer.put(completed, then=partial(self._end, attempt.issuance_id))

    def _end(self, issuance_id: int) -> None:
        self.ended.append((issuance_id, self.shop.issuance(issuance_id).state))


@pytest.fixture
def given(shop: Shop, watched: WatchedLedger) -> Iterator[Given]:
    given = Given(shop, watched)
    yield given
    given.completer.close()


@pytest.mark.parametrize(
    ("effect", "state", "is_due"),
    [
        (Effect.ISSUED, "issued", False),
        (Effect.NOT_TAKEN, "due", True),
        (Effect.REFUSED, "failed", False),
    ],
)
def test_a_thread_is_idle_when_its_outcome_is_recorded_and_what_is_due_then_is_told(
    given: Given, shop: Shop, effect: Effect, state: str, is_due: bool
) -> None:
    attempt = given.sending()
    given.put(attempt, effect=effect)
    given.completer.close()
    assert given.ended == [(attempt.issuance_id, state)]
    assert given.due == [[shop.store_id] if is_due else []]


@pytest.mark.parametrize("is_closed", [False, True])
@pytest.mark.parametrize("what_fails", [lose, wait_in_vain])
def test_an_outcome_waits_for_a_ledger_that_is_away_or_locked_and_is_recorded_once(
    given: Given, watched: WatchedLedger, what_fails: Callable[[], None], is_closed: bool
) -> None:
    attempt = given.sending()
    watched.before_commit = lambda: what_fails() if len(watched.lock_timeouts) <= 2 else None
    given.put(attempt)
    if not is_closed:
        wait_until(lambda: bool(given.ended), "an outcome that is recorded")
    given.completer.close()
    assert given.ended == [(attempt.issuance_id, "issued")]
    assert len(watched.lock_timeouts) == 3


def test_an_outcome_that_the_ledger_does_not_take_for_two_minutes_is_given_up(
    given: Given, watched: WatchedLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = given.sending()
    clock = SimpleNamespace(at=0.0)
    monkeypatch.setattr(complete, "time", SimpleNamespace(monotonic=lambda: clock.at))
    monkeypatch.setattr(complete, "RETRY_EVERY", 0)
    tries = threading.Semaphore(0)

    def refuse() -> None:
        tries.release()
        lose()

    watched.before_commit = refuse
    with capture_logs() as logged:
        given.put(attempt)
        for clock.at in (0.0, 60.0, 119.9):
            assert tries.acquire(timeout=START_WITHIN)
            assert (given.ended, logged) == ([], [])
        clock.at = 120.0
        given.completer.close()
    assert given.ended == [(attempt.issuance_id, "sending")]
    told = [(one["event"], one["issuance"], one["error"]) for one in logged]
    assert told == [("an outcome is given up", attempt.issuance_id, "the connection is lost")]


def test_an_outcome_that_comes_while_another_waits_for_the_ledger_is_recorded_first(
    given: Given, watched: WatchedLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = given.sending(1), given.sending(2)
    clock = SimpleNamespace(at=0.0)
    monkeypatch.setattr(complete, "time", SimpleNamespace(monotonic=lambda: clock.at))
    has_failed = threading.Event()

    def lose_the_first() -> None:
        if not has_failed.is_set():
            has_failed.set()
            lose()

    watched.before_commit = lose_the_first
    given.put(first)
    assert has_failed.wait(START_WITHIN)
    given.put(second)
    wait_until(lambda: len(given.ended) == 1, "an outcome that is recorded")
    clock.at = RETRY_EVERY
    given.completer.close()
    assert given.ended == [(second.issuance_id, "issued"), (first.issuance_id, "issued")]


def begin(given: Given, watched: WatchedLedger, attempt: StartedAttempt) -> threading.Event:
    """Have an outcome recorded, which goes on when the event is set that this returns."""
    has_begun, may_end = threading.Event(), threading.Event()
    others = watched.before_commit

    def wait() -> None:
        has_begun.set()
        assert may_end.wait(START_WITHIN)
        watched.before_commit = others

    watched.before_commit = wait
    given.put(attempt)
    assert has_begun.wait(START_WITHIN)
    return may_end


def test_outcomes_that_wait_are_recorded_together_64_at_a_time(given: Given, watched: WatchedLedger) -> None:
    first, second = given.sending(1), given.sending(2)
    may_end = begin(given, watched, first)
    given.put(*[second] * 130)
    may_end.set()
    given.completer.close()
    assert given.ended == [(first.issuance_id, "issued"), *[(second.issuance_id, "issued")] * 130]
    assert len(watched.lock_timeouts) == 4  # for one, 64, 64, and two of them


def fail() -> None:
    raise RuntimeError("a fault")


@pytest.mark.parametrize(
    ("what_fails", "transactions"),
    [
        pytest.param(wait_in_vain, 1 + 1 + 3, id="a lock: each is recorded by itself at once"),
        pytest.param(fail, 1 + 1 + 3, id="a fault: each is recorded by itself at once"),
        pytest.param(lose, 1 + 1 + 1, id="a ledger that is away: they are recorded together later"),
    ],
)
def test_outcomes_whose_transaction_fails_are_each_recorded_unless_the_ledger_is_away(
    given: Given, watched: WatchedLedger, what_fails: Callable[[], None], transactions: int
) -> None:
    first, *others = [given.sending(number) for number in range(1, 5)]
    watched.before_commit = lambda: what_fails() if len(watched.lock_timeouts) == 2 else None
    may_end = begin(given, watched, first)
    given.put(*others)
    may_end.set()
    given.completer.close()
    assert given.ended == [(one.issuance_id, "issued") for one in (first, *others)]
    assert len(watched.lock_timeouts) == transactions
