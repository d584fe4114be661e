"""Python values as the JSON that is sent: pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any


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
