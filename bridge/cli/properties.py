"""Reads the arguments of the `woocommerce` commands: ids, JSON, and properties as FIELD=VALUE."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from math import isfinite
from typing import Any, NoReturn

import click

from bridge.spaceinvoices import Woocommerce, WoocommerceChanges

SETTABLE = {info.alias or name: info.annotation for name, info in WoocommerceChanges.model_fields.items()}
BOOLEANS = [name for name, kind in SETTABLE.items() if kind == bool | None]
TEXTS = [name for name, kind in SETTABLE.items() if kind == str | None]
READ_ONLY = {info.alias for info in Woocommerce.model_fields.values()} - set(SETTABLE)
FIELDS_HELP = f"""Each FIELD=VALUE sets a property by the API's name. {", ".join(BOOLEANS)} are true or
false. {", ".join(TEXTS)} are text as it is. custom is a JSON object. Any other property is taken, too: as
JSON if it reads as such, so that x=5 is a number and x='"5"' a text, and else as text."""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    if not isfinite(number := float(text)):
        raise ValueError("a number that JSON cannot express")
    return number


decode_json = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite).decode
"""The value of a JSON text, without Python's extensions; raises ValueError, or RecursionError if too deep."""


def id_of(text: str) -> str:
    """The text if it is an id, which becomes a part of a URL; raises BadParameter."""
    if not re.fullmatch("[0-9A-Za-z_-]+", text):
        raise click.BadParameter(f"{text!r} is not an id of Space Invoices: those are 24 hexadecimal digits.")
    return text


def utf8(text: str) -> str:
    """The text; raises BadParameter for bytes that are no text, which a shell passes on."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise click.BadParameter("it is not text in UTF-8.") from None
    return text


def object_of(text: str) -> dict[str, Any]:
    """The value of a text that is a JSON object; raises BadParameter."""
    try:
        value = decode_json(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise click.BadParameter(f'{text!r} is not a JSON object, such as \'{{"name": "My shop"}}\'.')
    return value


def read_fields(
    _context: click.Context, _parameter: click.Parameter, arguments: Sequence[str]
) -> dict[str, Any]:
    """A callback for FIELD=VALUE arguments: the properties they set, by the API's names."""
    fields: dict[str, Any] = {}
    for argument in arguments:
        name, separator, value = utf8(argument).partition("=")
        if not separator or not name:
            raise click.BadParameter(f"{argument!r} is not FIELD=VALUE.")
        if name in fields:
            raise click.BadParameter(f"{name} is given twice.")
        fields[name] = _value(name, value)
    return fields


def _value(name: str, value: str) -> Any:
    if name in READ_ONLY:
        raise click.BadParameter(f"{name} is read-only.")
    if name not in SETTABLE and name in WoocommerceChanges.model_fields:
        raise click.BadParameter(f"{name} is {WoocommerceChanges.model_fields[name].alias} for the API.")
    if name in TEXTS:
        return value
    if name in BOOLEANS and value not in {"true", "false"}:
        raise click.BadParameter(f"{name} is true or false, not {value!r}.")
    try:
        decoded = decode_json(value)
        json.dumps(decoded, ensure_ascii=False).encode()  # "\\ud800", half a character, is JSON but no text
    except (ValueError, RecursionError):
        decoded = value
    if name == "custom" and not isinstance(decoded, dict):
        raise click.BadParameter(f"custom is a JSON object, such as '{{\"key\": 1}}', not {value!r}.")
    return decoded


def new_name(name: str) -> str:
    """The name of a new object, which is easily forgotten before the fields; raises BadParameter."""
    key, separator, _ = utf8(name).partition("=")
    if separator and key in SETTABLE:
        raise click.BadParameter(f"{name!r} is a field: the store's name comes before those.")
    return name
