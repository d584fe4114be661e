"""Listings of a shop that changes while it is listed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.shop import AnswerError, Listed
from bridge.shop.listing import Listing, Page
from bridge.shop.rows import ORDER_FIELDS, listed

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@dataclass
class Orders:
    """The dates of a shop's orders by id, listed as WooCommerce does."""

    dates: dict[int, datetime]
    size: int = 5
    zone: ZoneInfo | None = None  # by whose time rows are sorted, as in a posts store
    ignores: str | None = None
    unloadable: set[int] = field(default_factory=set)
    between: Callable[[int], None] = lambda _number: None
    offsets: list[int] = field(default_factory=list)  # that were asked for

    def fetch(self, query: Mapping[str, str]) -> Page:
        self.offsets.append(int(query.get("offset", "0")))
        assert len(self.offsets) < 500, "the listing does not end"
        self.between(len(self.offsets))
        after, before = (
            datetime.fromisoformat(query[f"modified_{name}"]).replace(tzinfo=UTC)
            for name in ("after", "before")
        )
        ids = [
            order_id
            for order_id, at in self.dates.items()
            if (at > after or self.ignores == "modified_after")
            and (at < before or self.ignores == "modified_before")
        ]
        if self.ignores != "orderby":
            ids.sort(key=lambda order_id: (self._local(order_id), order_id))
        start = 0 if self.ignores == "offset" else self.offsets[-1]
        page = [order_id for order_id in ids[start : start + self.size] if order_id not in self.unloadable]
        return Page([self._row(order_id) for order_id in page], self.size, len(ids))

    def _local(self, order_id: int) -> datetime:
        at = self.dates[order_id]
        return at.astimezone(self.zone).replace(tzinfo=None) if self.zone else at.replace(tzinfo=None)

    def _row(self, order_id: int) -> dict[str, Any]:
        return {
            "id": order_id,
            "date_modified": self._local(order_id).isoformat(),
            "date_modified_gmt": self.dates[order_id].replace(tzinfo=None).isoformat(),
        }

    def listed(self, after: datetime, before: datetime) -> Iterator[Sequence[Listed]]:
        listing = Listing(
            "shop.example",
            "modified_after",
            "modified_before",
            "modified",
            "date_modified",
            listed,
            ORDER_FIELDS,
        )
        return listing.pages(self.fetch, after, before, {})

    def all_listed(self) -> list[int]:
        pages = list(self.listed(NOON - timedelta(days=365), NOON + timedelta(days=365)))
        assert all(pages), "no page is empty"
        rows = [(row.id, row.modified) for page in pages for row in page]
        assert len(rows) == len(set(rows)), "a row comes once for each date"
        return [row_id for row_id, _ in rows]


dates = st.integers(0, 6).map(lambda seconds: NOON + seconds * SECOND)
tied_dates = st.integers(0, 1).map(lambda seconds: NOON + seconds * SECOND)


@given(st.lists(dates, max_size=60), st.integers(2, 7))
def test_each_order_is_listed_once_whatever_the_ties(moments: list[datetime], size: int) -> None:
    orders = Orders(dict(enumerate(moments, 1)), size=size)
    assert sorted(orders.all_listed()) == sorted(orders.dates)


