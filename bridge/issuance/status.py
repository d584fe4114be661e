"""What WooCommerce's order statuses mean to the bridge, and which of two snapshots is the newer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from bridge.issuance.order import Order, Timekeeping


class OrderStage(IntEnum):
    """How far along its life an order is; a higher one wins among snapshots of the same second."""

    NOT_YET_AN_ORDER = 0
    UNKNOWN = 1  # a custom status that is not mapped
    PENDING = 2
    ON_HOLD = 3  # received, unpaid
    PROCESSING = 4  # received, and paid or payable on delivery
    COMPLETED = 5
    DEAD = 6


STANDARD_STATUSES: Mapping[str, OrderStage] = {
    "checkout-draft": OrderStage.NOT_YET_AN_ORDER,
    "auto-draft": OrderStage.NOT_YET_AN_ORDER,
    "draft": OrderStage.NOT_YET_AN_ORDER,
    "new": OrderStage.NOT_YET_AN_ORDER,
    "pending": OrderStage.PENDING,
    "on-hold": OrderStage.ON_HOLD,
    "processing": OrderStage.PROCESSING,
    "completed": OrderStage.COMPLETED,
    "cancelled": OrderStage.DEAD,
    "failed": OrderStage.DEAD,
    "refunded": OrderStage.DEAD,
    "trash": OrderStage.DEAD,
}
# Custom statuses of which the name alone says that the money went back, or may.
_DEAD_WORDS = ("chargeback", "charge-back", "dispute", "fraud")
_DEAD_BEGINNING = "refund"


def stage_of(order: Order, status_map: Mapping[str, str]) -> OrderStage:
    """Where the order stands; `status_map` gives a store's custom statuses a standard one each.

    That an order of an unmapped status was paid says nothing: chargebacks were, too.
    """
    status = standard_status(order, status_map)
    if status in STANDARD_STATUSES:
        return STANDARD_STATUSES[status]
    name = status.lower()
    is_dead = name.startswith(_DEAD_BEGINNING) or any(word in name for word in _DEAD_WORDS)
    return OrderStage.DEAD if is_dead else OrderStage.UNKNOWN


def standard_status(order: Order, status_map: Mapping[str, str]) -> str:
    """The order's status, or the one that a custom status is mapped to; a custom one that is not as it is."""
    if order.status in STANDARD_STATUSES:
        return order.status
    return status_map.get(order.status, order.status)


@dataclass(frozen=True, slots=True)
class Place:
    """A snapshot's place among those of its order. `arrival` is its place in the ledger's sequence."""

    modified: datetime
    timekeeping: Timekeeping
    stage: OrderStage
    arrival: int


def is_newer(one: Place, other: Place) -> bool:
    """Whether a snapshot replaces another.

    `date_modified_gmt` orders them. It has a resolution of one second: within a second the one further along
    wins, and of two that are level, the one that arrived last. Where one of the two times is the shop's own,
    and the other is not, or one of them cannot be believed, only the arrival is left.
    """
    if _are_comparable(one, other):
        return (one.modified, one.stage, one.arrival) >= (other.modified, other.stage, other.arrival)
    return one.arrival >= other.arrival


def was_saved_later(one: Place, other: Place) -> bool:
    """Whether the shop saved a snapshot after another: by its own word or, where that fails, by arrival."""
    if _are_comparable(one, other):
        return one.modified > other.modified
    return one.arrival > other.arrival


def _are_comparable(one: Place, other: Place) -> bool:
    return one.timekeeping is other.timekeeping and one.timekeeping is not Timekeeping.NONE
