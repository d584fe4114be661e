"""A store's options by name: parsed from text, checked, changed, and shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from bridge.issuance import BANK_PAYMENT, OPTIONS, Option, OptionError, StoreOptions
from bridge.issuance.option_types import NOTHING


def parse(name: str, text: str, now: datetime) -> object:
    """The value that `text` means, as JSON has it: of `true`, `bacs,cheque`, `shipped:completed`.

    Raises OptionError.
    """
    value = _option(name).parse(text, now)
    OPTIONS[name].read(value)
    return value


def of_new_store(now: datetime) -> StoreOptions:
    """The options of a store for which none is given: orders from before it get no documents."""
    return StoreOptions(issue_from=now)


def with_values(options: StoreOptions, values: Mapping[str, object]) -> StoreOptions:
    """The options with other values, as JSON has them, for those that are named; raises OptionError."""
    changed = replace(options, **{name: _option(name).read(value) for name, value in values.items()})
    if {"order_body", "status_map", "bank_payment_methods"} & set(values):
        _require_not_lost(changed)
    return changed


def lost_in_bare_body(options: StoreOptions) -> Sequence[str]:
    """Names of the options that decide, and of which a bare order tells Space Invoices nothing."""
    if options.order_body != "bare":
        return []
    deciding = {
        "status_map": bool(options.status_map),
        "bank_payment_methods": options.bank_payment_methods != {BANK_PAYMENT},
    }
    return [name for name, decides in deciding.items() if decides]


def as_mapping(options: StoreOptions) -> dict[str, Any]:
    """The values by name, as JSON has them."""
    return {name: option.dump(getattr(options, name)) for name, option in OPTIONS.items()}


def as_text(value: object) -> str:
    """A value of `as_mapping` as `parse` reads it."""
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return ",".join(map(str, value)) or NOTHING[0]
        case dict():
            return ",".join(f"{custom}:{standard}" for custom, standard in value.items()) or NOTHING[0]
    return str(value)


def changes(before: StoreOptions, after: StoreOptions) -> Sequence[str]:
    """What differs, a line for each: `issue_pending: false -> true`."""
    old, new = as_mapping(before), as_mapping(after)
    return [
        f"{name}: {as_text(old[name])} -> {as_text(new[name])}" for name in OPTIONS if old[name] != new[name]
    ]


def _option(name: str) -> Option:
    if name not in OPTIONS:
        raise OptionError(f"{name!r} is no option of a store: those are {', '.join(OPTIONS)}.")
    return OPTIONS[name]


def _require_not_lost(options: StoreOptions) -> None:
    if names := lost_in_bare_body(options):
        raise OptionError(
            f"order_body=bare and {names[0]} do not go together: Space Invoices decides by what the order "
            f"says, and a bare one does not say what {names[0]} makes of it. Set order_body=merged."
        )
