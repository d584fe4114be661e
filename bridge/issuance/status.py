"""What the statuses of orders mean to the bridge, and which of two snapshots is newer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from bridge.issuance.order import Order, Timekeeping


class OrderStage(IntEnum):
    """How far an order has come; within one second, the snapshot with the higher stage is newer."""

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
# Custom statuses whose names say that the money went back, or may.
_DEAD_WORDS = ("chargeback", "charge-back", "dispute", "fraud")
_DEAD_BEGINNING = "refund"


def stage_of(order: Order, status_map: Mapping[str, str]) -> OrderStage:
    """The order's stage; `status_map` gives a standard status for each custom one.

    A date of payment proves nothing about an unmapped status: chargebacks have one, too.
    """
    status = standard_status(order, status_map)
    if status in STANDARD_STATUSES:
        return STANDARD_STATUSES[status]
    name = status.lower()
    is_dead = name.startswith(_DEAD_BEGINNING) or any(word in name for word in _DEAD_WORDS)
    return OrderStage.DEAD if is_dead else OrderStage.UNKNOWN


def standard_status(order: Order, status_map: Mapping[str, str]) -> str:
    """The order's status, or the standard one that it is mapped to."""
    if order.status in STANDARD_STATUSES:
        return order.status
    return status_map.get(order.status, order.status)


@dataclass(frozen=True, slots=True)
class Place:
    """What orders the snapshots of an order. `arrival` is the place in the ledger's sequence."""

    modified: datetime
    timekeeping: Timekeeping
    stage: OrderStage
    arrival: int


def is_newer(place: Place, other: Place) -> bool:
    """Whether a snapshot replaces another.

    1. The later `date_modified_gmt` wins. It has a resolution of one second.
    2. Within a second, the higher stage wins.
    3. At the same stage, the later arrival wins. It alone decides if the two times cannot be compared: one is
       local and the other is not, or one is not believed.
    """
    if _are_comparable(place, other):
        return (place.modified, place.stage, place.arrival) >= (other.modified, other.stage, other.arrival)
    return place.arrival >= other.arrival


def was_saved_later(place: Place, other: Place) -> bool:
    """Whether the shop saved a snapshot after another: by its times if they compare, else by arrival."""
    if _are_comparable(place, other):
        return place.modified > other.modified
    return place.arrival > other.arrival


def _are_comparable(place: Place, other: Place) -> bool:
    return place.timekeeping is other.timekeeping and place.timekeeping is not Timekeeping.NONE
