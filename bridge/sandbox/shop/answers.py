"""What WordPress answers: JSON as PHP encodes it, and errors with a code, a message and a status."""

from __future__ import annotations

import json
from collections.abc import Mapping


def encode(value: object) -> bytes:
    """JSON as PHP's json_encode writes it: no spaces, ASCII alone, and every slash escaped."""
    return json.dumps(value, separators=(",", ":")).replace("/", "\\/").encode()


class RestError(Exception):
    """A WP_Error that the REST API answers with."""

    def __init__(
        self, status: int, code: str, message: str, more: Mapping[str, object] | None = None
    ) -> None:
        """`more`: what `data` holds beside the status."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.more = more or {}

    def body(self) -> dict[str, object]:
        """`{"code", "message", "data": {"status", ...}}`."""
        return {"code": self.code, "message": self.message, "data": {"status": self.status, **self.more}}


def invalid_parameter(name: str, message: str, code: str = "rest_invalid_param") -> RestError:
    """The 400 for a bad value of a parameter."""
    return RestError(
        400,
        "rest_invalid_param",
        f"Invalid parameter(s): {name}",
        {
            "params": {name: message},
            "details": {name: {"code": code, "message": message, "data": None}},
        },
    )


def invalid_id(kind: str, status: int = 404) -> RestError:
    """The error for an object, such as `shop_order`, that does not exist: 404 to read it, 400 to write it."""
    return RestError(status, f"woocommerce_rest_{kind}_invalid_id", "Invalid ID.")


def only_fields(value: Mapping[str, object], fields: str | None) -> Mapping[str, object]:
    """The properties that `_fields` names, in the object's own order; `a.b` is the `b` in `a`.

    Names that the object lacks are ignored, as WordPress does; all come if `fields` names none.
    """
    names = [name.strip() for name in (fields or "").split(",") if name.strip()]
    return _picked(value, [name.split(".") for name in names]) if names else value


def _picked(value: Mapping[str, object], paths: list[list[str]]) -> dict[str, object]:
    picked: dict[str, object] = {}
    for name, inner in value.items():
        below = [path[1:] for path in paths if path[0] == name]
        if not below:
            continue
        whole = not all(below) or not isinstance(inner, Mapping)
        picked[name] = inner if whole else _picked(inner, below)  # type: ignore[arg-type]
    return picked
