"""The shop's orders, in memory and behind one lock, and how they are listed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Any, Literal
from zoneinfo import ZoneInfo

from bridge.sandbox.shop.answers import invalid_id
from bridge.sandbox.shop.listing import Page, Selection
from bridge.sandbox.shop.orders import Addresses, Order, Refund, body_of

STATUSES = (
    "pending",
    "processing",
    "on-hold",
    "completed",
    "cancelled",
    "refunded",
    "failed",
    "checkout-draft",
)
FIRST_ID = 328


@dataclass(frozen=True, slots=True)
class Settings:
    """How a shop is set up.

    `home`: its address, without a slash at its end; links, signatures and the webhooks' source follow it.
    `https`: `off`; `known` to WordPress; or `unknown`, where a proxy ends it and WordPress believes in http.
    `is_hpos`: whether orders have tables of their own. `takes_http_callbacks`: whether a key may be approved
    for a callback that is not https, which WooCommerce refuses.
    """

    home: str
    https: Literal["off", "known", "unknown"] = "off"
    has_permalinks: bool = True
    is_hpos: bool = True
    zone: str = "Europe/Ljubljana"
    version: str = "11.0.1"
    takes_http_callbacks: bool = False


class Book:
    """The orders and refunds. Thread-safe; methods raise RestError 404 for an order that does not exist."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        """`clock`: seconds since 1970."""
        self.settings = settings
        self.clock = clock
        self.statuses: tuple[str, ...] = STATUSES
        self._lock = threading.RLock()
        self._orders: dict[int, Order] = {}
        self._refunds: dict[int, Refund] = {}
        self._last_id = FIRST_ID - 1
        self._last_note = 0
        self._version = 0  # of the orders: what was sorted or selected before is stale
        self._sorted: dict[str, tuple[int, list[Order]]] = {}
        self._selected: tuple[int, Selection, list[Order]] | None = None

    @property
    def addresses(self) -> Addresses:
        """Where the shop believes to be."""
        return Addresses(self.settings.home, self.settings.has_permalinks, ZoneInfo(self.settings.zone))

    def set_up(self, **changes: Any) -> None:
        """Change settings, such as `has_permalinks`; raises TypeError for a name that there is none of."""
        with self._lock:
            self.settings = replace(self.settings, **changes)
            self._version += 1

    def __contains__(self, order_id: int) -> bool:
        return order_id in self._orders

    def get(self, order_id: int) -> Order:
        """The order, in whatever status, in the trash, too."""
        order = self._orders.get(order_id)
        if order is None:
            raise invalid_id("shop_order")
        return order

    def ids(self) -> list[int]:
        """The ids of all orders."""
        with self._lock:
            return list(self._orders)

    def body(self, order_id: int) -> dict[str, Any]:
        """The order as the API shows it."""
        with self._lock:
            return body_of(self.get(order_id), self.addresses, self.settings.version)

    def select(self, selection: Selection, page: Page) -> tuple[list[dict[str, Any]], int]:
        """The bodies of a page of the orders that are selected, and how many are on all pages."""
        attribute = {"modified": "modified", "date": "created"}.get(selection.orderby, "id")
        addresses = self.addresses
        with self._lock:
            if self._selected is None or self._selected[:2] != (self._version, selection):
                # By local time, what lies between two moments need not be together.
                window = attribute if self.settings.is_hpos else "id"
                rows = selection.of(self._sorted_by(attribute), window)
                self._selected = (self._version, selection, rows)
            rows = self._selected[2]
            return [
                body_of(order, addresses, self.settings.version)
                for order in rows[page.start : page.start + page.size]
            ], len(rows)

    def refunds(self) -> list[Refund]:
        """All refunds, oldest first."""
        with self._lock:
            return list(self._refunds.values())

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _sorted_by(self, attribute: str) -> list[Order]:
        version, rows = self._sorted.get(attribute, (-1, []))
        if version != self._version:
            # They are nearly sorted as they are kept, by id, and Python sorts that in one pass or two.
            key: Callable[[Order], Any] = attrgetter(attribute, "id")
            if attribute != "id" and not self.settings.is_hpos:
                key = self._by_local_time(attribute)
            rows = sorted(self._orders.values(), key=key)
            self._sorted[attribute] = (self._version, rows)
        return rows

    def _by_local_time(self, attribute: str) -> Callable[[Order], tuple[datetime, int]]:
        """A posts store sorts by the local time: when clocks are put back, two hours are mixed."""
        zone, value = ZoneInfo(self.settings.zone), attrgetter(attribute)
        return lambda order: (datetime.fromtimestamp(value(order), zone).replace(tzinfo=None), order.id)
