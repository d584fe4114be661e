"""The shop: what happens to its orders, and what its webhooks tell of that."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from bridge.sandbox.shop.answers import RestError, encode, invalid_id
from bridge.sandbox.shop.book import Book, Settings
from bridge.sandbox.shop.faults import FaultPlan, Faults
from bridge.sandbox.shop.keys import Keys
from bridge.sandbox.shop.orders import Note, Order, Refund, anonymised, body_of, merged_meta
from bridge.sandbox.shop.webhooks import Webhooks

PAID = frozenset({"processing", "completed"})
UNPAID_METHODS = frozenset({"bacs", "cod", "cheque"})  # processing does not mean that these are paid


class Shop(Book):
    """A shop. Thread-safe; methods raise RestError 404 for an order that does not exist."""

    def __init__(
        self,
        settings: Settings,
        *,
        faults: Faults | None = None,
        clock: Callable[[], float] = time.time,
        senders: int = 1,
    ) -> None:
        """`clock`: seconds since 1970. `senders`: how many threads deliver webhooks at a time."""
        super().__init__(settings, clock)
        self.faults = FaultPlan(faults or Faults())
        self.keys = Keys()
        self.is_silent = False  # whether what happens is told to no webhook
        self.webhooks = Webhooks(
            clock, self.faults, self.payload, lambda: self.settings.home, settings.version, senders=senders
        )

    def close(self) -> None:
        """End the delivery of webhooks."""
        self.webhooks.close()

    def payload(self, topic: str, order_id: int) -> bytes:
        """What a webhook of this topic sends for the order now; an error's body if it cannot be read."""
        if topic == "order.deleted":
            return encode({"id": order_id})
        if self.faults.now.lost_rights:
            message = "Sorry, you cannot view this resource."
            return encode(RestError(403, "woocommerce_rest_cannot_view", message).body())
        try:
            return encode(self.body(order_id))
        except RestError as error:
            return encode(error.body())

    # What happens to orders

    def create(
        self,
        *,
        status: str = "processing",
        payment_method: str = "stripe",
        total: str = "49.99",
        currency: str = "EUR",
        created: float | None = None,
        modified: float | None = None,
        number: str | None = None,
        is_silent: bool = False,
        **written: Any,
    ) -> int:
        """A new order, and its deliveries unless `is_silent`; returns its id.

        `order.created` and `order.updated` are both sent, since the checkout saves twice; for an abandoned
        cart (`checkout-draft`), `order.updated` alone. `created`, `modified`: seconds since 1970, now by
        default. `written`: other properties of its body. Raises ValueError for a total that is no number.
        """
        _money(total)
        moment = int(self.clock() if created is None else created)
        is_paid = status in PAID and payment_method not in UNPAID_METHODS
        with self._lock:
            order = Order(
                id=self._next_id(),
                key=f"wc_order_{secrets.token_urlsafe(10)[:13]}",
                status=status,
                created=moment,
                modified=moment if modified is None else int(modified),
                total=total,
                currency=currency,
                payment_method=payment_method,
                paid=moment if is_paid else None,
                completed=moment if status == "completed" else None,
                number=number,
            )
            self._write(order, written)
            self._orders[order.id] = order
            self._version += 1
        if not is_silent:
            self._announce(order.id, *(() if status == "checkout-draft" else ("created",)), "updated")
        return order.id

    def change_status(self, order_id: int, status: str) -> None:
        """Save another status."""
        self.edit(order_id, status=status)

    def bulk_status(self, order_ids: Iterable[int], status: str) -> None:
        """The bulk action of the list of orders."""
        for order_id in order_ids:
            self.change_status(order_id, status)

    def refund(self, order_id: int, amount: str | None = None, reason: str = "") -> int:
        """Refund an amount, or all that is left, which makes the order `refunded`; returns the refund's id.

        Raises RestError 400 for more than is left, and ValueError for what is no amount.
        """
        with self._lock:
            order = self.get(order_id)
            left = order.rest_to_refund()
            value = left if amount is None else _money(amount)
            if not 0 < value <= left:
                raise RestError(400, "woocommerce_rest_invalid_order_refund", "Invalid refund amount.")
            refund = Refund(self._next_id(), order_id, value, reason, int(self.clock()))
            self._refunds[refund.id] = refund
            order.refunds = (refund, *order.refunds)
            if value == left:
                order.status = "refunded"
            self._touch(order)
        self._announce(order_id, "updated")
        return refund.id

    def delete_refund(self, order_id: int, refund_id: int) -> None:
        """Delete a refund: neither a date moves nor a webhook is sent."""
        with self._lock:
            order = self.get(order_id)
            if self._refunds.pop(refund_id, None) is None:
                raise invalid_id("shop_order_refund")
            order.refunds = tuple(refund for refund in order.refunds if refund.id != refund_id)
            self._version += 1

    def trash(self, order_id: int) -> None:
        """Move the order to the trash: `order.deleted`."""
        with self._lock:
            order = self.get(order_id)
            if order.status == "trash":
                raise RestError(
                    410, "woocommerce_rest_already_trashed", "The order has already been deleted."
                )
            order.before_trash, order.status = order.status, "trash"
            self._touch(order)
        self._announce(order_id, "deleted")

    def untrash(self, order_id: int) -> None:
        """Restore the order with the status it had: `order.restored`."""
        with self._lock:
            order = self.get(order_id)
            order.status, order.before_trash = order.before_trash or "pending", None
            self._touch(order)
        self._announce(order_id, "restored")

    def delete(self, order_id: int) -> None:
        """Delete the order for good, with its refunds: no webhook is sent, and GET answers 404."""
        with self._lock:
            order = self.get(order_id)
            for refund in order.refunds:
                self._refunds.pop(refund.id, None)
            del self._orders[order_id]
            self._version += 1

    def anonymise(self, order_id: int) -> None:
        """Erase the personal data: `order.updated`; status and total stay."""
        with self._lock:
            order = self.get(order_id)
            order.written = anonymised(order)
            self._write_meta(order, [{"key": "_anonymized", "value": "yes"}])
            self._touch(order)
        self._announce(order_id, "updated")

    def edit(
        self,
        order_id: int,
        *,
        status: str | None = None,
        meta_data: Sequence[Mapping[str, object]] = (),
        **properties: Any,
    ) -> None:
        """Save properties of the body, such as `billing` or `total`, or nothing new if none is given.

        `order.updated` is sent unless this leaves the trash. The date moves, but on a posts store (no HPOS)
        with the status alone.
        """
        with self._lock:
            order = self.get(order_id)
            before = order.status
            self._write(order, properties)
            if status is not None:
                self._give_status(order, status)
            if meta_data:
                self._write_meta(order, meta_data)
            self._version += 1
            if self.settings.is_hpos or order.status != before:
                self._touch(order)
        if before == "trash" and status is not None:
            return
        was_draft = before == "checkout-draft" and order.status != before
        self._announce(order_id, "updated", *(("created",) if was_draft else ()))

    def drift(self, count: int) -> None:
        """Save the orders that have lain longest, so that the others move up in a listing by their dates."""
        with self._lock:
            rows = [order for order in self._sorted_by("modified") if order.status != "trash"][:count]
            for order in rows:
                self._touch(order)
        for order in rows:
            self._announce(order.id, "updated")

    def add_note(
        self, order_id: int, text: str, *, is_for_customer: bool = False, author: str = "WooCommerce"
    ) -> Note:
        """Add a note: neither a date moves nor a webhook is sent."""
        with self._lock:
            order = self.get(order_id)
            self._last_note += 1
            note = Note(self._last_note, text, int(self.clock()), is_for_customer, author)
            order.notes = (note, *order.notes)
            return note

    def register_status(self, status: str) -> None:
        """A plugin adds a status."""
        self.statuses = (*self.statuses, status)

    def unregister_status(self, status: str) -> None:
        """The plugin is switched off: orders of its status are in no listing any more."""
        self.statuses = tuple(name for name in self.statuses if name != status)

    def _give_status(self, order: Order, status: str) -> None:
        moment = int(self.clock())
        order.status, order.before_trash = status, None
        is_prepaid = order.payment_method not in UNPAID_METHODS or status == "completed"
        if status in PAID and order.paid is None and is_prepaid:
            order.paid = moment
        if status == "completed" and order.completed is None:
            order.completed = moment

    def _write(self, order: Order, properties: Mapping[str, Any]) -> None:
        """Replace properties of the body; of addresses, the parts that are given."""
        if not properties:
            return
        _money(properties.get("total", order.total))
        body = body_of(order, self.addresses, self.settings.version)
        written = dict(order.written)
        for name, value in properties.items():
            if name in {"total", "currency", "payment_method"}:
                setattr(order, name, value)
            else:
                written[name] = {**body[name], **value} if isinstance(body.get(name), Mapping) else value
        order.written = written

    def _write_meta(self, order: Order, changes: Sequence[Mapping[str, object]]) -> None:
        order.meta = merged_meta(order.meta, changes, order.id * 100 + len(order.meta) + 1)

    def _touch(self, order: Order) -> None:
        order.modified = int(self.clock())
        self._version += 1

    def _announce(self, order_id: int, *events: str) -> None:
        for event in () if self.is_silent else events:
            self.webhooks.announce(f"order.{event}", order_id)


def _money(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except ArithmeticError:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise ValueError(f"{text!r} is no amount of money")
    return amount
