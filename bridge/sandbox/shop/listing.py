"""Which orders a listing asks for, with WooCommerce's traps; pure functions."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from operator import attrgetter

from bridge.sandbox.shop.answers import invalid_parameter
from bridge.sandbox.shop.orders import Order

NOT_ANY = frozenset({"trash", "checkout-draft", "auto-draft"})  # what `status=any` leaves out
_ORDERINGS = ("date", "id", "include", "title", "slug", "modified")


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows of a selection are asked for."""

    start: int
    size: int
    number: int


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked for, whatever the page. The bounds are seconds since 1970, all of them exclusive."""

    statuses: frozenset[str]
    after: int | None
    before: int | None
    modified_after: int | None
    modified_before: int | None
    include: frozenset[int]
    exclude: frozenset[int]
    orderby: str
    is_descending: bool

    def of(self, orders: Sequence[Order], attribute: str) -> list[Order]:
        """The selected ones of orders that are sorted by this attribute (`created`, `modified`), then id."""
        low, high = self._bounds(attribute)
        key = attrgetter(attribute)
        first = 0 if low is None else bisect_right(orders, low, key=key)
        end = len(orders) if high is None else bisect_left(orders, high, key=key)
        rows = [order for order in orders[first:end] if order.status in self.statuses]
        for other in {"created", "modified"} - {attribute}:
            rows = _within(rows, other, *self._bounds(other))
        if self.include:
            rows = [order for order in rows if order.id in self.include]
        if self.exclude:
            rows = [order for order in rows if order.id not in self.exclude]
        return rows[::-1] if self.is_descending else rows

    def _bounds(self, attribute: str) -> tuple[int | None, int | None]:
        if attribute == "created":
            return self.after, self.before
        if attribute == "modified":
            return self.modified_after, self.modified_before
        return None, None


def read_selection(arguments: Mapping[str, str], registered: Sequence[str], zone: tzinfo) -> Selection:
    """What a query asks for; raises RestError 400 for a bad value. A name that is not known is ignored.

    `registered`: the statuses that WooCommerce or a plugin registers. An order of another status is in no
    listing. `any` beside other statuses means `any`.
    """
    zone = UTC if _boolean(arguments, "dates_are_gmt") else zone
    orderby = _one_of(arguments, "orderby", _ORDERINGS, "date")
    return Selection(
        statuses=_statuses(arguments.get("status", "any"), registered),
        after=_moment(arguments, "after", zone),
        before=_moment(arguments, "before", zone),
        modified_after=_moment(arguments, "modified_after", zone),
        modified_before=_moment(arguments, "modified_before", zone),
        include=_ids(arguments, "include"),
        exclude=_ids(arguments, "exclude"),
        orderby=orderby,
        is_descending=_one_of(arguments, "order", ("asc", "desc"), "desc") == "desc",
    )


def read_page(arguments: Mapping[str, str], *, has_offset: bool = True) -> Page:
    """The page that a query asks for; raises RestError 400 for one that WooCommerce refuses."""
    size = _number(arguments, "per_page", 10, 1, 100)
    number = _number(arguments, "page", 1, 1, None)
    start = (number - 1) * size
    if has_offset and "offset" in arguments:
        start = _number(arguments, "offset", 0, 0, None)
    return Page(start, size, number)


def read_moment(text: str, zone: tzinfo) -> int | None:
    """A date as seconds since 1970, by its own offset or else in this zone; None if it is no date."""
    try:
        moment = datetime.fromisoformat(text.strip().replace(" ", "+"))
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp())


def moment_of(arguments: Mapping[str, str], name: str, zone: tzinfo) -> int | None:
    """The bound that a query gives; raises RestError 400 if it is no date."""
    return _moment(arguments, name, UTC if _boolean(arguments, "dates_are_gmt") else zone)


def _within(rows: list[Order], attribute: str, low: int | None, high: int | None) -> list[Order]:
    if low is None and high is None:
        return rows
    value = attrgetter(attribute)
    return [
        order
        for order in rows
        if (low is None or value(order) > low) and (high is None or value(order) < high)
    ]


def _statuses(text: str, registered: Sequence[str]) -> frozenset[str]:
    allowed = ("any", "trash", "auto-draft", *registered)
    names = [name.strip() for name in text.split(",") if name.strip()]
    for position, name in enumerate(names):
        if name not in allowed:
            message = f"status[{position}] is not one of {', '.join(allowed)}."
            raise invalid_parameter("status", message, "rest_not_in_enum")
    return frozenset(registered) - NOT_ANY if "any" in names or not names else frozenset(names)


def _moment(arguments: Mapping[str, str], name: str, zone: tzinfo) -> int | None:
    if name not in arguments:
        return None
    moment = read_moment(arguments[name], zone)
    if moment is None:
        raise invalid_parameter(name, "Invalid date.", "rest_invalid_date")
    return moment


def _boolean(arguments: Mapping[str, str], name: str) -> bool:
    text = arguments.get(name, "false").lower()
    if text not in {"true", "1", "false", "0", ""}:
        raise invalid_parameter(name, f"{name} is not of type boolean.", "rest_invalid_type")
    return text in {"true", "1"}


def _one_of(arguments: Mapping[str, str], name: str, allowed: Sequence[str], default: str) -> str:
    value = arguments.get(name, default)
    if value not in allowed:
        raise invalid_parameter(name, f"{name} is not one of {', '.join(allowed)}.", "rest_not_in_enum")
    return value


def _number(arguments: Mapping[str, str], name: str, default: int, least: int, most: int | None) -> int:
    text = arguments.get(name, str(default))
    try:
        number = int(text)
    except ValueError:
        raise invalid_parameter(name, f"{name} is not of type integer.", "rest_invalid_type") from None
    if number < least or (most is not None and number > most):
        bounds = (
            f"greater than or equal to {least}"
            if most is None
            else f"between {least} (inclusive) and {most} (inclusive)"
        )
        raise invalid_parameter(name, f"{name} must be {bounds}", "rest_out_of_bounds")
    return number


def _ids(arguments: Mapping[str, str], name: str) -> frozenset[int]:
    ids = set()
    for position, text in enumerate(part for part in arguments.get(name, "").split(",") if part.strip()):
        try:
            ids.add(int(text))
        except ValueError:
            message = f"{name}[{position}] is not of type integer."
            raise invalid_parameter(name, message, "rest_invalid_type") from None
    return frozenset(ids)
