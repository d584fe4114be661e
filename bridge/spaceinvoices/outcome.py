"""What became of a request that hands over an order: pure rules over an answer or a failure.

The rules are those of the API's documentation (400 to 503), and for everything it is silent on, the
careful reading: what is not known to have failed may have taken effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

MAX_RETRY_AFTER = 3600.0  # seconds
MAX_EXCERPT = 2000  # characters of an answer that are kept


class Effect(StrEnum):
    """Whether the document was issued, and if not, whose turn it is."""

    ISSUED = "issued"
    NOT_TAKEN = "not taken"  # try again later
    REFUSED = "refused"  # an operator has to look at the order
    ACCOUNT_REFUSED = "account refused"  # an operator has to look at the store
    UNKNOWN = "unknown"  # it may exist


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request. `retry_after`: seconds, if the answer asked for them."""

    effect: Effect
    summary: str
    status: int | None = None
    excerpt: str | None = None
    retry_after: float | None = None


def outcome_of_answer(status: int, *, retry_after: str | None, excerpt: str, now: datetime) -> Outcome:
    """What an answer means. `retry_after` is the header as it came; `excerpt` the start of the body."""
    return Outcome(
        effect=_effect(status),
        summary=f"Space Invoices answered {status}",
        status=status,
        excerpt=_storable(excerpt) or None,
        retry_after=parse_retry_after(retry_after, now=now),
    )


def outcome_of_failure(error: Exception, *, body_was_sent: bool) -> Outcome:
    """What a request without an answer means: all that matters is whether the whole body had gone out."""
    kind = type(error).__name__
    if body_was_sent:
        return Outcome(Effect.UNKNOWN, f"the order was sent and no answer came ({kind})")
    return Outcome(Effect.NOT_TAKEN, f"the order could not be sent ({kind})")


def parse_retry_after(value: str | None, *, now: datetime) -> float | None:
    """Seconds to wait, from 0 to an hour; None for a header that is missing or says nothing.

    RFC 9110, 10.2.3: a number of seconds, or a date.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        seconds = float(value)  # however many digits: more than a float holds are infinity
    else:
        try:
            date = parsedate_to_datetime(value)
            seconds = (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _effect(status: int) -> Effect:
    if 200 <= status < 300:
        return Effect.ISSUED
    if status in {401, 403}:
        return Effect.ACCOUNT_REFUSED
    if status in {429, 500, 503}:
        return Effect.NOT_TAKEN
    if 300 <= status < 500:  # redirects are not followed, so nothing was taken
        return Effect.REFUSED
    return Effect.UNKNOWN  # 502 and 504 come from what stands in between; so may any other


def _storable(text: str) -> str:
    clean = "".join(character if character.isprintable() or character == "\n" else "?" for character in text)
    return clean[:MAX_EXCERPT]
