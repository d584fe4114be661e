"""LoopBack's `where`: the condition that it states, and why the sandbox refuses some; pure functions."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bridge.sandbox.errors import ApiError
from bridge.sandbox.query import Text
from bridge.sandbox.validation import PROPERTIES, decode_json

Condition = Callable[[Mapping[str, object]], bool]
"""Whether an object matches a `where`."""
_Test = Callable[[object], bool]
"""Whether a single value, or null, matches."""

# The properties that can be compared: those that can be set, and these.
_TYPES: Mapping[str, type] = {
    **PROPERTIES,
    "id": str,
    "_isDeleted": bool,
    "deletedId": str,
    "deletedAt": datetime,
    "createdAt": datetime,
    "updatedAt": datetime,
}
_TYPE_NAMES = {str: "a text", bool: "a boolean", datetime: "a date"}
_MAX_DEPTH = 20  # of nested `and` and `or`
_ORDERINGS: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
OPERATORS = (*_ORDERINGS, "between", "inq", "nin", "neq", "like", "nlike")
# LoopBack's MongoDB and memory connectors take these for a regular expression, its SQL ones literally.
_AMBIGUOUS = re.compile(r"[\^$*+?()\[\]{}|\\]")


def value_of(item: Mapping[str, object], name: str) -> object:
    """The value of a property; None if there is none. A dot leads into an object: `custom.name`."""
    if name in item:
        return item[name]
    value: object = item
    for step in name.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def read_where(where: object, depth: int = 0) -> Condition:
    """The condition that a `where` states; raises ApiError 400 if the sandbox cannot apply it exactly."""
    if not isinstance(where, dict):
        raise ApiError(400, "`where` has to be an object of properties and values.")
    if depth > _MAX_DEPTH:
        raise ApiError(400, f"`where` has `and` and `or` in each other more than {_MAX_DEPTH} deep.")
    conditions = [_condition(name, criterion, depth) for name, criterion in where.items()]
    return lambda item: all(condition(item) for condition in conditions)


def _condition(name: str, criterion: object, depth: int) -> Condition:
    if name in {"and", "or"}:
        return _combined(name, criterion, depth)
    if isinstance(criterion, dict):
        test, is_negated = _operation(name, criterion)
    else:
        test, is_negated = _equal_to_any(_readings(name, criterion)), False
    # As in MongoDB, a list matches if one of its elements does, and a negated criterion if none does.
    return lambda item: any(test(value) for value in _values(item, name)) is not is_negated


def _combined(name: str, wheres: object, depth: int) -> Condition:
    if not isinstance(wheres, list) or not wheres:
        raise ApiError(400, f"`{name}` in `where` has to be a list of one or more objects.")
    conditions = [read_where(where, depth + 1) for where in wheres]
    combine = all if name == "and" else any
    return lambda item: combine(condition(item) for condition in conditions)


def _operation(name: str, criterion: Mapping[str, object]) -> tuple[_Test, bool]:
    """The test of a criterion with an operator, and whether its result is negated."""
    operators = [key for key in criterion if key != "options"]
    if len(operators) != 1:
        # LoopBack would apply the first one it knows, and silently ignore the others.
        raise _refused(name, "needs exactly one operator; several conditions are joined by `and`")
    (operator_,) = operators
    if "options" in criterion and (operator_ not in {"like", "nlike"} or criterion["options"] != "i"):
        raise _refused(name, "has `options`: the only one there is, `i`, belongs to `like` and `nlike`")
    value = criterion[operator_]
    if operator_ in {"like", "nlike"}:
        return _like(name, value, ignore_case="options" in criterion), operator_ == "nlike"
    if operator_ == "neq":
        return _equal_to_any(_readings(name, value)), True
    if operator_ in {"inq", "nin"}:
        elements = _list(name, operator_, value)
        readings = [reading for element in elements for reading in _readings(name, element)]
        return _equal_to_any(readings), operator_ == "nin"
    if operator_ == "between":
        return _between(name, _list(name, operator_, value)), False
    if operator_ in _ORDERINGS:
        return _ordered(name, operator_, value), False
    raise _refused(name, f"has `{operator_}`, which is none of {', '.join(OPERATORS)}")


def _equal_to_any(readings: Sequence[object]) -> _Test:
    return lambda value: any(
        isinstance(value, bool) is isinstance(reading, bool) and value == reading for reading in readings
    )


def _ordered(name: str, operator_: str, bound: object) -> _Test:
    if bound is None or isinstance(bound, bool) or _TYPES.get(name) is bool:
        raise _refused(name, f"has `{operator_}` with null or a boolean, which nothing comes before or after")
    readings = _readings(name, bound)
    compare = _ORDERINGS[operator_]
    return lambda value: any(
        _kind(value) is not None and _kind(value) == _kind(reading) and compare(value, reading)
        for reading in readings
    )


def _between(name: str, bounds: Sequence[object]) -> _Test:
    if len(bounds) != 2:
        raise _refused(name, "has `between` without exactly two values")
    is_above = _ordered(name, "gte", bounds[0])
    is_below = _ordered(name, "lte", bounds[1])
    return lambda value: is_above(value) and is_below(value)


def _like(name: str, pattern: object, *, ignore_case: bool) -> _Test:
    """`%` matches any text and `_` one character; the pattern may match any part of the value."""
    if not isinstance(pattern, str) or _TYPES.get(name, str) is not str:
        raise _refused(name, "has `like` or `nlike`, which compare texts with a text")
    if _AMBIGUOUS.search(pattern):
        raise _refused(name, "has a regular expression: here `like` knows `%`, `_` and plain text")
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else re.NOFLAG)
    # Part by part, each from the end of the one before: a single expression could backtrack for ages.
    parts = [
        re.compile("".join("." if character == "_" else re.escape(character) for character in part), flags)
        for part in pattern.split("%")
    ]

    def matches(value: object) -> bool:
        position = 0
        for part in parts:
            match = part.search(value, position) if isinstance(value, str) else None
            if match is None:
                return False
            position = match.end()
        return True

    return matches


def _list(name: str, operator_: str, value: object) -> Sequence[object]:
    if not isinstance(value, list):
        raise _refused(name, f"has `{operator_}` without a list")
    return value


def _readings(name: str, value: object) -> Sequence[object]:
    """The values that one may stand for: one by the type of its property, or two if that has no type."""
    expected = _TYPES.get(name)
    if isinstance(value, dict | list) or expected is dict:
        raise _refused(
            name, "is compared with a whole object or list: compare its parts, such as `custom.name`"
        )
    if value is None:
        return [None]
    if expected is None:
        return [value, *_decoded(value)] if isinstance(value, Text) else [value]
    if expected is bool and value in {"true", "false"}:
        value = value == "true"
    elif expected is datetime and isinstance(value, str):
        value = _parse_date(value)
    if not isinstance(value, expected):
        # LoopBack would compare anything with a text as a text, which a client hardly ever means.
        raise _refused(name, f"is {_TYPE_NAMES[expected]}, and is compared with something else")
    return [value]


def _parse_date(text: str) -> datetime | None:
    """A date, in UTC unless it has an offset; the API document's dates end in an offset and a `Z`."""
    try:
        date = datetime.fromisoformat(text.replace("+00:00Z", "Z"))
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _decoded(text: Text) -> Sequence[object]:
    """The boolean or number that a text from brackets may stand for."""
    try:
        value = decode_json(text)
    except (ValueError, RecursionError):
        return []
    return [value] if isinstance(value, bool | int | float) else []


def _values(item: Mapping[str, object], name: str) -> Sequence[object]:
    """The values to test: the elements of a list, or the one value."""
    value = value_of(item, name)
    if _TYPES.get(name) is datetime and isinstance(value, str):
        value = _parse_date(value)
    return value if isinstance(value, list) else [value]


def _kind(value: object) -> type | None:
    """The kind of a value: only values of one kind can be compared. None for a value without an order."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float
    return next((kind for kind in (str, datetime) if isinstance(value, kind)), None)


def _refused(name: str, problem: str) -> ApiError:
    return ApiError(400, f"`{name}` in `where` {problem}.")
