"""What became of a request that sends an order: pure rules over an answer or a failure.

The rules are those of the API's documentation (400 to 503). Where it says nothing, the careful reading holds:
what is not known to have failed may have taken effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from http.client import HTTPException

from urllib3.exceptions import HTTPError

from bridge.retry_after import parse_retry_after

MAX_EXCERPT = 2000  # characters of an answer that are kept


class Effect(StrEnum):
    """Whether the document was issued, and if not, who has to act."""

    ISSUED = "issued"
    NOT_TAKEN = "not taken"  # try again later
    REFUSED = "refused"  # an operator has to look at the order
    ACCOUNT_REFUSED = "account refused"  # an operator has to look at the store
    UNKNOWN = "unknown"  # the document may exist


class Sent(StrEnum):
    """How much of a request's body the connection took."""

    IN_PART = "in part"  # the last bytes were never handed to it
    PERHAPS = "perhaps"  # they were, and it has not confirmed them
    WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request. `retry_after`: seconds, if the answer asked for them."""

    effect: Effect
    summary: str
    status: int | None = None
    excerpt: str | None = None
    retry_after: float | None = None


def outcome_of_answer(
    status: int, *, retry_after: str | None, excerpt: str, is_object: bool, now: datetime
) -> Outcome:
    """What an answer means. `retry_after` is the header as it came; `excerpt` the start of the body.

    `is_object`: whether the body came whole, and is a JSON object, as the API documents its answer. Any other
    2xx may be a maintenance page, or the login page of a network.
    """
    effect, summary = effect_of(status), f"Space Invoices answered {status}"
    if effect is Effect.ISSUED and not is_object:
        effect, summary = Effect.UNKNOWN, f"{summary} with what is no JSON object, or not all of one"
    return Outcome(
        effect=effect,
        summary=summary,
        status=status,
        excerpt=_storable(excerpt) or None,
        retry_after=parse_retry_after(retry_after, now=now),
    )


def outcome_of_failure(error: Exception, *, sent: Sent) -> Outcome:
    """What a request without an answer means: it depends on whether all of the body may have been sent."""
    kind = type(error).__name__
    if sent is Sent.IN_PART or (sent is Sent.PERHAPS and _is_of_the_connection(error)):
        return Outcome(Effect.NOT_TAKEN, f"the order could not be sent ({kind})")
    return Outcome(Effect.UNKNOWN, f"the order was sent and no answer came ({kind})")


def _is_of_the_connection(error: BaseException | None) -> bool:
    """Whether the connection raised it, and no exception of another origin is its cause or context.

    `sendall` raises an OSError of its own only while the kernel has not taken the last byte. Then no server
    can have read the whole body. With TLS, the last record lacks its end, and a record is read whole or not
    at all. A proxy got no more than the kernel took; a tunnel that it refuses fails before the body. And a
    body shorter than its Content-Length is an incomplete request (RFC 9112, 6.3).

    An exception from a signal handler proves nothing: Python runs handlers within `sendall`, even after the
    last byte. Its OSError would look the same, but handlers run in the main thread alone, and a worker sends
    from other threads.
    """
    if error is None:
        return True
    # Those of requests are OSErrors, those of urllib3 and http.client are not.
    is_its_own = isinstance(error, OSError | HTTPError | HTTPException)
    return is_its_own and _is_of_the_connection(error.__cause__) and _is_of_the_connection(error.__context__)


def effect_of(status: int) -> Effect:
    """Whether a document was issued, or the requested change made, by the status alone.

    A 2xx needs the right body, too.
    """
    if 200 <= status < 300:
        return Effect.ISSUED
    if status in {401, 403}:
        return Effect.ACCOUNT_REFUSED
    if status in {408, 429, 500, 503}:  # 408: the request did not arrive whole (RFC 9110, 15.5.9)
        return Effect.NOT_TAKEN
    if 300 <= status < 500:  # redirects are not followed, so nothing was taken
        return Effect.REFUSED
    # 502 and 504 come from a proxy, and any other 5xx may; a 1xx announces an answer.
    return Effect.UNKNOWN


def _storable(text: str) -> str:
    clean = "".join(character if character.isprintable() or character == "\n" else "?" for character in text)
    return clean[:MAX_EXCERPT]