@given(st.lists(tied_dates, min_size=30, max_size=60), st.integers(3, 7), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_no_order_is_lost_while_others_change_and_leave(
    moments: list[datetime], size: int, random: Any
) -> None:
    orders = Orders(dict(enumerate(moments, 1)), size=size)
    untouched = set(range(1, len(moments) + 1, 2))
    others = list(set(orders.dates) - untouched)
    random.shuffle(others)

    def change(_: int) -> None:
        for order_id in [others.pop() for _ in range(min(3, len(others)))]:
            if random.random() < 0.5:
                del orders.dates[order_id]
            else:  # later than all there are
                orders.dates[order_id] = NOON + timedelta(hours=1, seconds=random.randrange(3))

    orders.between = change
    listed_ids = orders.all_listed()
    assert untouched <= set(listed_ids)
    assert all(listed_ids.count(order_id) == 1 for order_id in untouched)
    assert set(orders.dates) <= set(listed_ids), "those that changed come with their new date"


@pytest.mark.parametrize("leaving", [[1, 2, 3], [4, 5], [1, 2, 3, 4, 5], [5], list(range(1, 10))])
@pytest.mark.parametrize("before_request", [2, 3, 4, 6])
def test_orders_that_move_up_within_a_second_are_not_skipped(leaving: list[int], before_request: int) -> None:
    orders = Orders(dict.fromkeys(range(1, 31), NOON), size=5)

    def leave(number: int) -> None:
        if number == before_request:
            for order_id in leaving:
                del orders.dates[order_id]

    orders.between = leave
    stay = set(range(1, 31)) - set(leaving)
    assert stay <= set(orders.all_listed())
    assert max(orders.offsets) > 0


def test_bounds_are_exclusive_and_may_have_fractions_of_a_second() -> None:
    orders = Orders({number: NOON + number * SECOND for number in range(6)})
    pages = orders.listed(NOON + SECOND, NOON + 3 * SECOND)
    assert [row.id for page in pages for row in page] == [2]
    half = timedelta(milliseconds=500)
    pages = orders.listed(NOON + SECOND + half, NOON + 3 * SECOND + half)
    assert [row.id for page in pages for row in page] == [2, 3]
    assert list(orders.listed(NOON, NOON + SECOND)) == []
    assert list(orders.listed(NOON + SECOND, NOON)) == []


@given(st.lists(st.integers(0, 180), min_size=20, max_size=80), st.integers(4, 9))
def test_a_store_sorted_by_local_time_is_listed_when_its_clocks_are_put_back(
    minutes: list[int], size: int
) -> None:
    midnight = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)  # clocks go back at 1:00 UTC
    orders = Orders(
        {number: midnight + timedelta(minutes=minute) for number, minute in enumerate(minutes, 1)},
        size=size,
        zone=ZoneInfo("Europe/Ljubljana"),
    )
    assert sorted(orders.all_listed()) == sorted(orders.dates)


@pytest.mark.parametrize("zone", [None, ZoneInfo("Europe/Ljubljana")])
def test_clocks_that_were_put_back_are_left_behind(zone: ZoneInfo | None) -> None:
    midnight = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
    orders = Orders(
        {number: midnight + timedelta(minutes=10 * number) for number in range(1, 200)}, size=10, zone=zone
    )
    assert sorted(orders.all_listed()) == sorted(orders.dates)
    assert orders.offsets[-1] == 0, "it goes by dates again"
    assert (max(orders.offsets) > 0) is (zone is not None)


def test_a_page_that_is_short_because_orders_cannot_be_loaded_is_not_the_last() -> None:
    orders = Orders({number: NOON + number * SECOND for number in range(1, 21)}, unloadable={3, 8, 9})
    assert orders.all_listed() == [number for number in range(1, 21) if number not in {3, 8, 9}]


@pytest.mark.parametrize(
    ("name", "moments"),
    [
        ("modified_after", [NOON, NOON - SECOND]),
        ("modified_before", [NOON, NOON + SECOND]),
        ("orderby", [NOON + SECOND / 2, NOON]),  # the newest first, as WooCommerce lists by itself
        ("offset", [NOON] * 20),
    ],
)
def test_a_shop_that_ignores_a_parameter_is_not_believed(name: str, moments: list[datetime]) -> None:
    orders = Orders(dict(enumerate(moments, 1)), ignores=name)
    with pytest.raises(AnswerError, match=f"ignores the parameter {name}"):
        list(orders.listed(NOON - SECOND, NOON + SECOND))


def test_a_row_with_an_id_and_nothing_else_is_listed() -> None:
    listing = Listing("h", "modified_after", "modified_before", "modified", "date_modified", listed, "id")
    page = Page([{"id": 3}, {"id": 4, "date_modified_gmt": []}], 100, None)
    pages = listing.pages(lambda _: page, NOON, NOON + timedelta(hours=1), {})
    assert [row.id for rows in pages for row in rows] == [3, 4]


@pytest.mark.parametrize("row", [{}, {"id": None}, None, "7", {"id": "seven"}])
def test_a_row_without_an_id_is_told_with_its_place(row: object) -> None:
    listing = Listing("h", "modified_after", "modified_before", "modified", "date_modified", listed, "id")
    page = Page([{"id": 3}, row], 100, None)
    with pytest.raises(AnswerError, match="row 2"):
        list(listing.pages(lambda _: page, NOON, NOON + timedelta(hours=1), {}))


def test_a_row_of_another_status_than_asked_for_is_not_believed() -> None:
    listing = Listing(
        "h", "modified_after", "modified_before", "modified", "date_modified", listed, "id", status="trash"
    )
    page = Page([{"id": 3, "status": "completed"}], 100, None)
    with pytest.raises(AnswerError, match="ignores the parameter status"):
        list(listing.pages(lambda _: page, NOON, None, {"status": "trash"}))
