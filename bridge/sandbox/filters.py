"""The `filter` of a query: a JSON string or LoopBack's brackets, and what it selects: pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from bridge.sandbox.errors import ApiError
from bridge.sandbox.validation import PROPERTIES

_KEYS = ("where", "limit", "skip")
_BRACKETS = re.compile(r"filter\[(\w+)\](?:\[(\w+)\])?")


@dataclass(frozen=True, slots=True)
class Filter:
    """Equality on every property of `where`, then `limit` objects at most after the first `skip`."""

    where: Mapping[str, object] = field(default_factory=dict)
    limit: int | None = None
    skip: int = 0

    def select(self, objects: Iterable[Mapping[str, object]]) -> list[Mapping[str, object]]:
        """The objects that the filter lets through, in their order."""
        wanted = (item for item in objects if all(item.get(k) == v for k, v in self.where.items()))
        end = None if self.limit is None else self.skip + self.limit
        return list(islice(wanted, self.skip, end))


def read_filter(query: Mapping[str, str]) -> Filter:
    """The filter of a query's parameters; raises ApiError 400 for one this sandbox cannot apply.

    What it does not know is refused and never ignored: a bridge that relied on it would pass here
    with objects it must not see.
    """
    bracketed = {name: value for name, value in query.items() if name.startswith("filter[")}
    if "filter" in query and bracketed:
        raise ApiError(400, "Give the filter as one JSON string or in brackets, not as both.")
    given = _from_json(query["filter"]) if "filter" in query else _from_brackets(bracketed)
    for name in given:
        if name not in _KEYS:
            raise ApiError(
                400, f"This sandbox does not support `{name}` in a filter, only {', '.join(_KEYS)}."
            )
    return Filter(
        where=_where(given.get("where", {})),
        limit=_whole_number("limit", given["limit"], 1) if "limit" in given else None,
        skip=_whole_number("skip", given.get("skip", 0), 0),
    )


def _from_json(text: str) -> Mapping[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ApiError(400, "The filter is not a JSON object.")
    return value


def _from_brackets(query: Mapping[str, str]) -> Mapping[str, object]:
    """`{"filter[where][name]": "x", "filter[limit]": "1"}` -> `{"where": {"name": "x"}, "limit": 1}`."""
    where: dict[str, object] = {}
    result: dict[str, object] = {}
    for parameter, text in query.items():
        match = _BRACKETS.fullmatch(parameter)
        if match is None:
            raise ApiError(400, f"This sandbox does not support `{parameter}`.")
        name, property_name = match.groups()
        if name == "where" and property_name:
            where[property_name] = _typed(property_name, text)
            result["where"] = where
        elif property_name:
            raise ApiError(400, f"This sandbox does not support `{parameter}`.")
        else:
            result[name] = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else text
    return result


def _typed(property_name: str, text: str) -> object:
    if PROPERTIES.get(property_name) is bool and text in {"true", "false"}:
        return text == "true"
    return text


def _where(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ApiError(400, "`where` has to be an object of properties and values.")
    for name, wanted in value.items():
        if name in {"and", "or"} or isinstance(wanted, dict | list):
            raise ApiError(
                400, f"This sandbox supports plain equality only, not what `where` has as `{name}`."
            )
    return value


def _whole_number(name: str, value: object, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ApiError(400, f"`{name}` has to be a whole number, {least} or more.")
    return value
