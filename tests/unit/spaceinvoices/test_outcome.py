"""What an answer of Space Invoices, or the lack of one, says about the document."""

from __future__ import annotations

import http.client
import ssl
from datetime import UTC, datetime, timedelta

import pytest
import requests
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.retry_after import parse_retry_after
from bridge.spaceinvoices.outcome import (
    Effect,
    Outcome,
    Sent,
    outcome_of_answer,
    outcome_of_failure,
)

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)

quickly = settings(max_examples=200, deadline=None, derandomize=True)


def answered(
    status: int = 503, *, retry_after: str | None = None, excerpt: str = "", is_object: bool = True
) -> Outcome:
    return outcome_of_answer(status, retry_after=retry_after, excerpt=excerpt, is_object=is_object, now=NOW)


@pytest.mark.parametrize(
    ("statuses", "effect"),
    [
        (range(200, 300), Effect.ISSUED),
        # Redirects are not followed, so nothing took the order.
        (range(300, 400), Effect.REFUSED),
        # Documented as to be tried again
        ([429, 500, 503], Effect.NOT_TAKEN),
        # It says that the request did not arrive whole.
        ([408], Effect.NOT_TAKEN),
        # The account's fault, and not the order's
        ([401, 403], Effect.ACCOUNT_REFUSED),
        # Documented as the order's fault
        ([400, 404, 422], Effect.REFUSED),
        ([400, 402, *range(404, 408), *range(409, 429), *range(430, 500)], Effect.REFUSED),
        # The answer is still to come.
        (range(100, 200), Effect.UNKNOWN),
        # From a proxy in between, which knows nothing of the order's fate
        ([502, 504], Effect.UNKNOWN),
        # Undocumented: what is not known to have failed may have taken effect.
        ([501, *range(505, 1000)], Effect.UNKNOWN),
    ],
)
def test_a_status_has_its_effect(statuses: list[int], effect: Effect) -> None:
    assert {answered(status).effect for status in statuses} == {effect}


def test_an_effect_has_the_name_that_ledgers_and_metrics_know_it_by() -> None:
    assert list(map(str, Effect)) == ["issued", "not taken", "refused", "account refused", "unknown"]


def test_a_success_without_the_object_that_belongs_to_it_is_unknown_and_says_so() -> None:
    for status in range(200, 300):
        outcome = answered(status, is_object=False, excerpt="<html>")

        assert (outcome.effect, outcome.status, outcome.excerpt) == (Effect.UNKNOWN, status, "<html>")
        assert outcome.summary.startswith(f"Space Invoices answered {status} with what is no JSON object")


def test_no_other_status_depends_on_the_body() -> None:
    for status in [*range(100, 200), *range(300, 1000)]:
        assert answered(status, is_object=False) == answered(status)


def test_every_status_is_told_in_the_summary() -> None:
    for status in range(100, 1000):
        outcome = answered(status)

        assert outcome.status == status
        assert outcome.summary == f"Space Invoices answered {status}"


def test_a_retry_after_never_changes_the_effect() -> None:
    for status in range(100, 1000):
        assert answered(status, retry_after="30").effect is answered(status).effect


# Without an answer.


def raised(error: BaseException, *, handling: BaseException | None = None) -> BaseException:
    """The error as it arrives if it was raised while another was handled."""
    error.__context__ = handling
    return error


def raised_from(cause: BaseException, error: BaseException) -> BaseException:
    """The error as it arrives if it was raised from another one, which was handled before."""
    error.__cause__ = cause
    return error


class TimeLimitError(Exception):
    """As a signal handler may raise it at any point."""


OF_THE_CONNECTION = [
    TimeoutError("timed out"),
    BrokenPipeError(),
    ConnectionResetError(),
    ssl.SSLError("bad record"),
    requests.ConnectionError(),
    requests.ReadTimeout(),
    requests.exceptions.SSLError(),
    urllib3.exceptions.ProtocolError("aborted"),
    http.client.BadStatusLine("garbage"),
    raised(
        requests.ConnectionError(), handling=raised(urllib3.exceptions.ProtocolError(), handling=OSError())
    ),
]
OF_SOMETHING_ELSE = [
    TimeLimitError(),
    ValueError("x"),
    MemoryError(),
    # closing the connection failed, too, and has the last word
    raised(OSError(), handling=TimeLimitError()),
    raised(requests.ConnectionError(), handling=raised(OSError(), handling=TimeLimitError())),
    raised_from(TimeLimitError(), requests.ConnectionError()),
]


@pytest.mark.parametrize(
    ("sent", "errors", "effect"),
    [
        # Nobody can have read what the connection never got.
        (Sent.IN_PART, OF_THE_CONNECTION, Effect.NOT_TAKEN),
        (Sent.IN_PART, OF_SOMETHING_ELSE, Effect.NOT_TAKEN),
        # It got the last bytes and says that it did not take them, or says nothing.
        (Sent.PERHAPS, OF_THE_CONNECTION, Effect.NOT_TAKEN),
        (Sent.PERHAPS, OF_SOMETHING_ELSE, Effect.UNKNOWN),
        (Sent.WHOLE, OF_THE_CONNECTION, Effect.UNKNOWN),
        (Sent.WHOLE, OF_SOMETHING_ELSE, Effect.UNKNOWN),
    ],
)
def test_without_an_answer_it_matters_whether_the_whole_body_can_have_gone_out(
    sent: Sent, errors: list[Exception], effect: Effect
) -> None:
    for error in errors:
        outcome = outcome_of_failure(error, sent=sent)

        assert outcome.effect is effect, error
        assert type(error).__name__ in outcome.summary
        assert outcome.status is None
        assert outcome.excerpt is None
        assert outcome.retry_after is None


