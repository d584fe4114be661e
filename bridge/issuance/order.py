"""An order as one delivery describes it, and the other contents that a delivery can have: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum

NO_SUM = "0"  # paid back
_LOOKS_LIKE_BANK = ("bank", "transfer", "prepay", "vorkasse", "sepa", "bacs", "überweisung", "ueberweisung")


class Timekeeping(StrEnum):
    """Which other times the time of a snapshot's last modification can be compared with."""

    UTC = "utc"
    LOCAL = "local"  # the shop's own time, whose offset is not known: only with other local times
    NONE = "none"  # with none: it lies after its own arrival


@dataclass(frozen=True, slots=True)
class Details:
    """What the decision needs of an order beside the fields that every list shows.

    `created` is None if the delivery does not say; `created_is_local`: it is in the shop's own time.
    `paid_back` is the sum of the refunds; `parent_id` is 0 for an order that is no sub-order. `invoiced_by`
    is the metadata in which other plugins note their invoices. `lines` and `customer` are digests, which are
    equal if an invoice would have the same content.
    """

    timekeeping: Timekeeping = Timekeeping.UTC
    created: datetime | None = None
    created_is_local: bool = False
    payment_title: str = ""
    parent_id: int = 0
    paid_back: str = NO_SUM
    is_test: bool = False
    is_anonymized: bool = False
    invoiced_by: Mapping[str, str] = field(default_factory=dict)
    lines: str = ""
    customer: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """What the decision needs of an order, as one delivery describes it.

    `order_key` is empty for an imported order. `total` is the string that WooCommerce sent; `modified` has a
    resolution of one second. `shop` is the address of the site that the signed body names, or empty.
    """

    resource_id: int
    order_key: str
    number: str
    status: str
    payment_method: str
    total: str
    currency: str
    modified: datetime
    has_date_paid: bool
    has_refunds: bool
    details: Details = field(default_factory=Details)
    shop: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Deletion:
    """The order was moved to the trash. WooCommerce sends its id and nothing else, not even when.

    `shop` comes from a header that is not signed.
    """

    resource_id: int
    shop: str = ""


@dataclass(frozen=True, slots=True)
class NotAnOrder:
    """A delivery that the bridge ignores; `reason` is a phrase for the operator."""

    reason: str
    resource_id: int | None = None
    shop: str = ""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A delivery that looks like an order and cannot be read as one: it waits for an operator."""

    reason: str
    resource_id: int | None = None
    shop: str = ""


def looks_like_bank_payment(order: Order) -> bool:
    """Whether the method's id or title has a word that bank payments have."""
    text = f"{order.payment_method} {order.details.payment_title}".casefold()
    return any(word in text for word in _LOOKS_LIKE_BANK)


def decimal(amount: str) -> Decimal | None:
    """The amount as a number, or None if it is no number: `300` and `300.00` are the same amount."""
    try:
        number = Decimal(amount)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def printable(text: str) -> str:
    """`text` for a log line or a column: short, and without control characters."""
    clean = "".join(character if character.isprintable() else "?" for character in text[:60])
    return clean or "(none)"
