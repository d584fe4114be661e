"""What the bridge lets a store choose, by name: read from text or from a file, checked, and shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bridge.issuance import STANDARD_STATUSES
from bridge.ledger.stores import Choices

ORDER_BODIES = ("merged", "bare")
UNKNOWN_OUTCOMES = ("hold", "resend")
NOTHING = ("none", "")  # as text


class ChoiceError(ValueError):
    """There is no such choice, or it cannot be this; the message says what it can be."""


def parse(name: str, text: str) -> object:
    """The value that `text` means, as the command line has it: `true`, `bacs,cheque`, `shipped:completed`.

    Raises ChoiceError.
    """
    _require_known(name)
    match name:
        case "issue_pending" if text in {"true", "false"}:
            return text == "true"
        case "bank_payment_methods":
            return [] if text.strip() in NOTHING else [part.strip() for part in text.split(",")]
        case "status_map":
            return {} if text.strip() in NOTHING else dict(_pair(part) for part in text.split(","))
    return text


def check(name: str, value: object) -> None:
    """Raise ChoiceError unless the store may choose this."""
    _require_known(name)
    _CHECKS[name](value)


def with_values(choices: Choices, values: Mapping[str, Any]) -> Choices:
    """The choices with others in the place of those named; raises ChoiceError."""
    for name, value in values.items():
        check(name, value)
    changed = {**as_mapping(choices), **values}
    policy = replace(
        choices.policy,
        issue_pending=changed["issue_pending"],
        bank_payment_methods=frozenset(changed["bank_payment_methods"]),
        status_map=changed["status_map"],
    )
    return Choices(policy, changed["order_body"], changed["unknown_outcome"])


def as_mapping(choices: Choices) -> dict[str, Any]:
    """The choices by the names that users know them by, as JSON has them."""
    return {
        "issue_pending": choices.policy.issue_pending,
        "bank_payment_methods": sorted(choices.policy.bank_payment_methods),
        "status_map": dict(sorted(choices.policy.status_map.items())),
        "order_body": choices.order_body,
        "unknown_outcome": choices.unknown_outcome,
    }


NAMES: Sequence[str] = tuple(as_mapping(Choices()))


def written(value: object) -> str:
    """A value as `parse` reads it, and as people do."""
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return ",".join(map(str, value)) or NOTHING[0]
        case dict():
            return ",".join(f"{custom}:{standard}" for custom, standard in value.items()) or NOTHING[0]
    return str(value)


def changes(before: Choices, after: Choices) -> Sequence[str]:
    """What differs, a line for each: `issue_pending: false -> true`."""
    old, new = as_mapping(before), as_mapping(after)
    return [
        f"{name}: {written(old[name])} -> {written(new[name])}" for name in NAMES if old[name] != new[name]
    ]


def _require_known(name: str) -> None:
    if name not in _CHECKS:
        raise ChoiceError(f"{name!r} is nothing that a store chooses: that is {', '.join(_CHECKS)}.")


def _pair(text: str) -> tuple[str, str]:
    custom, separator, standard = text.strip().partition(":")
    if not separator:
        raise ChoiceError(f"status_map: {text!r} is not CUSTOM:STANDARD, such as shipped:completed.")
    return custom.strip(), standard.strip()


def _check_issue_pending(value: object) -> None:
    if not isinstance(value, bool):
        raise ChoiceError(f"issue_pending is true or false, not {value!r}.")


def _check_methods(value: object) -> None:
    if not isinstance(value, list) or not all(_is_word(one) for one in value):
        raise ChoiceError(
            f"bank_payment_methods are ids of payment methods, such as bacs or bacs,cheque, not {value!r}."
        )


def _check_status_map(value: object) -> None:
    if not isinstance(value, dict):
        raise ChoiceError(f"status_map gives custom statuses a standard one each, and is not {value!r}.")
    for custom, standard in value.items():
        if not _is_word(custom) or custom.startswith("wc-"):
            raise ChoiceError(
                f"status_map: {custom!r} is no status as webhooks have it: that is one word, without wc-."
            )
        if custom in STANDARD_STATUSES:
            raise ChoiceError(
                f"status_map: {custom} is a status of WooCommerce's own, and means what it says."
            )
        if not isinstance(standard, str) or standard not in STANDARD_STATUSES:
            raise ChoiceError(
                f"status_map: {custom} cannot be mapped to {standard!r}: that has to be one of "
                f"{', '.join(STANDARD_STATUSES)}."
            )


def _check_one_of(name: str, words: Sequence[str]) -> Callable[[object], None]:
    def check_word(value: object) -> None:
        if value not in words:
            raise ChoiceError(f"{name} is {' or '.join(words)}, not {value!r}.")

    return check_word


def _is_word(value: object) -> bool:
    """Text without spaces, and without what no database takes."""
    if not isinstance(value, str) or not value.isprintable():
        return False
    return value != "" and not any(one in value for one in " ,:")


_CHECKS: Mapping[str, Callable[[object], None]] = {
    "issue_pending": _check_issue_pending,
    "bank_payment_methods": _check_methods,
    "status_map": _check_status_map,
    "order_body": _check_one_of("order_body", ORDER_BODIES),
    "unknown_outcome": _check_one_of("unknown_outcome", UNKNOWN_OUTCOMES),
}
