"""The details of an order as its row keeps them: JSON of what is not as usual."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import datetime
from typing import Any

from bridge.issuance import Details, Timekeeping

_USUAL = Details()


def written(details: Details) -> str:
    """The details as text."""
    unusual = {
        one.name: value
        for one in fields(Details)
        if (value := getattr(details, one.name)) != getattr(_USUAL, one.name)
    }
    return json.dumps(unusual, default=datetime.isoformat, separators=(",", ":"))


def read(text: str | None) -> Details:
    """The details that were written so; those of an order that an older version has saved are not known."""
    known: dict[str, Any] = json.loads(text) if text else {}
    if "created" in known:
        known["created"] = datetime.fromisoformat(known["created"])
    if "timekeeping" in known:
        known["timekeeping"] = Timekeeping(known["timekeeping"])
    return Details(**{one.name: known[one.name] for one in fields(Details) if one.name in known})
