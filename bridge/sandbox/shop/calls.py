"""A call of the REST API, what it returns, and whether its key has the right."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from bridge.sandbox.shop.answers import RestError
from bridge.sandbox.shop.keys import Key
from bridge.sandbox.shop.listing import Page

_VERBS = {"GET": "view", "HEAD": "view", "POST": "create", "PUT": "edit", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Call:
    """A request to the API. `arguments`: of the query, as WooCommerce knows them. `body`: of the JSON."""

    method: str
    arguments: Mapping[str, str]
    body: Mapping[str, Any]
    key: Key | None


@dataclass(frozen=True, slots=True)
class Result:
    """What is answered; `total` and `page` are those of a listing."""

    value: Any
    status: int = 200
    total: int | None = None
    page: Page | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def pages(self) -> int:
        """How many pages a listing has."""
        return ceil((self.total or 0) / self.page.size) if self.page else 0


def read_body(content_type: str, raw: bytes) -> Mapping[str, Any]:
    """The JSON object of a request; empty for a body of another type, which the stand-in does not read.

    Raises RestError 400 for what is not JSON.
    """
    if "json" not in content_type or not raw.strip():
        return {}
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        raise RestError(400, "rest_invalid_json", "Invalid JSON body passed.") from None
    return value if isinstance(value, dict) else {}


def check_rights(call: Call, *, is_list: bool = False, verb: str | None = None) -> None:
    """401 without a key, 403 with one whose user may not manage the shop."""
    if call.key is not None and call.key.is_manager:
        return
    verb = verb or _VERBS[call.method]
    message = {
        "view": "Sorry, you cannot list resources." if is_list else "Sorry, you cannot view this resource.",
        "create": "Sorry, you are not allowed to create resources.",
        "edit": "Sorry, you are not allowed to edit this resource.",
        "delete": "Sorry, you are not allowed to delete this resource.",
    }[verb]
    raise RestError(401 if call.key is None else 403, f"woocommerce_rest_cannot_{verb}", message)


def missing(*names: str) -> RestError:
    listed = ", ".join(names)
    return RestError(
        400, "rest_missing_callback_param", f"Missing parameter(s): {listed}", {"params": list(names)}
    )


def is_forced(call: Call) -> bool:
    return str({**call.arguments, **call.body}.get("force", "")).lower() in {"true", "1"}
