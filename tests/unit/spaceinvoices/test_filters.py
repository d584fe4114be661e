"""LoopBack's filters from Python values."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.spaceinvoices import Filter
from bridge.spaceinvoices.filters import as_json

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

values = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)


def test_a_filter_has_what_was_given_and_nothing_else() -> None:
    assert Filter().as_mapping() == {}
    assert Filter(limit=1, skip=0, deleted=False).as_mapping() == {"limit": 1, "skip": 0, "deleted": False}
    whole = Filter(
        where={"name": {"like": "x"}},
        fields=("id", "name"),
        include=[],
        limit=10,
        order=["name ASC", "createdAt DESC"],
        skip=20,
        deleted=True,
    )
    assert json.loads(as_json(whole.as_mapping())) == {
        "where": {"name": {"like": "x"}},
        "fields": ["id", "name"],
        "include": [],
        "limit": 10,
        "order": ["name ASC", "createdAt DESC"],
        "skip": 20,
        "deleted": True,
    }


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": -1}, {"skip": -1}])
def test_a_page_that_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Filter(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "date",
    [NOON, NOON.astimezone(timezone(timedelta(hours=2))), NOON.astimezone(timezone(-timedelta(hours=9)))],
)
def test_a_date_is_the_same_moment_wherever_it_is_from(date: datetime) -> None:
    assert as_json({"createdAt": {"gte": date}}) == '{"createdAt":{"gte":"2026-03-01T12:00:00Z"}}'


def test_a_mapping_and_a_sequence_of_any_kind_are_taken() -> None:
    assert as_json(MappingProxyType({"id": {"inq": range(2)}})) == '{"id":{"inq":[0,1]}}'


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), NOON.replace(tzinfo=None), {1}, b"x", object(), {(1, 2): 3}]
)
def test_what_json_cannot_tell_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        as_json({"name": value})


def test_an_object_in_itself_is_refused() -> None:
    where: dict[str, object] = {}
    where["and"] = [where]
    with pytest.raises(ValueError, match="Circular"):
        as_json(where)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.dictionaries(st.text(), st.recursive(values, st.lists, max_leaves=5)))
def test_any_values_go_out_in_ascii_and_come_in_as_they_were(where: dict[str, Any]) -> None:
    sent = as_json(where)
    assert sent.isascii()
    assert json.loads(sent) == where
