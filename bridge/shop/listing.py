"""Lists what lies between two dates, page by page, while the shop changes it.

A page number means something else as soon as an order of an earlier page changes, so pages are asked for by
the date of the last row. Dates have seconds, and one second can have more rows than a page:

1. Rows after a second are asked for, oldest first, and those of the last page's final second come once more:
   they are known by their id and date, and left out.
2. If the dates of a page do not get beyond that second, the next page begins at an offset, with the last row
   of the page before. If it does not begin with a known row, rows before it have left (they changed, and come
   again with their new date), others have moved up, and an earlier offset is asked for.
3. A store that keeps orders as posts sorts by its local time. When clocks are put back, its rows of two hours
   come interleaved. Until three hours after the difference to UTC has changed, 2 applies in place of 1.

What changes meanwhile gets a date after `before`, or comes once more with its new date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Generic, Protocol, TypeVar

from bridge.shop import rows
from bridge.shop.errors import AnswerError

MOST_STEPS_BACK = 50  # in one listing
SECOND = timedelta(seconds=1)
STEADY_AFTER = timedelta(hours=3)  # no zone puts its clocks back by more than two


class _Read(Protocol):
    """What a row is read as."""

    @property
    def id(self) -> int: ...


_R = TypeVar("_R", bound=_Read)


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it came. `size`: how many rows were asked for. `total`: how many there are, if it is told."""

    rows: Sequence[object]
    size: int
    total: int | None


Fetch = Callable[[Mapping[str, str]], Page]


@dataclass(frozen=True, slots=True)
class Listing(Generic[_R]):
    """What is listed: the names of its parameters and of its date, and how a row is read.

    `after` and `before` are exclusive. `status`: the one that all rows must have, if any. `host` is for
    errors.
    """

    host: str
    after_name: str
    before_name: str
    order_by: str
    date: str  # `date_modified` or `date_created`
    read: Callable[[rows.Row, int], _R]
    fields: str
    status: str | None = None

    def pages(
        self, fetch: Fetch, after: datetime, before: datetime | None, query: Mapping[str, str]
    ) -> Iterator[Sequence[_R]]:
        """Pages of rows that are not empty. Raises AnswerError for rows that were not asked for."""
        after, before = _floor(after), None if before is None else _ceiling(before)
        known: dict[tuple[int, datetime | None], datetime | None] = {}
        clock = _LocalClock()
        offset, first_id, steps_back = 0, 0, 0
        while before is None or before - after > SECOND:  # both are exclusive
            page = fetch({**query, **self._query(after, before, offset)})
            read = [self._row(row, number, after, before) for number, row in enumerate(page.rows, 1)]
            if offset and (not read or read[0].key not in known):
                steps_back += 1
                if steps_back > MOST_STEPS_BACK:
                    raise AnswerError(f"{self.host} changes faster than it can be listed: try again later.")
                offset = max(0, offset - page.size + 1)
                first_id = 0
                continue
            self._check_order(read)
            new = [row for row in read if row.key not in known]
            if offset and not new and read[0].value.id == first_id:
                raise AnswerError(f"{self.host} ignores the parameter offset: its rows cannot all be listed.")
            if new:
                yield [row.value for row in new]
            known.update((row.key, row.at) for row in new)
            if _is_last(page, offset):
                return
            first_id = read[0].value.id if read else 0
            for row in read:
                clock.note(row.at, row.offset)
            last = max((row.at for row in read if row.at is not None), default=None)
            if last is not None and last - SECOND > after and clock.is_steady(last):
                after, offset, first_id = last - SECOND, 0, 0
                known = {key: at for key, at in known.items() if at is None or at >= last}
            else:
                offset += page.size - 1

    def _query(self, after: datetime, before: datetime | None, offset: int) -> dict[str, str]:
        query = {
            self.after_name: _written(after),
            "dates_are_gmt": "true",
            "orderby": self.order_by,
            "order": "asc",
            "_fields": self.fields,
        }
        if before is not None:
            query[self.before_name] = _written(before)
        if offset:
            query["offset"] = str(offset)
        return query

    def _row(self, row: object, number: int, after: datetime, before: datetime | None) -> _Row[_R]:
        row_id = rows.id_of(row)
        if row_id is None or not isinstance(row, dict):
            raise AnswerError(f"{self.host} listed a row without an id (row {number} of a page).")
        at = rows.utc(row, f"{self.date}_gmt")
        if at is not None and at <= after:
            raise self._ignored(self.after_name, row_id)
        if at is not None and before is not None and at >= before:
            raise self._ignored(self.before_name, row_id)
        if self.status is not None and rows.text(row, "status") not in {"", self.status}:
            raise self._ignored("status", row_id)
        return _Row(self.read(row, row_id), at, rows.offset(row, self.date))

    def _check_order(self, read: Sequence[_Row[_R]]) -> None:
        """Rows must be sorted, by UTC or by the shop's local time."""
        dated = [row for row in read if row.at is not None]
        is_sorted = _is_sorted([row.at for row in dated if row.at is not None])
        local = [row.at + row.offset for row in dated if row.at is not None and row.offset is not None]
        if not is_sorted and not (len(local) == len(dated) and _is_sorted(local)):
            raise self._ignored("orderby", dated[0].value.id)

    def _ignored(self, name: str, row_id: int) -> AnswerError:
        return AnswerError(
            f"{self.host} ignores the parameter {name} of its listings (seen at {row_id}): a plugin or a "
            "cache changes them, and nothing that it lists can be relied on."
        )


@dataclass(frozen=True, slots=True)
class _Row(Generic[_R]):
    value: _R
    at: datetime | None
    offset: timedelta | None

    @property
    def key(self) -> tuple[int, datetime | None]:
        return self.value.id, self.at


class _LocalClock:
    """The difference of a shop's local time to UTC, by its rows."""

    def __init__(self) -> None:
        self._offset: timedelta | None = None
        self._changed_at: datetime | None = None

    def note(self, at: datetime | None, offset: timedelta | None) -> None:
        """Take the next row into account."""
        if at is None or offset is None:
            return
        if self._offset not in {None, offset}:
            self._changed_at = at if self._changed_at is None else max(at, self._changed_at)
        self._offset = offset

    def is_steady(self, at: datetime) -> bool:
        """Whether all rows that sort after this moment by local time are after it in UTC."""
        return self._changed_at is None or at > self._changed_at + STEADY_AFTER


def _is_last(page: Page, offset: int) -> bool:
    """A short page is the last one, unless the total tells that WooCommerce left out what it cannot load."""
    return len(page.rows) < page.size and (page.total is None or offset + page.size >= page.total)


def _is_sorted(dates: Sequence[datetime]) -> bool:
    return all(earlier <= later for earlier, later in pairwise(dates))


def _floor(date: datetime) -> datetime:
    return date.astimezone(UTC).replace(microsecond=0)


def _ceiling(date: datetime) -> datetime:
    floor = _floor(date)
    return floor if floor == date else floor + SECOND


def _written(date: datetime) -> str:
    return date.astimezone(UTC).replace(tzinfo=None).isoformat()
