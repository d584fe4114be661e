"""What the ledger keeps of an order as a delivery describes it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from bridge.issuance import Order, Timekeeping, read_delivery
from bridge.ledger.deliveries import Delivery
from bridge.ledger.orders import KnownOrder
from bridge.ledger.stores import Store

# A modification that lies further after its arrival is that of a shop whose clock is ahead. It is more than
# what the clocks of receivers may differ by.
CLOCK_TOLERANCE = timedelta(minutes=1)
_NO_INVOICE = {"0", "no", "false"}


def snapshot_of(order: Order, delivery: Delivery, store: Store) -> Order:
    """The order as its delivery describes it, for this store.

    Its time of modification is not believed where it lies after the arrival. Of its metadata, what the store
    asks for is kept.
    """
    details = order.details
    timekeeping = details.timekeeping
    if timekeeping is Timekeeping.UTC and order.modified > delivery.received_at + CLOCK_TOLERANCE:
        timekeeping = Timekeeping.NONE
    invoiced_by = {
        key: value
        for key, value in details.invoiced_by.items()
        if key in store.options.invoiced_meta and value.lower() not in _NO_INVOICE
    }
    return replace(order, details=replace(details, timekeeping=timekeeping, invoiced_by=invoiced_by))


def reread(order: KnownOrder, delivery: Delivery, store: Store) -> KnownOrder:
    """The order, with what its newest delivery says by the store's present rules.

    Where its body is there no more, what was kept of it stays.
    """
    about = read_delivery(delivery.topic, delivery.body)
    if not isinstance(about, Order):
        return order
    return replace(order, snapshot=snapshot_of(about, delivery, store))
