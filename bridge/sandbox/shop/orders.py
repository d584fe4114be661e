"""An order, and its body as the REST API and the webhooks show it, byte for byte the same; pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any

TITLES = {"bacs": "Direct bank transfer", "cod": "Cash on delivery", "cheque": "Check payments"}
VAT = Decimal("0.22")
_CENT = Decimal("0.01")
_SYMBOLS = {"EUR": "\u20ac", "USD": "$", "GBP": "\u00a3", "JPY": "\u00a5"}
_ADDRESS = {
    "first_name": "Ana",
    "last_name": "Kova\u010d",
    "company": "",
    "address_1": "Pre\u0161ernova cesta 7",
    "address_2": "",
    "city": "Ljubljana",
    "state": "",
    "postcode": "1000",
    "country": "SI",
}
BILLING: Mapping[str, str] = {**_ADDRESS, "email": "ana.kovac@example.test", "phone": "+386 40 123 456"}
SHIPPING: Mapping[str, str] = {**_ADDRESS, "phone": ""}


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund; `amount` is positive."""

    id: int
    parent_id: int
    amount: Decimal
    reason: str
    created: int


@dataclass(frozen=True, slots=True)
class Note:
    """A note of an order."""

    id: int
    text: str
    created: int
    is_for_customer: bool
    author: str


@dataclass(slots=True)
class Order:
    """An order. Times are seconds since 1970. `written`: properties of the body that replace the usual."""

    id: int
    key: str
    status: str
    created: int
    modified: int
    total: str
    currency: str
    payment_method: str
    paid: int | None = None
    completed: int | None = None
    number: str | None = None
    before_trash: str | None = None
    created_via: str = "checkout"
    refunds: tuple[Refund, ...] = ()
    notes: tuple[Note, ...] = ()
    meta: tuple[Mapping[str, object], ...] = ()
    written: Mapping[str, Any] = field(default_factory=dict)

    def rest_to_refund(self) -> Decimal:
        """What was not refunded yet."""
        return Decimal(self.total) - sum((refund.amount for refund in self.refunds), Decimal(0))


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the shop is by its own account.

    `home`: without a slash at its end. `has_permalinks`: whether links to the API are pretty.
    """

    home: str
    has_permalinks: bool
    zone: tzinfo

    def api(self, route: str) -> str:
        """The link to a route of the API such as `orders/12`."""
        prefix = "/wp-json/wc/v3/" if self.has_permalinks else "/index.php?rest_route=/wc/v3/"
        return f"{self.home}{prefix}{route}"

    def local(self, moment: int | None) -> str | None:
        """A time as the shop's clock shows it, without an offset."""
        return None if moment is None else _text(datetime.fromtimestamp(moment, self.zone))


def gmt(moment: int | None) -> str | None:
    """A time in UTC, without a `Z`."""
    return None if moment is None else _text(datetime.fromtimestamp(moment, UTC))


def body_of(order: Order, addresses: Addresses, version: str) -> dict[str, Any]:
    """The order as API version v3 shows it, its properties in WooCommerce's order."""
    total = Decimal(order.total)
    gross = total.quantize(_CENT)
    net = (gross / (1 + VAT)).quantize(_CENT)
    self_link = addresses.api(f"orders/{order.id}")
    pay = f"{addresses.home}/checkout/order-pay/{order.id}/?pay_for_order=true&key={order.key}"
    body: dict[str, Any] = {
        "id": order.id,
        "parent_id": 0,
        "status": order.status,
        "currency": order.currency,
        "version": version,
        "prices_include_tax": True,
        "date_created": addresses.local(order.created),
        "date_modified": addresses.local(order.modified),
        "discount_total": "0.00",
        "discount_tax": "0.00",
        "shipping_total": "0.00",
        "shipping_tax": "0.00",
        "cart_tax": str(gross - net),
        "total": order.total,
        "total_tax": str(gross - net),
        "customer_id": 0,
        "order_key": order.key,
        "billing": BILLING,
        "shipping": SHIPPING,
        "payment_method": order.payment_method,
        "payment_method_title": TITLES.get(order.payment_method, "Card"),
        "transaction_id": "" if order.paid is None else f"pi_{order.id}",
        "customer_ip_address": "127.0.0.1",
        "customer_user_agent": "Mozilla/5.0 (sandbox)",
        "created_via": order.created_via,
        "customer_note": "",
        "date_completed": addresses.local(order.completed),
        "date_paid": addresses.local(order.paid),
        "cart_hash": "",
        "number": order.number or str(order.id),
        "meta_data": list(order.meta),
        "line_items": [_line(order.id, net, gross - net)],
        "tax_lines": [_tax_line(order.id, gross - net)],
        "shipping_lines": [],
        "fee_lines": [],
        "coupon_lines": [],
        "refunds": [
            {"id": refund.id, "reason": refund.reason, "total": f"-{refund.amount}"}
            for refund in order.refunds
        ],
        "payment_url": pay,
        "is_editable": order.status in {"pending", "on-hold", "checkout-draft"},
        "needs_payment": order.status in {"pending", "failed"} and total > 0,
        "needs_processing": True,
        "date_created_gmt": gmt(order.created),
        "date_modified_gmt": gmt(order.modified),
        "date_completed_gmt": gmt(order.completed),
        "date_paid_gmt": gmt(order.paid),
        "currency_symbol": _SYMBOLS.get(order.currency, order.currency),
        "_links": {
            "self": [
                {
                    "href": self_link,
                    "targetHints": {"allow": ["GET", "POST", "PUT", "PATCH", "DELETE"]},
                }
            ],
            "collection": [{"href": addresses.api("orders")}],
        },
    }
    return {**body, **order.written}


