"""What the bridge lets a store choose, by name: read from text or from a file, checked, and shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from bridge.issuance import BANK_PAYMENT, STANDARD_STATUSES, Policy, address_of
from bridge.ledger.stores import ALL, StoreOptions

NOTHING = ("none", "")  # as text
LEARNED = ("issue_from", "shop_urls")  # a file that does not name them leaves them as they are


class OptionError(ValueError):
    """There is no such choice, or it cannot be this; the message says what it can be."""


@dataclass(frozen=True, slots=True)
class Option:
    """One choice: what people write (`sample`) and what it means, and how it is read, checked and found.

    `parse` makes a value of text, `check` raises OptionError for one that cannot be, and `of` is the value
    that a store has, as JSON has it.
    """

    sample: str
    meaning: str
    check: Callable[[object], None]
    of: Callable[[StoreOptions], Any]
    parse: Callable[[str], object] = str


def parse(name: str, text: str, now: datetime) -> object:
    """The value that `text` means, as the command line has it: `true`, `bacs,cheque`, `shipped:completed`.

    Raises OptionError.
    """
    _require_known(name)
    if (name, text) == ("issue_from", "now"):
        return now.isoformat()
    return OPTIONS[name].parse(text)


def check(name: str, value: object) -> None:
    """Raise OptionError unless the store may choose this."""
    _require_known(name)
    OPTIONS[name].check(value)


def of_new_store(now: datetime) -> StoreOptions:
    """What a store chooses that chooses nothing: the past is left alone."""
    return StoreOptions(Policy(issue_from=now))


def with_values(choices: StoreOptions, values: Mapping[str, Any]) -> StoreOptions:
    """The choices with others in the place of those named; raises OptionError."""
    for name, value in values.items():
        check(name, value)
    changed = {**as_mapping(choices), **values}
    policy = Policy(
        issue_pending=changed["issue_pending"],
        bank_payment_methods=frozenset(changed["bank_payment_methods"]),
        status_map=changed["status_map"],
        issue_from=_moment(changed["issue_from"]),
        sub_orders=changed["sub_orders"],
        unpaid_on_hold=changed["unpaid_on_hold"],
        zero_total=changed["zero_total"],
        test_orders=changed["test_orders"],
        invoiced_meta=frozenset(changed["invoiced_meta"]),
    )
    shop_urls = tuple(dict.fromkeys(address_of(one) for one in changed["shop_urls"]))
    chosen = StoreOptions(policy, changed["order_body"], changed["unknown_outcome"], shop_urls)
    if {"order_body", "status_map", "bank_payment_methods"} & set(values):
        _require_that_it_can_be_said(chosen)
    return chosen


def cannot_be_said(choices: StoreOptions) -> Sequence[str]:
    """Names of the choices that decide, and that Space Invoices would not learn of from a bare order."""
    if choices.order_body != "bare":
        return []
    policy = choices.policy
    return [
        name
        for name, decides in (
            ("status_map", bool(policy.status_map)),
            ("bank_payment_methods", policy.bank_payment_methods != {BANK_PAYMENT}),
        )
        if decides
    ]


def as_mapping(choices: StoreOptions) -> dict[str, Any]:
    """The choices by the names that users know them by, as JSON has them."""
    return {name: option.of(choices) for name, option in OPTIONS.items()}


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


def changes(before: StoreOptions, after: StoreOptions) -> Sequence[str]:
    """What differs, a line for each: `issue_pending: false -> true`."""
    old, new = as_mapping(before), as_mapping(after)
    return [
        f"{name}: {written(old[name])} -> {written(new[name])}" for name in NAMES if old[name] != new[name]
    ]


def _require_known(name: str) -> None:
    if name not in OPTIONS:
        raise OptionError(f"{name!r} is nothing that a store chooses: that is {', '.join(OPTIONS)}.")


def _require_that_it_can_be_said(choices: StoreOptions) -> None:
    if names := cannot_be_said(choices):
        raise OptionError(
            f"order_body=bare and {names[0]} do not go together: Space Invoices decides by what the order "
            f"says, and a bare one does not say what {names[0]} makes of it. Set order_body=merged."
        )


def _bool(text: str) -> object:
    return text == "true" if text in {"true", "false"} else text


def _list(text: str) -> object:
    return [] if text.strip() in NOTHING else [part.strip() for part in text.split(",")]


def _mapping(text: str) -> object:
    return {} if text.strip() in NOTHING else dict(_pair(part) for part in text.split(","))


def _pair(text: str) -> tuple[str, str]:
    custom, separator, standard = text.strip().partition(":")
    if not separator:
        raise OptionError(f"status_map: {text!r} is not CUSTOM:STANDARD, such as shipped:completed.")
    return custom.strip(), standard.strip()


def _check_issue_pending(value: object) -> None:
    if not isinstance(value, bool):
        raise OptionError(f"issue_pending is true or false, not {value!r}.")


def _check_methods(value: object) -> None:
    if not isinstance(value, list) or not all(_is_word(one) and "*" not in one[:-1] for one in value):
        raise OptionError(
            f"bank_payment_methods are ids of payment methods, such as bacs or bacs,cheque, not {value!r}. "
            "The last character may be a *, which stands for any ending."
        )
    if "*" in value:
        raise OptionError("bank_payment_methods: * alone would make a bank payment of every payment.")


def _check_status_map(value: object) -> None:
    if not isinstance(value, dict):
        raise OptionError(f"status_map gives custom statuses a standard one each, and is not {value!r}.")
    for custom, standard in value.items():
        if not _is_word(custom) or custom.startswith("wc-"):
            raise OptionError(
                f"status_map: {custom!r} is no status as webhooks have it: that is one word, without wc-."
            )
        if custom in STANDARD_STATUSES:
            raise OptionError(
                f"status_map: {custom} is a status of WooCommerce's own, and means what it says."
            )
        if not isinstance(standard, str) or standard not in STANDARD_STATUSES:
            raise OptionError(
                f"status_map: {custom} cannot be mapped to {standard!r}: that has to be one of "
                f"{', '.join(STANDARD_STATUSES)}."
            )


def _check_issue_from(value: object) -> None:
    try:
        _moment(value)
    except (ValueError, OverflowError):
        raise OptionError(
            f"issue_from is a date such as 2026-11-01, or all, not {str(value)!r}."
            + (" In a file, leave it out for now." if value == "now" else "")
        ) from None


def _moment(value: object) -> datetime | None:
    """A moment in UTC, or None for `all`; raises ValueError. A date is its beginning in UTC."""
    match value:
        case str() if value == ALL:
            return None
        case str():
            moment = datetime.fromisoformat(value)
        case datetime():  # as TOML has it
            moment = value
        case date():
            moment = datetime.combine(value, time.min)
        case _:
            raise ValueError("no date")
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _check_shop_urls(value: object) -> None:
    for one in value if isinstance(value, list) else [value]:
        if not address_of(one):
            raise OptionError(
                f"shop_urls are the addresses of the shop, such as shop.example or https://shop.example/de, "
                f"not {str(one)!r}."
            )


def _check_invoiced_meta(value: object) -> None:
    if not isinstance(value, list) or not all(_is_word(one) for one in value):
        raise OptionError(f"invoiced_meta are keys of an order's metadata, not {value!r}.")


def _one_of(name: str, *words: str) -> Callable[[object], None]:
    def check_word(value: object) -> None:
        if value not in words:
            raise OptionError(f"{name} is {', '.join(words[:-1])} or {words[-1]}, not {value!r}.")

    return check_word


def _is_word(value: object) -> bool:
    """Text without spaces, and without what no database takes."""
    if not isinstance(value, str) or not value.isprintable():
        return False
    return value != "" and not any(one in value for one in " ,:")


def _issue_from(choices: StoreOptions) -> str:
    issue_from = choices.policy.issue_from
    return ALL if issue_from is None else issue_from.isoformat()


OPTIONS: Mapping[str, Option] = {
    "issue_pending": Option(
        "true|false",
        "issue for orders that are pending: placed, and unpaid",
        _check_issue_pending,
        lambda one: one.policy.issue_pending,
        _bool,
    ),
    "bank_payment_methods": Option(
        "bacs,cheque*",
        "the payment methods that are bank payments",
        _check_methods,
        lambda one: sorted(one.policy.bank_payment_methods),
        _list,
    ),
    "status_map": Option(
        "shipped:completed",
        "a standard status for each custom one",
        _check_status_map,
        lambda one: dict(sorted(one.policy.status_map.items())),
        _mapping,
    ),
    "order_body": Option(
        "merged|bare",
        "send the order with the config over it, or as it came",
        _one_of("order_body", "merged", "bare"),
        lambda one: one.order_body,
    ),
    "unknown_outcome": Option(
        "hold|resend",
        "what may have been issued: ask you, or send it again",
        _one_of("unknown_outcome", "hold", "resend"),
        lambda one: one.unknown_outcome,
    ),
    "issue_from": Option(
        "now|DATE|all",
        "issue for orders created from then on (UTC)",
        _check_issue_from,
        _issue_from,
    ),
    "shop_urls": Option(
        "shop.example,...",
        "where the shop is: other sites' orders are quarantined",
        _check_shop_urls,
        lambda one: list(one.shop_urls),
        _list,
    ),
    "sub_orders": Option(
        "ask|issue|skip",
        "orders that are a part of another: marketplaces, deposits",
        _one_of("sub_orders", "ask", "issue", "skip"),
        lambda one: one.policy.sub_orders,
    ),
    "unpaid_on_hold": Option(
        "issue|wait",
        "on-hold orders by other methods than bank: at once, or when paid",
        _one_of("unpaid_on_hold", "issue", "wait"),
        lambda one: one.policy.unpaid_on_hold,
    ),
    "zero_total": Option(
        "issue|skip",
        "orders whose total is 0",
        _one_of("zero_total", "issue", "skip"),
        lambda one: one.policy.zero_total,
    ),
    "test_orders": Option(
        "skip|issue",
        "orders paid in a gateway's test mode",
        _one_of("test_orders", "skip", "issue"),
        lambda one: one.policy.test_orders,
    ),
    "invoiced_meta": Option(
        "apollo_invoice_id,...",
        "metadata in which another plugin notes its invoice",
        _check_invoiced_meta,
        lambda one: sorted(one.policy.invoiced_meta),
        _list,
    ),
}
NAMES: Sequence[str] = tuple(OPTIONS)
