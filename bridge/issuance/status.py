"""What WooCommerce's order statuses mean to the bridge, and which of two snapshots is the newer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum

from bridge.issuance.order import Order


class Standing(IntEnum):
    """How far along its life an order is; a higher one wins among snapshots of the same second."""

    NOT_YET_AN_ORDER = 0
    UNKNOWN = 1  # a custom status that is neither mapped nor paid
    PENDING = 2
    ON_HOLD = 3  # received, unpaid
    PROCESSING = 4  # received, and paid or payable on delivery
    COMPLETED = 5
    DEAD = 6


STANDARD_STATUSES: Mapping[str, Standing] = {
    "checkout-draft": Standing.NOT_YET_AN_ORDER,
    "auto-draft": Standing.NOT_YET_AN_ORDER,
    "draft": Standing.NOT_YET_AN_ORDER,
    "new": Standing.NOT_YET_AN_ORDER,
    "pending": Standing.PENDING,
    "on-hold": Standing.ON_HOLD,
    "processing": Standing.PROCESSING,
    "completed": Standing.COMPLETED,
    "cancelled": Standing.DEAD,
    "failed": Standing.DEAD,
    "refunded": Standing.DEAD,
    "trash": Standing.DEAD,
}


def standing(order: Order, status_map: Mapping[str, str]) -> Standing:
    """Where the order stands; `status_map` gives a store's custom statuses a standard one each."""
    status = standard_status(order, status_map)
    if status in STANDARD_STATUSES:
        return STANDARD_STATUSES[status]
    return Standing.PROCESSING if order.has_date_paid else Standing.UNKNOWN


def standard_status(order: Order, status_map: Mapping[str, str]) -> str:
    """The order's status, or the one that a custom status is mapped to; a custom one that is not as it is."""
    if order.status in STANDARD_STATUSES:
        return order.status
    return status_map.get(order.status, order.status)


def is_newer(modified: datetime, reached: Standing, than_modified: datetime, than_reached: Standing) -> bool:
    """Whether a snapshot replaces the known one.

    `date_modified_gmt` has a resolution of one second. Within a second the one further along wins,
    and of two that are level, the one that arrived last.
    """
    return (modified, reached) >= (than_modified, than_reached)
