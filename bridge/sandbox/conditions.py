"""LoopBack's `where`: which objects it means, and why one that cannot be applied is refused: pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bridge.sandbox.errors import ApiError
from bridge.sandbox.validation import PROPERTIES, decode_json

Condition = Callable[[Mapping[str, object]], bool]
"""Whether an object is one of those that a `where` means."""
_Test = Callable[[object], bool]
"""The same of one single value, be it null."""

# What can be compared, beyond what can be set.
_TYPES: Mapping[str, type] = {
    **PROPERTIES,
    "id": str,
    "_isDeleted": bool,
    "deletedId": str,
    "deletedAt": datetime,
    "createdAt": datetime,
    "updatedAt": datetime,
}
_MAX_DEPTH = 20  # of `and` and `or` in each other
_ORDERINGS: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
OPERATORS = (*_ORDERINGS, "between", "inq", "nin", "neq", "like", "nlike")
# By LoopBack's MongoDB and memory connectors these mean a regular expression, by its SQL ones themselves.
_AMBIGUOUS = re.compile(r"[\^$*+?()\[\]{}|\\]")


def value_of(item: Mapping[str, object], name: str) -> object:
    """The value of a property, None if there is none. Dots lead into objects: `custom.name`."""
    if name in item:
        return item[name]
    value: object = item
    for step in name.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def read_where(where: object, *, is_text: bool = False, depth: int = 0) -> Condition:
    """The condition that a `where` states; raises ApiError 400 for one that cannot be applied as it stands.

    `is_text`: it comes from brackets, where `true` and `5` can only be told from texts by the property.
    """
    if not isinstance(where, dict):
        raise ApiError(400, "`where` has to be an object of properties and values.")
    if depth > _MAX_DEPTH:
        raise ApiError(400, f"`where` has `and` and `or` in each other more than {_MAX_DEPTH} deep.")
    conditions = [_condition(name, wanted, is_text, depth) for name, wanted in where.items()]
    return lambda item: all(condition(item) for condition in conditions)


def _condition(name: str, wanted: object, is_text: bool, depth: int) -> Condition:
    if name in {"and", "or"}:
        return _joined(name, wanted, is_text, depth)
    if isinstance(wanted, dict):
        test, is_denied = _operation(name, wanted, is_text)
    else:
        test, is_denied = _equal_to_one_of(_readings(name, wanted, is_text)), False
    # A list holds what one of its elements is, and is not what none of them is, as in MongoDB.
    return lambda item: any(test(value) for value in _values(item, name)) is not is_denied


def _joined(name: str, wanted: object, is_text: bool, depth: int) -> Condition:
    if not isinstance(wanted, list) or not wanted:
        raise ApiError(400, f"`{name}` in `where` has to be a list of one or more objects.")
    parts = [read_where(part, is_text=is_text, depth=depth + 1) for part in wanted]
    if name == "and":
        return lambda item: all(part(item) for part in parts)
    return lambda item: any(part(item) for part in parts)


def _operation(name: str, wanted: Mapping[str, object], is_text: bool) -> tuple[_Test, bool]:
    """The test of a condition with an operator, and whether it is to fail."""
    names = [one for one in wanted if one != "options"]
    if len(names) != 1:
        # LoopBack would take the first one it knows, and leave the others out without a word.
        raise _refused(name, "needs exactly one operator; several conditions are joined by `and`")
    (chosen,) = names
    if "options" in wanted and (chosen not in {"like", "nlike"} or wanted["options"] != "i"):
        raise _refused(name, "has `options`: the only one there is, `i`, belongs to `like` and `nlike`")
    value = wanted[chosen]
    if chosen in {"like", "nlike"}:
        return _like(name, value, ignore_case="options" in wanted), chosen == "nlike"
    if chosen == "neq":
        return _equal_to_one_of(_readings(name, value, is_text)), True
    if chosen in {"inq", "nin"}:
        readings = [
            reading for one in _list(name, chosen, value) for reading in _readings(name, one, is_text)
        ]
        return _equal_to_one_of(readings), chosen == "nin"
    if chosen == "between":
        return _between(name, _list(name, chosen, value), is_text), False
    if chosen in _ORDERINGS:
        return _ordered(name, chosen, value, is_text), False
    raise _refused(name, f"has `{chosen}`, which is none of {', '.join(OPERATORS)}")


def _equal_to_one_of(readings: Sequence[object]) -> _Test:
    return lambda value: any(
        isinstance(value, bool) is isinstance(reading, bool) and value == reading for reading in readings
    )


def _ordered(name: str, chosen: str, bound: object, is_text: bool) -> _Test:
    if bound is None or isinstance(bound, bool) or _TYPES.get(name) is bool:
        raise _refused(name, f"has `{chosen}` with null or a boolean, which nothing comes before or after")
    readings = _readings(name, bound, is_text)
    holds = _ORDERINGS[chosen]
    return lambda value: any(
        _kind(value) is not None and _kind(value) == _kind(reading) and holds(value, reading)
        for reading in readings
    )


def _between(name: str, bounds: Sequence[object], is_text: bool) -> _Test:
    if len(bounds) != 2:
        raise _refused(name, "has `between` without exactly two values")
    from_least = _ordered(name, "gte", bounds[0], is_text)
    to_most = _ordered(name, "lte", bounds[1], is_text)
    return lambda value: from_least(value) and to_most(value)


def _like(name: str, pattern: object, *, ignore_case: bool) -> _Test:
    """`%` stands for any text and `_` for one character; what is alike may be any part of the value."""
    if not isinstance(pattern, str) or _TYPES.get(name, str) is not str:
        raise _refused(name, "has `like` or `nlike`, which compare texts with a text")
    if _AMBIGUOUS.search(pattern):
        raise _refused(name, "has a regular expression: here `like` knows `%`, `_` and plain text")
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else re.NOFLAG)
    # Part by part, each from the end of the one before: one expression for all could take ages.
    parts = [
        re.compile("".join("." if letter == "_" else re.escape(letter) for letter in part), flags)
        for part in pattern.split("%")
    ]

    def is_alike(value: object) -> bool:
        if not isinstance(value, str):
            return False
        position = 0
        for part in parts:
            found = part.search(value, position)
            if found is None:
                return False
            position = found.end()
        return True

    return is_alike


def _list(name: str, chosen: str, value: object) -> Sequence[object]:
    if not isinstance(value, list):
        raise _refused(name, f"has `{chosen}` without a list")
    return value


def _readings(name: str, value: object, is_text: bool) -> Sequence[object]:
    """What a value may mean: one thing by the type of its property, and maybe two where it has no type."""
    expected = _TYPES.get(name)
    if isinstance(value, dict | list) or expected is dict:
        raise _refused(
            name, "is compared with a whole object or list: compare its parts, such as `custom.name`"
        )
    if value is None:
        return [None]
    if expected is bool:
        return [_flag(name, value)]
    if expected is datetime:
        return [_moment(name, value)]
    if expected is str and not isinstance(value, str):
        # LoopBack would make a text of it, which no text of such a property is ever meant to be.
        raise _refused(name, "is a text, and is compared with something else")
    return [value, *_sloppy(value)] if expected is None and is_text else [value]


def _flag(name: str, value: object) -> bool:
    if isinstance(value, str) and value in {"true", "false"}:
        return value == "true"
    if not isinstance(value, bool):
        raise _refused(name, "is a boolean, and is compared with something else")
    return value


def _moment(name: str, value: object) -> datetime:
    moment = _parsed(value) if isinstance(value, str) else None
    if moment is None:
        raise _refused(name, "is a date, and is compared with something else")
    return moment


def _parsed(text: str) -> datetime | None:
    """A date, in UTC unless it says otherwise; the API document's own end in an offset and a `Z`."""
    try:
        moment = datetime.fromisoformat(text.replace("+00:00Z", "Z"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _sloppy(text: object) -> Sequence[object]:
    """The boolean or number that a text from brackets may be meant for."""
    try:
        value = decode_json(str(text))
    except (ValueError, RecursionError):
        return []
    return [value] if isinstance(value, bool | int | float) else []


def _values(item: Mapping[str, object], name: str) -> Sequence[object]:
    """The values to test: those in a list, or the only one."""
    value = value_of(item, name)
    if _TYPES.get(name) is datetime and isinstance(value, str):
        value = _parsed(value)
    return value if isinstance(value, list) else [value]


def _kind(value: object) -> type | None:
    """Values of one kind come before and after each other; None for what has no order."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float
    return type(value) if isinstance(value, str | datetime) else None


def _refused(name: str, why: str) -> ApiError:
    return ApiError(400, f"`{name}` in `where` {why}.")
