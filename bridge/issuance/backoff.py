"""When to try again: exponential backoff with full jitter, and an end."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

FIRST_DELAY = 5.0  # seconds
LONGEST_DELAY = 3600.0  # seconds
LONGEST_PROBE_DELAY = 60.0  # seconds; a probe asks for the config first, which costs nothing
GIVE_UP_AFTER = timedelta(days=3)
LEAST_ATTEMPTS = 10  # so that a clock that steps forward does not end the retries


def is_to_be_given_up(*, tries: int, since: datetime, now: datetime) -> bool:
    """Whether to stop retrying after `tries` failures, the first of them at `since`."""
    return now - since >= GIVE_UP_AFTER and tries >= LEAST_ATTEMPTS


def next_attempt(
    *, attempts: int, first_attempt_at: datetime, now: datetime, retry_after: float | None, random: Random
) -> datetime | None:
    """When the next attempt is due after `attempts` of them (at least 1), or None to give up.

    The longest delay doubles with each attempt: 5 s, 10 s, 20 s and so on to 43 min, then 1 h from the
    eleventh. Full jitter: the delay is random, from 0 to the longest, so that orders that failed together are
    not retried together. `retry_after` is the least delay, in seconds, that the server asked for.
    """
    if is_to_be_given_up(tries=attempts, since=first_attempt_at, now=now):
        return None
    longest = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(attempts - 1, 20))
    delay = random.uniform(0, longest)
    if retry_after is not None:
        delay = retry_after + random.uniform(0, min(longest, FIRST_DELAY))
    return now + timedelta(seconds=delay)


def next_probe(
    *, failures: int, is_costly: bool, now: datetime, retry_after: float | None, random: Random
) -> datetime:
    """When a paused store is probed next, after `failures` (at least 1) since it was paused.

    `is_costly`: the last failure left an order of unknown outcome, which an operator has to look at.
    """
    longest = LONGEST_DELAY if is_costly else LONGEST_PROBE_DELAY
    delay = min(longest, FIRST_DELAY * 2 ** min(failures - 1, 20))
    return now + timedelta(seconds=max(delay * random.uniform(0.5, 1), retry_after or 0))
