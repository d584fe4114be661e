"""LoopBack's `filter`: which objects it selects, in which order, and which of their properties: pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bridge.sandbox.conditions import Condition, read_where, value_of
from bridge.sandbox.errors import ApiError
from bridge.sandbox.query import Given, read_parameter
from bridge.sandbox.validation import is_whole

KEYS = ("where", "fields", "include", "limit", "order", "skip", "deleted")
# Space Invoices gives out no more at a time, whatever the limit (its documentation, Pagination).
PAGE = 100
_ORDERING = re.compile(r" *([A-Za-z0-9_.$-]+)(?: +(ASC|DESC))? *", re.IGNORECASE | re.ASCII)
_WHOLE_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Ordering:
    """One property to sort by."""

    name: str
    descending: bool

    def rank(self, item: Mapping[str, object]) -> tuple[int, float | str]:
        """A sort key for values of any type: by type first, in MongoDB's order. What is absent is least."""
        value = value_of(item, self.name)
        if value is None:
            return 0, 0
        if isinstance(value, bool):
            return 4, value
        if isinstance(value, int | float):
            return 1, value
        if isinstance(value, str):
            return 2, value
        return 3, json.dumps(value, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Fields:
    """The properties to give, `only` these, or all `but` those; everything if both are empty."""

    only: frozenset[str] = frozenset()
    but: frozenset[str] = frozenset()

    def of(self, item: Mapping[str, object]) -> Mapping[str, object]:
        """The object with the properties that are to be given."""
        if self.only:
            return {name: value for name, value in item.items() if name in self.only}
        return {name: value for name, value in item.items() if name not in self.but}


@dataclass(frozen=True, slots=True)
class Filter:
    """The objects that `where` means, ordered; `limit` of them at most, after the first `skip`."""

    where: Condition = lambda item: True
    fields: Fields = Fields()
    limit: int = PAGE
    order: Sequence[Ordering] = ()
    skip: int = 0
    deleted: bool = False

    def select(self, objects: Iterable[Mapping[str, object]]) -> tuple[list[Mapping[str, object]], int]:
        """The selected objects, and how many there are without regard to `limit` and `skip`.

        Without an `order` they stay in the order they come in. Deleted ones come along if asked for.
        """
        found = [item for item in objects if (self.deleted or not item["_isDeleted"]) and self.where(item)]
        for ordering in reversed(self.order):
            found.sort(key=ordering.rank, reverse=ordering.descending)
        page = found[self.skip : self.skip + self.limit]
        return [self.fields.of(item) for item in page], len(found)


def read_filter(query: Sequence[tuple[str, str]]) -> Filter:
    """The `filter` of a find, from a query's names and values; raises ApiError 400 for one it cannot apply.

    What it does not know is refused and never ignored: a bridge that relied on it would pass here
    with objects it must not see.
    """
    _refuse_misplaced("where", "filter", query)
    given = read_parameter("filter", query) or Given({}, is_text=False)
    for name in given.value:
        if name not in KEYS:
            raise ApiError(400, f"There is no `{name}` in a filter, only {', '.join(KEYS)}.")
    # LoopBack takes a null for what was not given.
    value = {name: part for name, part in given.value.items() if part is not None}
    _refuse_relations(value.get("include", []))
    return Filter(
        where=read_where(value.get("where", {}), is_text=given.is_text),
        fields=_fields(value.get("fields", []), given.is_text),
        limit=min(PAGE, _whole_number("limit", value.get("limit", PAGE), 1, given.is_text)),
        order=_order(value.get("order", [])),
        skip=_whole_number("skip", value.get("skip", 0), 0, given.is_text),
        deleted=_boolean("deleted", value.get("deleted", False), given.is_text),
    )


def read_count(query: Sequence[tuple[str, str]]) -> Filter:
    """The `where` of a count, likewise, as a filter that lets no deleted object through."""
    _refuse_misplaced("filter", "where", query)
    given = read_parameter("where", query) or Given({}, is_text=False)
    return Filter(where=read_where(given.value, is_text=given.is_text))


def _refuse_misplaced(name: str, instead: str, query: Sequence[tuple[str, str]]) -> None:
    if any(parameter == name or parameter.startswith(f"{name}[") for parameter, _ in query):
        raise ApiError(400, f"There is no `{name}` here, only `{instead}`.")


def _refuse_relations(include: object) -> None:
    """Nothing can be included: the API document knows no relations of a Woocommerce object."""
    if not isinstance(include, str | list | dict):
        raise ApiError(400, "`include` has to name relations.")
    if include:
        names = [include] if isinstance(include, str) else list(include)
        name = names[0] if isinstance(names[0], str) else "relation"
        raise ApiError(400, f'Relation "{name}" is not defined for Woocommerce model.')


def _fields(value: object, is_text: bool) -> Fields:
    if isinstance(value, dict):
        flags = {name: _boolean("fields", flag, is_text) for name, flag in value.items()}
        only = frozenset(name for name, flag in flags.items() if flag)
        return Fields(only=only, but=frozenset(flags) - only)
    return Fields(only=frozenset(_names("fields", value)))


def _order(value: object) -> Sequence[Ordering]:
    """`"name ASC, createdAt DESC"`, or a list of such; ascending unless it says otherwise."""
    orderings = []
    for term in (part for text in _names("order", value) for part in text.split(",")):
        match = _ORDERING.fullmatch(term)
        if match is None:
            raise ApiError(400, "`order` has to be a property, or one followed by ASC or DESC, or a list.")
        name, direction = match.groups(default="ASC")
        orderings.append(Ordering(name, descending=direction.upper() == "DESC"))
    return orderings


def _names(key: str, value: object) -> Sequence[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ApiError(400, f"`{key}` has to be a property's name or a list of such.")
    return names


def _whole_number(name: str, value: object, least: int, is_text: bool) -> int:
    if is_text and isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value):
        value = int(value)
    if not is_whole(value) or value < least:
        raise ApiError(400, f"`{name}` has to be a whole number, {least} or more.")
    return int(value)


def _boolean(name: str, value: object, is_text: bool) -> bool:
    if is_text and isinstance(value, str) and value in {"true", "false"}:
        return value == "true"
    if not isinstance(value, bool):
        raise ApiError(400, f"`{name}` has to be true or false.")
    return value
