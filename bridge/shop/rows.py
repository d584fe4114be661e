"""Reads what a shop lists. What is not certain is left out; an id is enough for a row."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from bridge.shop.models import Listed, Note, Refund, Webhook

ORDER_FIELDS = (
    "id,status,total,currency,number,refunds,date_created,date_created_gmt,date_modified,date_modified_gmt"
)
REFUND_FIELDS = "id,parent_id,amount,date_created,date_created_gmt"
_MAX_TEXT = 200  # characters

Row = Mapping[str, object]


def id_of(row: object) -> int | None:
    """The id of a row; None if it has none."""
    if not isinstance(row, dict):
        return None
    return _whole_number(row.get("id"))


def listed(row: Row, row_id: int) -> Listed:
    """A row of a listing of orders."""
    return Listed(
        id=row_id,
        modified=utc(row, "date_modified_gmt"),
        created=utc(row, "date_created_gmt"),
        status=text(row, "status"),
        total=text(row, "total"),
        currency=text(row, "currency"),
        refunded=_sum_of(row.get("refunds")),
        number=text(row, "number"),
    )


def refund(row: Row, row_id: int) -> Refund:
    """A row of a listing of refunds."""
    return Refund(
        id=row_id,
        parent_id=_whole_number(row.get("parent_id")) or 0,
        amount=text(row, "amount").removeprefix("-"),
        created=utc(row, "date_created_gmt"),
    )


def webhook(row: Row, row_id: int) -> Webhook:
    """A webhook."""
    return Webhook(
        id=row_id,
        name=text(row, "name"),
        status=text(row, "status"),
        topic=text(row, "topic"),
        delivery_url=text(row, "delivery_url", limit=2000),
        api_version=text(row, "api_version"),
        modified=utc(row, "date_modified_gmt"),
        created=utc(row, "date_created_gmt"),
    )


def note(row: Row, row_id: int) -> Note:
    """A note of an order."""
    return Note(
        id=row_id,
        text=text(row, "note", limit=10_000),
        author=text(row, "author"),
        is_for_customer=row.get("customer_note") is True,
        created=utc(row, "date_created_gmt"),
    )


def text(row: Row, name: str, *, limit: int = _MAX_TEXT) -> str:
    """A value as text; empty if it is neither text nor a number."""
    value = row.get(name)
    is_readable = isinstance(value, str | int | float) and not isinstance(value, bool)
    return str(value)[:limit] if is_readable else ""


def utc(row: Row, name: str) -> datetime | None:
    """A date of a field that ends in `_gmt`, which WooCommerce writes without an offset."""
    value = row.get(name)
    try:
        date = datetime.fromisoformat(value) if isinstance(value, str) else None
        if date is None:
            return None
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def offset(row: Row, name: str) -> timedelta | None:
    """How far the shop's local time was ahead of UTC at this date (`name` without `_gmt`)."""
    local, at = utc(row, name), utc(row, f"{name}_gmt")
    return None if local is None or at is None else local - at


def _whole_number(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _sum_of(refunds: object) -> str:
    """The sum of an order's refunds, whose totals are negative."""
    total = Decimal(0)
    for each in refunds if isinstance(refunds, list) else []:
        try:
            total += abs(Decimal(str(each.get("total")))) if isinstance(each, dict) else 0
        except ArithmeticError:
            continue
    return str(total) if total.is_finite() else "0"
