"""Checks bodies as strictly as the API document allows; pure functions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from typing import Any, NoReturn, TypeGuard

from bridge.sandbox.errors import ApiError, Problems

# From the API document: "The Woocommerce object", Parameters. `custom` has no type there; its sample is `{}`.
PROPERTIES: Mapping[str, type] = {
    "name": str,
    "active": bool,
    "locale": str,
    "sendInvoiceAutomatically": bool,
    "sendEstimateAutomatically": bool,
    "issueInvoiceForBankPayment": bool,
    "issueInvoiceOnComplete": bool,
    "businessPremiseId": str,
    "electronicDeviceId": str,
    "organizationId": str,
    "unitId": str,
    "warehouseId": str,
    "accountId": str,
    "custom": dict,
}
REQUIRED = ("name", "active", "sendInvoiceAutomatically", "sendEstimateAutomatically")
READ_ONLY = ("deletedAt", "_isDeleted", "deletedId", "createdAt", "updatedAt")

_MAX_DEPTH = 100
_TYPE_NAMES = {str: "a string", bool: "a boolean", list: "a list", dict: "an object"}
# The values with which an order may override its store's config: its invoice is wanted now.
_OVERRIDES = {"issueInvoiceForBankPayment": True, "issueInvoiceOnComplete": False}
_ORIGINALS = "woocommerce"  # in `custom`: what the shop said where the bridge sends something else
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_CURRENCY = re.compile(r"[A-Za-z]{3}")


def is_whole(value: object) -> TypeGuard[int | float]:
    """Whether it is an integer; in JSON, 1.0 is one, too."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)


def _has_form(form: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None


def _is_id(value: object) -> bool:
    """Whether it is an order's id; some plugins send numbers as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value) > 0
    return is_whole(value) and value > 0


# What every document needs. The names are WooCommerce's, the rules this sandbox' own. An imported order has
# an empty key.
_ORDER_TYPES: Mapping[str, type] = {"order_key": str, "status": str, "line_items": list, "billing": dict}
_ORDER_RULES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "id": (_is_id, "must be a positive integer"),
    "currency": (lambda value: _has_form(_CURRENCY, value), "must be three letters"),
    "total": (
        lambda value: _has_form(_DECIMAL, value),
        "must be a decimal in a string, as WooCommerce sends money",
    ),
}
_OPTIONAL_TYPES: Mapping[str, type] = {"number": str, "payment_method": str}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    if not isfinite(number := float(text)):
        raise ValueError("a number that JSON cannot express")
    return number


decode_json = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite).decode
"""The value of a JSON text, without Python's extensions; raises ValueError, or RecursionError if too deep."""


def read_object(mimetype: str, body: bytes) -> dict[str, Any]:
    """The JSON object in a body; raises ApiError 400 for anything else."""
    if mimetype != "application/json":
        raise ApiError(400, "The body has to be sent as Content-Type: application/json.")
    try:
        value = decode_json(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ApiError(400, "The body is not JSON in UTF-8.") from None
    if not isinstance(value, dict):
        raise ApiError(400, "The body has to be a JSON object.")
    # A value that can be decoded may be too deep to encode in an answer, where less of the stack is left.
    if body.count(b"[") + body.count(b"{") > _MAX_DEPTH and _depth(value) > _MAX_DEPTH:
        raise ApiError(400, f"The body has objects and lists in each other more than {_MAX_DEPTH} deep.")
    return value


def problems_of_new(body: Mapping[str, object], organization_id: str) -> Problems:
    """What is wrong with a new Woocommerce object. Additional properties are allowed."""
    return {**_required(body, REQUIRED), **problems_of_changes(body, organization_id)}


def problems_of_changes(body: Mapping[str, object], organization_id: str) -> Problems:
    """What is wrong with changes to a Woocommerce object."""
    # The API document marks the same properties as required as for a create. But a PATCH is a partial update,
    # whose clients send what they change: only the properties in the body are checked.
    problems = _wrong_types(body, PROPERTIES) | _read_only(body, ("id", *READ_ONLY))
    if "organizationId" not in problems and body.get("organizationId", organization_id) != organization_id:
        problems["organizationId"] = ["is not the organization of this object"]
    return problems


def problems_of_order(body: Mapping[str, object], config: Mapping[str, object]) -> Problems:
    """What is wrong with an order and the config in its body, for a store with this `config`."""
    problems = (
        _wrong_types(body, {**PROPERTIES, **_ORDER_TYPES, **_OPTIONAL_TYPES})
        | _required(body, (*REQUIRED, *_ORDER_TYPES, *_ORDER_RULES))
        | _read_only(body, READ_ONLY)
    )
    for name, (is_valid, phrase) in _ORDER_RULES.items():
        if name in body and not is_valid(body[name]):
            problems[name] = [phrase]
    for name in PROPERTIES:
        configured: Any = config[name]
        # `custom` alone may be missing and has a default; the others with a default are required.
        sent = body.get(name, {} if name == "custom" else None)
        if name == "custom" and isinstance(sent, dict):
            sent = {key: value for key, value in sent.items() if key != _ORIGINALS}
            configured = {key: value for key, value in (configured or {}).items() if key != _ORIGINALS}
        is_override = name in _OVERRIDES and sent is _OVERRIDES[name]
        if configured is not None and sent != configured and name not in problems and not is_override:
            problems[name] = ["is not what this store's config holds: fetch the config again"]
    if config["active"] is not True:
        problems.setdefault("active", []).append("is false in this store's config: it takes no orders")
    return problems


def with_flags(config: Mapping[str, Any], body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config with the flags of an order's body, which decide on its document."""
    return {**config, **{name: body[name] for name in _OVERRIDES if name in body}}


def problems_of_import(body: Mapping[str, object]) -> Problems:
    """What is wrong with an import; additional properties are allowed."""
    return _required(body, ("type",)) | _wrong_types(body, {"type": str, "importOptions": str})


def _depth(value: object) -> int:
    """How deep objects and lists are nested."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth


def _required(body: Mapping[str, object], names: Iterable[str]) -> dict[str, list[str]]:
    return {name: ["is required"] for name in names if name not in body}


def _wrong_types(body: Mapping[str, object], types: Mapping[str, type]) -> dict[str, list[str]]:
    return {
        name: [f"must be {_TYPE_NAMES[expected]}"]
        for name, expected in types.items()
        if name in body and not isinstance(body[name], expected)
    }


def _read_only(body: Mapping[str, object], names: Iterable[str]) -> dict[str, list[str]]:
    return {name: ["is read-only"] for name in names if name in body}
