"""LoopBack's filters from Python values: pure.

    Filter(where={"active": True, "createdAt": gte(new_year)}, order="name ASC", limit=10)
    any_of({"name": like("shop")}, {"id": inq(["5f00000000000000000000aa"])})

Properties have the API's names, such as `createdAt`. An object that is written by hand can stand wherever one
of these is taken: nothing here checks which properties and operators there are, which the API does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypeAlias

Value: TypeAlias = str | int | float | bool | datetime | None
"""What a property is compared with. A datetime has to be aware."""
Where: TypeAlias = Mapping[str, Any]
"""Properties, each with the value or the operator that it has to meet; all of them have to be met."""


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
    """What meets each of these; LoopBack's `and`."""
    return {"and": list(wheres)}


def any_of(*wheres: Where) -> Where:
    """What meets one of these or more; LoopBack's `or`."""
    return {"or": list(wheres)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What to find, and how much of it. What is None is left to the API: no condition, a hundred at most.

    `fields`: the properties to give, or with `{"custom": False}`, those not to give. `order`: properties,
    each maybe followed by `ASC` or `DESC`. `skip`: how many to leave out at the beginning. `deleted`:
    whether to find deleted objects, too. Raises ValueError for a `limit` below 1 or a `skip` below 0.
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
        """The filter by LoopBack's names, without what was left to the API."""
        given = {part.name: getattr(self, part.name) for part in fields(self)}
        return {name: value for name, value in given.items() if value is not None}