def refund_body(refund: Refund, addresses: Addresses) -> dict[str, Any]:
    """A refund as API version v3 shows it, in `/refunds` and below its order."""
    return {
        "id": refund.id,
        "parent_id": refund.parent_id,
        "date_created": addresses.local(refund.created),
        "date_created_gmt": gmt(refund.created),
        "amount": str(refund.amount),
        "reason": refund.reason,
        "refunded_by": 1,
        "refunded_payment": False,
        "meta_data": [],
        "line_items": [],
        "shipping_lines": [],
        "tax_lines": [],
        "fee_lines": [],
        "_links": {
            "self": [{"href": addresses.api(f"orders/{refund.parent_id}/refunds/{refund.id}")}],
            "up": [{"href": addresses.api(f"orders/{refund.parent_id}")}],
        },
    }


def note_body(note: Note, order_id: int, addresses: Addresses) -> dict[str, Any]:
    """A note as API version v3 shows it."""
    return {
        "id": note.id,
        "author": note.author,
        "date_created": addresses.local(note.created),
        "date_created_gmt": gmt(note.created),
        "note": note.text,
        "customer_note": note.is_for_customer,
        "_links": {
            "self": [{"href": addresses.api(f"orders/{order_id}/notes/{note.id}")}],
            "up": [{"href": addresses.api(f"orders/{order_id}")}],
        },
    }


def merged_meta(
    meta: Sequence[Mapping[str, object]], changes: Sequence[Mapping[str, object]], next_id: int
) -> tuple[Mapping[str, object], ...]:
    """Metadata after a write: an entry with an id or a key that exists is replaced, others are added."""
    merged = list(meta)
    for change in changes:
        at = next(
            (
                index
                for index, entry in enumerate(merged)
                if entry["id"] == change.get("id") or entry["key"] == change.get("key")
            ),
            None,
        )
        if at is None:
            merged.append({"id": next_id, "key": change.get("key", ""), "value": change.get("value", "")})
            next_id += 1
        else:
            merged[at] = {**merged[at], **change, "id": merged[at]["id"]}
    return tuple(merged)


def anonymised(order: Order) -> dict[str, Any]:
    """What the eraser of personal data replaces; what is empty stays so (`WC_Privacy_Erasers`)."""
    fixed = {"state": "", "country": "", "phone": "", "email": "deleted@site.invalid"}
    return {
        **order.written,
        **{
            name: {
                part: fixed.get(part, "[deleted]") if value else ""
                for part, value in order.written.get(name, usual).items()
            }
            for name, usual in (("billing", BILLING), ("shipping", SHIPPING))
        },
        "customer_ip_address": "0.0.0.0",  # noqa: S104
        "customer_user_agent": "[deleted]",
        "transaction_id": "0",
    }


def _line(order_id: int, net: Decimal, tax: Decimal) -> dict[str, object]:
    return {
        "id": order_id * 10,
        "name": 'Lesen stol "Bled" & miza <hrast>',
        "product_id": 10,
        "variation_id": 0,
        "quantity": 1,
        "tax_class": "",
        "subtotal": str(net),
        "subtotal_tax": str(tax),
        "total": str(net),
        "total_tax": str(tax),
        "taxes": [{"id": 1, "total": str(tax), "subtotal": str(tax)}],
        "meta_data": [],
        "sku": "STOL-01",
        "price": float(net),
        "image": {"id": "", "src": ""},
        "parent_name": None,
    }


def _tax_line(order_id: int, tax: Decimal) -> dict[str, object]:
    return {
        "id": order_id * 10 + 1,
        "rate_code": "SI-DDV 22%-1",
        "rate_id": 1,
        "label": "DDV 22%",
        "compound": False,
        "tax_total": str(tax),
        "shipping_tax_total": "0.00",
        "rate_percent": 22,
        "meta_data": [],
    }


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S")
