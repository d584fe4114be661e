"""LoopBack's `filter`: the objects that it selects, their order, and their properties; pure functions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from werkzeug.datastructures import MultiDict

from bridge.sandbox.conditions import Condition, read_where, value_of
from bridge.sandbox.errors import ApiError
from bridge.sandbox.query import Text, read_parameter
from bridge.sandbox.validation import is_whole

KEYS = ("where", "fields", "include", "limit", "order", "skip", "deleted")
# Space Invoices returns no more objects at a time, whatever the limit (its documentation, Pagination).
PAGE_SIZE = 100
_ORDERING = re.compile(r" *([A-Za-z0-9_.$-]+)(?: +(ASC|DESC))? *", re.IGNORECASE | re.ASCII)
_WHOLE_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Filter:
    """The objects that match `where`, in `order`: at most `limit` of them, after the first `skip`.

    `has_field`: whether a property is returned. `order`: properties, each with whether it is descending.
    """

    where: Condition
    has_field: Callable[[str], bool] = lambda name: True
    limit: int = PAGE_SIZE
    order: Sequence[tuple[str, bool]] = ()
    skip: int = 0
    deleted: bool = False

    def select(self, objects: Iterable[Mapping[str, object]]) -> tuple[Sequence[Mapping[str, object]], int]:
        """The selected objects, and the number of all that match, without `limit` and `skip`.

        Without an `order`, they keep the order of `objects`. With `deleted`, deleted objects match, too.
        """
        matches = [item for item in objects if (self.deleted or not item["_isDeleted"]) and self.where(item)]
        for name, is_descending in reversed(self.order):
            matches.sort(key=lambda item: _rank(value_of(item, name)), reverse=is_descending)
        page = matches[self.skip : self.skip + self.limit]
        shown = [{name: value for name, value in item.items() if self.has_field(name)} for item in page]
        return shown, len(matches)


def read_filter(query: MultiDict[str, str]) -> Filter:
    """The `filter` of a find, from a query; raises ApiError 400 if it cannot apply it.

    It refuses unknown keys and does not ignore them: a bridge that relied on one would pass its tests here
    with objects that it must not see.
    """
    _refuse_misplaced("where", "filter", query)
    criteria = read_parameter("filter", query)
    for name in criteria:
        if name not in KEYS:
            raise ApiError(400, f"There is no `{name}` in a filter, only {', '.join(KEYS)}.")
    # For LoopBack, null is the same as no value.
    parts = {name: part for name, part in criteria.items() if part is not None}
    _refuse_relations(parts.get("include", []))
    return Filter(
        where=read_where(parts.get("where", {})),
        has_field=_fields(parts.get("fields", [])),
        limit=min(PAGE_SIZE, _whole_number("limit", parts.get("limit", PAGE_SIZE), 1)),
        order=_order(parts.get("order", [])),
        skip=_whole_number("skip", parts.get("skip", 0), 0),
        deleted=_boolean("deleted", parts.get("deleted", False)),
    )


def read_count(query: MultiDict[str, str]) -> Filter:
    """The `where` of a count, as a filter without deleted objects; raises ApiError 400, too."""
    _refuse_misplaced("filter", "where", query)
    return Filter(where=read_where(read_parameter("where", query)))


def _refuse_misplaced(name: str, instead: str, query: MultiDict[str, str]) -> None:
    if any(parameter == name or parameter.startswith(f"{name}[") for parameter in query):
        raise ApiError(400, f"There is no `{name}` here, only `{instead}`.")


def _refuse_relations(include: object) -> None:
    """Refuse to include anything: the API document has no relations of a Woocommerce object."""
    if not isinstance(include, str | list | dict):
        raise ApiError(400, "`include` has to name relations.")
    if include:
        names = [include] if isinstance(include, str) else list(include)
        name = names[0] if isinstance(names[0], str) else "relation"
        raise ApiError(400, f'Relation "{name}" is not defined for Woocommerce model.')


def _fields(value: object) -> Callable[[str], bool]:
    """Which properties to return: those included, or all but those excluded; all if none is named."""
    if not isinstance(value, dict):
        value = dict.fromkeys(_names("fields", value), True)
    flags = {name: _boolean("fields", flag) for name, flag in value.items()}
    included = {name for name, flag in flags.items() if flag}
    return lambda name: name in included if included else name not in flags


def _order(value: object) -> Sequence[tuple[str, bool]]:
    """The order of `"name ASC, createdAt DESC"`, or of a list of such; ascending by default."""
    order = []
    for term in (part for text in _names("order", value) for part in text.split(",")):
        match = _ORDERING.fullmatch(term)
        if match is None:
            raise ApiError(400, "`order` has to be a property, or one followed by ASC or DESC, or a list.")
        name, direction = match.groups(default="ASC")
        order.append((name, direction.upper() == "DESC"))
    return order


def _rank(value: object) -> tuple[int, float | str]:
    """A sort key for values of any type: by type first, as MongoDB orders them. No value is the least."""
    if value is None:
        return 0, 0
    if isinstance(value, bool):
        return 4, value
    if isinstance(value, int | float):
        return 1, value
    return (2, value) if isinstance(value, str) else (3, json.dumps(value, sort_keys=True))


def _names(key: str, value: object) -> Sequence[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ApiError(400, f"`{key}` has to be a property's name or a list of such.")
    return names


def _whole_number(name: str, value: object, least: int) -> int:
    if isinstance(value, Text) and _WHOLE_NUMBER.fullmatch(value):
        value = int(value)
    if not is_whole(value) or value < least:
        raise ApiError(400, f"`{name}` has to be a whole number, {least} or more.")
    return int(value)


def _boolean(name: str, value: object) -> bool:
    if isinstance(value, Text) and value in {"true", "false"}:
        return value == "true"
    if not isinstance(value, bool):
        raise ApiError(400, f"`{name}` has to be true or false.")
    return value
