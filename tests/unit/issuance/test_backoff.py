"""When to try again: later and later, never all at once, and not for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.issuance.backoff import GIVE_UP_AFTER, next_attempt, next_probe

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)

quickly = settings(max_examples=200, deadline=None, derandomize=True)


class Seeded(Random):
    """Chance that repeats itself."""


class Soonest(Random):
    """Chance at its lower end."""

    def random(self) -> float:
        return 0.0


class Latest(Random):
    """Chance at its upper end."""

    def random(self) -> float:
        return 1.0


def seconds_until(
    random: Random, *, attempts: int = 1, retry_after: float | None = None, since: float = 0.0
) -> float:
    at = next_attempt(
        attempts=attempts,
        first_attempt_at=NOW - timedelta(seconds=since),
        now=NOW,
        retry_after=retry_after,
        random=random,
    )
    assert at is not None
    return (at - NOW).total_seconds()


@pytest.mark.parametrize(
    ("attempts", "longest"),
    [
        (1, 5),
        (2, 10),
        (3, 20),
        (4, 40),
        (8, 640),
        (10, 2560),
        (11, 3600),  # an hour, and no more
        (12, 3600),
        (100, 3600),
        (10**9, 3600),
    ],
)
def test_the_wait_doubles_up_to_an_hour(attempts: int, longest: float) -> None:
    assert seconds_until(Latest(), attempts=attempts) == longest
    assert seconds_until(Soonest(), attempts=attempts) == 0


def test_a_crowd_that_failed_together_does_not_come_back_together() -> None:
    random = Seeded(1)

    waits = [seconds_until(random, attempts=11) for _ in range(1000)]

    for part in range(10):
        in_this_part = [wait for wait in waits if part * 360 <= wait < (part + 1) * 360]
        assert 50 < len(in_this_part) < 150


@pytest.mark.parametrize(
    ("attempts", "retry_after", "soonest", "latest"),
    [
        (1, 0.0, 0, 5),
        (1, 30.0, 30, 35),
        (11, 30.0, 30, 35),  # the server's word counts, not the backoff
        (11, 3600.0, 3600, 3605),
    ],
)
def test_the_server_is_given_the_time_that_it_asked_for(
    attempts: int, retry_after: float, soonest: float, latest: float
) -> None:
    assert seconds_until(Soonest(), attempts=attempts, retry_after=retry_after) == soonest
    assert seconds_until(Latest(), attempts=attempts, retry_after=retry_after) == latest


@pytest.mark.parametrize("retry_after", [None, 0.0, 3600.0])
@pytest.mark.parametrize(
    ("since", "gives_up"),
    [
        (timedelta(), False),
        (timedelta(days=2, hours=23, minutes=59, seconds=59), False),
        (timedelta(days=3), True),
        (timedelta(days=30), True),
    ],
)
def test_after_three_days_there_is_no_next_attempt(
    since: timedelta, gives_up: bool, retry_after: float | None
) -> None:
    at = next_attempt(
        attempts=80, first_attempt_at=NOW - since, now=NOW, retry_after=retry_after, random=Seeded(1)
    )

    assert (at is None) == gives_up


@pytest.mark.parametrize(("attempts", "gives_up"), [(1, False), (9, False), (10, True)])
def test_a_clock_that_stepped_forward_does_not_end_the_attempts(attempts: int, gives_up: bool) -> None:
    at = next_attempt(
        attempts=attempts,
        first_attempt_at=NOW - timedelta(days=400),
        now=NOW,
        retry_after=None,
        random=Seeded(1),
    )

    assert (at is None) == gives_up


@pytest.mark.parametrize(
    ("failures", "longest"), [(1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (6, 60), (10**6, 60)]
)
def test_a_store_that_only_fails_is_probed_every_minute_at_least(failures: int, longest: float) -> None:
    for random, share in ((Soonest(), 0.5), (Latest(), 1)):
        at = next_probe(failures=failures, is_costly=False, now=NOW, retry_after=None, random=random)
        assert (at - NOW).total_seconds() == longest * share


def test_a_probe_that_leaves_an_order_of_unknown_outcome_is_made_ever_more_seldom() -> None:
    at = next_probe(failures=20, is_costly=True, now=NOW, retry_after=None, random=Latest())

    assert (at - NOW).total_seconds() == 3600


def test_a_probe_is_made_no_sooner_than_the_server_asks_for() -> None:
    at = next_probe(failures=1, is_costly=False, now=NOW, retry_after=900, random=Latest())

    assert (at - NOW).total_seconds() == 900


def test_a_clock_that_was_set_back_does_not_end_the_attempts() -> None:
    at = next_attempt(
        attempts=2, first_attempt_at=NOW + timedelta(days=9), now=NOW, retry_after=None, random=Seeded(1)
    )

    assert at is not None


@quickly
@given(
    attempts=st.integers(1, 10_000),
    since=st.timedeltas(timedelta(), GIVE_UP_AFTER - timedelta(seconds=1)),
    retry_after=st.none() | st.floats(0, 3600),
    seed=st.integers(),
)
def test_the_next_attempt_is_never_in_the_past_and_never_much_over_an_hour_away(
    attempts: int, since: timedelta, retry_after: float | None, seed: int
) -> None:
    wait = seconds_until(
        Seeded(seed), attempts=attempts, retry_after=retry_after, since=since.total_seconds()
    )

    assert wait <= 3605
    assert wait >= (retry_after or 0) - 1e-6  # datetimes count in microseconds
