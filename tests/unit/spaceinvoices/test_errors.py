"""What is kept of the API's own words when it refuses something."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.spaceinvoices.errors import MAX_API_MESSAGE, message_of


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"error": {"statusCode": 404, "name": "NotFoundError", "message": "Unknown id."}}, "Unknown id."),
        ({"error": {"message": " two\nlines\tand \x1b[31mred\x00 "}}, "two lines and [31mred"),
        ({"error": "plain"}, "plain"),
        (
            {"error": {"message": "`name` is required", "details": {"messages": {"name": ["is required"]}}}},
            "`name` is required",
        ),
        (
            {"error": {"message": "Invalid", "details": {"messages": {"name": ["is required", 5]}}}},
            "Invalid; name is required",
        ),
        ({"error": {"details": {"messages": {"a": ["is b"], "c": "d"}}}}, "a is b"),
        ({"error": {"message": "half \ud800"}}, "half"),
        # What says nothing
        ({"error": {"message": ""}}, None),
        ({"error": {"message": 5}}, None),
        ({"error": {"message": "x", "details": [{"messages": 1}]}}, "x"),
        ({"error": {"message": "x", "details": {"messages": ["y"]}}}, "x"),
        ({"error": {}}, None),
        ({"error": None}, None),
        ({"message": "not LoopBack's"}, None),
        ([], None),
        ("text", None),
        (None, None),
    ],
)
def test_the_message_is_told_as_one_printable_line(answer: object, said: str | None) -> None:
    assert message_of(json.dumps(answer).encode()) == said


@pytest.mark.parametrize(
    "body", [b"", b"<html>502</html>", b"\xff\xfe", b'{"error": {"message": "cut', b"[" * 100_000]
)
def test_what_is_not_the_apis_says_nothing(body: bytes) -> None:
    assert message_of(body) is None


def test_a_long_message_is_cut() -> None:
    said = message_of(json.dumps({"error": {"message": "x" * 10_000}}).encode())
    assert said is not None
    assert len(said) == MAX_API_MESSAGE
    assert said.endswith("…")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.recursive(
        st.text() | st.none() | st.integers(),
        lambda inner: (
            st.dictionaries(
                st.sampled_from(["error", "message", "details", "messages", "name"]) | st.text(), inner
            )
            | st.lists(inner)
        ),
    )
)
def test_whatever_is_answered_the_message_is_printable_and_bounded(answer: object) -> None:
    said = message_of(json.dumps({"error": answer}).encode())
    assert said is None or (said.isprintable() and 0 < len(said) <= MAX_API_MESSAGE)