def test_without_an_answer_the_summary_says_whether_the_order_has_gone_out() -> None:
    error = requests.ConnectionError()
    in_part, whole = (outcome_of_failure(error, sent=sent).summary for sent in (Sent.IN_PART, Sent.WHOLE))

    assert in_part == "the order could not be sent (ConnectionError)"
    assert whole == "the order was sent and no answer came (ConnectionError)"


@pytest.mark.parametrize("sent", Sent)
def test_what_an_error_quotes_is_not_told(sent: Sent) -> None:
    error = OSError("https://api.example/?access_token=hunter2\0\ud800")

    assert "hunter2" not in outcome_of_failure(error, sent=sent).summary


# Retry-After: seconds or a date (RFC 9110, 10.2.3).


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("1", 1.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("3600", 3600.0),
        ("3601", 3600.0),  # an hour at most
        ("86400", 3600.0),
        ("9" * 400, 3600.0),
        ("0005", 5.0),
        ("0" * 12 + "5", 5.0),
        # dates, of all three forms
        ("Sun, 01 Mar 2026 09:32:00 GMT", 120.0),
        ("Sunday, 01-Mar-26 09:32:00 GMT", 120.0),
        ("Sun Mar  1 09:32:00 2026", 120.0),
        ("Sun, 01 Mar 2026 10:32:00 +0100", 120.0),
        ("Sun, 01 Mar 2026 09:30:00 GMT", 0.0),
        ("Sun, 01 Mar 2026 09:29:59 GMT", 0.0),  # over already
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 3600.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
    ],
)
def test_the_server_may_say_how_long_to_wait(header: str, seconds: float) -> None:
    assert parse_retry_after(header, now=NOW) == seconds
    assert answered(retry_after=header).retry_after == seconds


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        " ",
        "soon",
        "-1",
        "+5",
        "1.5",
        "1e3",
        "0x10",
        "nan",
        "inf",
        "\u0663\u0660",  # 30 in other digits
        "²",
        "5 seconds",
        "5, 10",
        "Sun",
        "Sun, 31 Feb 2026 09:32:00 GMT",
        "Sun, 01 Mar 2026 25:32:00 GMT",
        "Sun, 01 Mar 99999 09:32:00 GMT",
        "Sun, 01 Mar 2026 09:32:00 +9999",
        "\0",
        "\ud800",
    ],
)
def test_a_header_that_says_nothing_asks_for_nothing(header: str | None) -> None:
    assert parse_retry_after(header, now=NOW) is None
    assert answered(retry_after=header) == answered()


@pytest.mark.parametrize(
    "header",
    [
        "Sun, 01 Mar 99999999999999999999 09:32:00 GMT",
        "Sun, 01 Mar 2026 09:32:00 +99999999999999999999",
        "Sun, 01 Mar 2026 99999999999999999999:32:00 GMT",
        "Sun, 99999999999999999999 Mar 2026 09:32:00 GMT",
    ],
)
def test_a_date_out_of_all_bounds_does_not_make_the_answer_unknown(header: str) -> None:
    """An error here would count as a lost answer, and the order be held although it was refused."""
    assert answered(503, retry_after=header).effect is Effect.NOT_TAKEN


@quickly
@given(st.floats(-10_000, 10_000), st.sampled_from([0, 1, -5]))
def test_a_date_is_waited_for_an_hour_at_most(seconds: float, offset: int) -> None:
    zone = f"{offset:+03d}00"
    date = (NOW + timedelta(seconds=seconds, hours=offset)).strftime(f"%a, %d %b %Y %H:%M:%S {zone}")

    found = parse_retry_after(date, now=NOW)

    assert found is not None
    assert 0 <= found <= 3600
    assert abs(found - min(max(seconds, 0.0), 3600.0)) <= 1


words = st.sampled_from(
    ["Sun,", "01", "1", "Mar", "2026", "26", "09:32:00", "9.32", "GMT", "+0100", "-", "-0000"]
)


@quickly
@given(st.text(max_size=40) | st.lists(words, max_size=8).map(" ".join) | st.integers().map(str))
def test_no_header_is_fatal(header: str) -> None:
    found = parse_retry_after(header, now=NOW)

    assert found is None or 0 <= found <= 3600


# The start of the answer that is kept.


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", None),
        ('{"error":{"message":"Invalid"}}', '{"error":{"message":"Invalid"}}'),
        ("two\nlines", "two\nlines"),
        ("Žirafa 😀", "Žirafa 😀"),
        # what PostgreSQL refuses, or a terminal obeys
        ("a\0b", "a?b"),
        ("a\ud800b", "a?b"),
        ("\x1b[2J", "?[2J"),
        ("a\r\n\tb", "a?\n?b"),
        ("x" * 2000, "x" * 2000),
        ("x" * 2001, "x" * 2000),
    ],
)
def test_what_is_kept_of_an_answer_is_fit_to_store_and_to_print(text: str, kept: str | None) -> None:
    assert answered(422, excerpt=text).excerpt == kept


@quickly
@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_any_answer_can_be_stored(text: str) -> None:
    kept = answered(422, excerpt=text).excerpt

    assert kept is None or "\0" not in kept
    (kept or "").encode("utf-8")
