"""LoopBack's filters from Python values: pure.

    Filter(where={"active": True, "createdAt": gte(new_year)}, order="name ASC", limit=10)
    any_of({"name": like("shop")}, {"id": inq(["5f00000000000000000000aa"])})

Properties have the API's names, such as `createdAt`. A mapping that is written by hand can stand in the place
of each of these: the API checks properties and operators, and nothing here does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypeAlias

Value: TypeAlias = str | int | float | bool | datetime | None
"""What a property is compared with. A datetime must have a time zone."""
Where: TypeAlias = Mapping[str, Any]
"""Properties, each with a value or an operator. An object has to match all of them."""


def gt(value: Value) -> Where:
    """Greater than the value, or later."""
    return {"gt": value}


def gte(value: Value) -> Where:
    """Greater than the value or equal to it."""
    return {"gte": value}


def lt(value: Value) -> Where:
    """Less than the value, or earlier."""
    return {"lt": value}


def lte(value: Value) -> Where:
    """Less than the value or equal to it."""
    return {"lte": value}


def between(least: Value, most: Value) -> Where:
    """From the one value to the other, both included."""
    return {"between": [least, most]}


def inq(values: Sequence[Value]) -> Where:
    """One of the values."""
    return {"inq": list(values)}


def nin(values: Sequence[Value]) -> Where:
    """None of the values."""
    return {"nin": list(values)}


def neq(value: Value) -> Where:
    """Another value than this."""
    return {"neq": value}


def like(pattern: str) -> Where:
    """Text in which the pattern is found."""
    return {"like": pattern}


def all_of(*wheres: Where) -> Where:
    """What matches each of these; LoopBack's `and`."""
    return {"and": list(wheres)}


def any_of(*wheres: Where) -> Where:
    """What matches at least one of these; LoopBack's `or`."""
    return {"or": list(wheres)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What to find, and how much of it. For None, the API's default holds: no condition, a hundred at most.

    `fields`: the properties to return, or with `{"custom": False}`, those not to return. `order`: properties,
    each with an optional `ASC` or `DESC`. `skip`: how many to leave out at the beginning. `deleted`: whether
    to find deleted objects, too. Raises ValueError for a `limit` below 1 or a `skip` below 0.
    """

    where: Where | None = None
    fields: str | Sequence[str] | Mapping[str, bool] | None = None
    include: str | Sequence[str] | Mapping[str, Any] | None = None
    limit: int | None = None
    order: str | Sequence[str] | None = None
    skip: int | None = None
    deleted: bool | None = None

    def __post_init__(self) -> None:
        for name, value, least in (("limit", self.limit, 1), ("skip", self.skip, 0)):
            if value is not None and value < least:
                raise ValueError(f"a filter's {name} is {least} or more, not {value}")

    def as_mapping(self) -> Mapping[str, Any]:
        """The filter by LoopBack's names, without what is None."""
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        return {name: value for name, value in values.items() if value is not None}
