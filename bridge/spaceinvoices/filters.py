"""LoopBack's filters from Python values, and Python values as the JSON that is sent: pure.

    Filter(where={"active": True, "createdAt": {"gte": new_year}}, order="name ASC", limit=10)
    Filter(where={"or": [{"name": {"like": "shop"}}, {"id": {"inq": ["5f00000000000000000000aa"]}}]})

Properties have the API's names, such as `createdAt`, and operators LoopBack's: `gt`, `gte`, `lt`, `lte`,
`between`, `inq`, `nin`, `neq`, `like`, `and`, `or`. The API checks them, and nothing here does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, TypeAlias

Where: TypeAlias = Mapping[str, Any]
"""Properties, each with a value or an operator. An object has to match all of them."""


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


def as_json(value: Mapping[str, Any]) -> str:
    """An object as JSON in ASCII, and its dates in ISO 8601, UTC.

    Raises ValueError for what JSON does not have (NaN, an object in itself), and for a naive datetime, which
    means another moment in each time zone.
    """
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"), default=_jsonable)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"it cannot be written as JSON: {error}") from None


def _jsonable(value: object) -> object:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a date without a time zone cannot be sent")
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return list(value)
    raise ValueError(f"JSON has nothing for a {type(value).__name__}")
