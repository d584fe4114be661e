"""What the API document admits in a body, checked as strictly as it allows: pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from typing import Any, NoReturn, TypeGuard

from bridge.sandbox.documents import Order
from bridge.sandbox.errors import ApiError

Problems = dict[str, list[str]]
"""Property -> what is wrong with it; empty if nothing is."""

# "The Woocommerce object", Parameters, in the API document. `custom` has no type there, and `{}` as sample.
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
_TYPE_NAMES = {str: "a string", bool: "a boolean", dict: "an object"}
# What an order may say for itself, of what the config has otherwise: that its invoice is wanted now.
_SAID_OF_AN_ORDER = {"issueInvoiceForBankPayment": True, "issueInvoiceOnComplete": False}
_SAID_IN_CUSTOM = "woocommerce"  # what the shop said itself, where the bridge sends something else
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_CURRENCY = re.compile(r"[A-Za-z]{3}")


def is_whole(value: object) -> TypeGuard[int | float]:
    """Whether it is an integer. In JSON, 1.0 is one, too."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)


def _is_id(value: object) -> bool:
    """Whether it is an order's id: some plugins make text of numbers."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value) > 0
    return is_whole(value) and value > 0


# What no document can be made without. The names are WooCommerce's, the rules this sandbox' own.
_ORDER_RULES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "id": (_is_id, "must be a positive integer"),
    "order_key": (lambda value: isinstance(value, str), "must be a string"),  # empty in an imported order
    "status": (lambda value: isinstance(value, str), "must be a string"),
    "currency": (
        lambda value: isinstance(value, str) and _CURRENCY.fullmatch(value) is not None,
        "must be three letters",
    ),
    "total": (
        lambda value: isinstance(value, str) and _DECIMAL.fullmatch(value) is not None,
        "must be a decimal in a string, as WooCommerce sends money",
    ),
    "line_items": (lambda value: isinstance(value, list), "must be a list"),
    "billing": (lambda value: isinstance(value, dict), "must be an object"),
}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError("a number that no answer could repeat in JSON")
    return number


decode_json = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite).decode
"""Text to value as the standard has it; raises ValueError, or RecursionError for what is nested too deep."""


def read_object(mimetype: str, body: bytes) -> dict[str, Any]:
    """The JSON object that was sent; raises ApiError 400 for anything else."""
    if mimetype != "application/json":
        raise ApiError(400, "The body has to be sent as Content-Type: application/json.")
    try:
        value = decode_json(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ApiError(400, "The body is not JSON in UTF-8.") from None
    if not isinstance(value, dict):
        raise ApiError(400, "The body has to be a JSON object.")
    # What could be read may still be too deep to be written again, by an answer that is further up the stack.
    if body.count(b"[") + body.count(b"{") > _MAX_DEPTH and _depth(value) > _MAX_DEPTH:
        raise ApiError(400, f"The body has objects and lists in each other more than {_MAX_DEPTH} deep.")
    return value


def problems_of_new(body: Mapping[str, object], organization_id: str) -> Problems:
    """What is wrong with a Woocommerce object to be created. Additional properties are admitted."""
    return _required(body) | problems_of_changes(body, organization_id)


def problems_of_changes(body: Mapping[str, object], organization_id: str) -> Problems:
    """What is wrong with changes to a Woocommerce object."""
    # The API document marks the same properties as required here as on create. A PATCH is a partial
    # update all the same, and its clients send what they change: only what is given is checked.
    problems = _wrong_types(body) | _read_only(body, ("id", *READ_ONLY))
    if "organizationId" not in problems and body.get("organizationId", organization_id) != organization_id:
        problems["organizationId"] = ["is not the organization of this object"]
    return problems


def problems_of_order(body: Mapping[str, object], config: Mapping[str, object]) -> Problems:
    """What is wrong with an order and the config around it, for a store that holds `config`."""
    problems = _wrong_types(body) | _required(body) | _read_only(body, READ_ONLY)
    for name, (holds, phrase) in _ORDER_RULES.items():
        if name not in body:
            problems[name] = ["is required"]
        elif not holds(body[name]):
            problems[name] = [phrase]
    for name in ("number", "payment_method"):
        if name in body and not isinstance(body[name], str):
            problems[name] = ["must be a string"]
    for name in PROPERTIES:
        held: Any = config[name]
        # Only `custom` has a default that an absent one stands for; the others with a default are required.
        given = body.get(name, {} if name == "custom" else None)
        if name == "custom" and isinstance(given, dict):
            given = {key: value for key, value in given.items() if key != _SAID_IN_CUSTOM}
            held = {key: value for key, value in (held or {}).items() if key != _SAID_IN_CUSTOM}
        is_said = name in _SAID_OF_AN_ORDER and given is _SAID_OF_AN_ORDER[name]
        if held is not None and given != held and name not in problems and not is_said:
            problems[name] = ["is not what this store's config holds: fetch the config again"]
    if config["active"] is not True:
        problems.setdefault("active", []).append("is false in this store's config: it takes no orders")
    return problems


def order_of(body: Mapping[str, Any]) -> Order:
    """The order in a body that has no problems."""
    return Order(
        id=int(body["id"]),
        key=body["order_key"],
        number=body.get("number") or str(body["id"]),
        status=body["status"],
        payment_method=body.get("payment_method", ""),
        total=body["total"],
        currency=body["currency"],
    )


def with_flags(config: Mapping[str, Any], body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config with the flags as an order's body has them, which decide on its document."""
    return {**config, **{name: body[name] for name in _SAID_OF_AN_ORDER if name in body}}


def problems_of_import(body: Mapping[str, object]) -> Problems:
    """What is wrong with an import; what the API document does not name is left alone."""
    problems = {}
    if "type" not in body:
        problems["type"] = ["is required"]
    for name in ("type", "importOptions"):
        if name in body and not isinstance(body[name], str):
            problems[name] = ["must be a string"]
    return problems


def _depth(value: object) -> int:
    """How many objects and lists are in each other at the deepest place."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth


def _required(body: Mapping[str, object]) -> Problems:
    return {name: ["is required"] for name in REQUIRED if name not in body}


def _wrong_types(body: Mapping[str, object]) -> Problems:
    return {
        name: [f"must be {_TYPE_NAMES[expected]}"]
        for name, expected in PROPERTIES.items()
        if name in body and not isinstance(body[name], expected)
    }


def _read_only(body: Mapping[str, object], names: Iterable[str]) -> Problems:
    return {name: ["is read-only"] for name in names if name in body}
