"""Judges whether a delivery is to be processed, as it arrives and once more before it changes anything."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from bridge.issuance import About, Deletion, NotAnOrder, Order, Unreadable, is_foreign, read_delivery
from bridge.ledger import deliveries, stores
from bridge.ledger.deliveries import IGNORED, QUARANTINED, RECEIVED, UNREADABLE
from bridge.ledger.stores import Store


def judged(about: About, shop_urls: Collection[str]) -> tuple[str, str | None]:
    """The state of a delivery on this, and the reason where it is not to be processed.

    What is no order is of no use from wherever it comes. `shop_urls` are the addresses of the store's shop,
    none if they are not known yet.
    """
    match about:
        case NotAnOrder(reason=reason):
            return IGNORED, reason
        case Order() | Deletion() | Unreadable() if is_foreign(about.shop, shop_urls):
            return QUARANTINED, f"it comes from {about.shop}, and the store's shop is {', '.join(shop_urls)}"
        case Unreadable(reason=reason):
            return UNREADABLE, reason
    return RECEIVED, None


def shop_urls_of(connection: Connection, store: Store, about: About) -> Sequence[str]:
    """The addresses of the store's shop. Where none is known, its first order tells, maybe this one."""
    if store.options.shop_urls or not isinstance(about, Order) or not about.shop:
        return store.options.shop_urls
    first = deliveries.of_first_order(connection, store.id)
    known = read_delivery(first.topic, first.body) if first is not None else about
    stores.learn_shop(connection, store.id, known.shop or about.shop)
    return stores.get(connection, store.id).options.shop_urls  # another delivery may have been first
