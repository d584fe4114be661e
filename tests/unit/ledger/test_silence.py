"""Silences by the rhythm of a store: nights and small shops are none, webhooks that are off are."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from bridge.ledger.silence import (
    CREATED,
    HISTORY,
    LOOKBACK,
    UPDATED,
    USUAL_HOURS,
    Arrivals,
    Hours,
    Silence,
    find,
)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def hours_between(since: datetime, until: datetime) -> Iterator[datetime]:
    while since < until:
        yield since
        since += HOUR


def arrivals(at: Iterable[datetime]) -> Hours:
    """Deliveries at these moments, in any order."""
    found: dict[datetime, Arrivals] = {}
    for moment in sorted(at):
        hour = moment.replace(minute=0, second=0, microsecond=0)
        number = found[hour].number if hour in found else 0
        found[hour] = Arrivals(number + 1, moment)
    return found


def in_hours(is_open: Callable[[datetime], bool], until: datetime, *, number: int = 1) -> Hours:
    """Deliveries in each hour that the shop is open in, for six weeks."""
    return {
        hour: Arrivals(number, hour + HOUR / 2)
        for hour in hours_between(until - timedelta(weeks=6), until)
        if is_open(hour)
    }


def around_the_clock(_: datetime) -> bool:
    return True


def in_office_hours(hour: datetime) -> bool:
    return hour.weekday() < 5 and 8 <= hour.hour < 17


def once_a_day(hour: datetime) -> bool:
    return hour.hour == 10


def topics(silences: Iterable[Silence]) -> list[str]:
    return [silence.topic for silence in silences]


@pytest.mark.parametrize("is_open", [around_the_clock, in_office_hours, once_a_day])
def test_a_silence_begins_when_fourteen_usual_hours_have_passed(
    is_open: Callable[[datetime], bool],
) -> None:
    hours = {CREATED: in_hours(is_open, MONDAY)}
    last = max(hours[CREATED])
    usual = [hour for hour in hours_between(MONDAY, MONDAY + 4 * timedelta(weeks=1)) if is_open(hour)]
    fourteenth = usual[int(USUAL_HOURS) - 1]
    assert find(hours, fourteenth + HOUR - timedelta(seconds=1)) == []
    [silence] = find(hours, fourteenth + HOUR)
    assert silence == Silence(CREATED, last + HOUR / 2, USUAL_HOURS)


def test_a_silence_stays_one_for_as_long_as_it_lasts() -> None:
    hours = {UPDATED: in_hours(in_office_hours, MONDAY)}
    for days in range(3, int((LOOKBACK - HISTORY) / DAY)):
        assert topics(find(hours, MONDAY + days * DAY)) == [UPDATED], days


def test_nights_weekends_and_a_holiday_of_a_shop_with_office_hours_are_no_silence() -> None:
    hours = in_hours(in_office_hours, MONDAY)
    friday = max(hours)
    assert friday.weekday() == 4
    for now in hours_between(friday, MONDAY + DAY):  # the Monday is a holiday
        assert find({CREATED: hours}, now) == [], now


@pytest.mark.parametrize("orders_a_day", [2, 3, 30])
def test_a_shop_whose_orders_come_by_chance_is_never_told_of(orders_a_day: int) -> None:
    """Months of a shop that sleeps at night, looked at five times a day. Updates come in bunches."""
    chance = random.Random(orders_a_day)
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    created: list[datetime] = []
    for hour in hours_between(begin, begin + 120 * DAY):
        rate = orders_a_day / 16 if 7 <= hour.hour < 23 else 0.0
        moment = chance.expovariate(rate) if rate else 2.0
        while moment < 1.0:
            created.append(hour + moment * HOUR)
            moment += chance.expovariate(rate)
    updated = [
        moment + chance.uniform(0, 3) * HOUR for moment in created for _ in range(chance.randrange(1, 6))
    ]
    whole = {CREATED: arrivals(created), UPDATED: arrivals(updated)}
    for days in range(120):
        for now in (begin + days * DAY + clock * HOUR for clock in (0, 7, 9, 14, 20)):
            known = {
                topic: {hour: of for hour, of in hours.items() if now - LOOKBACK < hour < now}
                for topic, hours in whole.items()
            }
            assert find(known, now) == [], now


def test_many_deliveries_at_a_time_count_as_one_hour() -> None:
    """Somebody completes a day's forty orders at once: a day without that is no silence of forty."""
    hours = {UPDATED: in_hours(once_a_day, MONDAY, number=40)}
    assert find(hours, MONDAY + 5 * DAY) == []


@pytest.mark.parametrize(("days", "expected"), [(27, []), (28, [CREATED])])
def test_nothing_is_said_with_too_little_history(days: int, expected: list[str]) -> None:
    hours = {CREATED: arrivals(MONDAY - day * DAY for day in range(days))}
    assert topics(find(hours, MONDAY + 20 * DAY)) == expected


def test_nothing_is_said_where_nothing_came_or_by_a_clock_that_was_set_back() -> None:
    assert find({}, MONDAY) == []
    assert find({CREATED: {}, UPDATED: {}}, MONDAY) == []
    assert find({CREATED: in_hours(around_the_clock, MONDAY)}, MONDAY - 3 * DAY) == []


def updates_that_cease(
    created_a_day: int, *, since: datetime, until: datetime
) -> Mapping[str, Mapping[datetime, Arrivals]]:
    """A shop whose orders are updated in the hour after they were created, until then."""
    created = [
        day + (9 + number) * HOUR
        for day in (MONDAY + offset * DAY for offset in range(-42, 42))
        for number in range(created_a_day)
        if day + (9 + number) * HOUR < until
    ]
    updated = [moment + HOUR for moment in created if moment + HOUR < since]
    return {CREATED: arrivals(created), UPDATED: arrivals(updated)}


def test_updates_that_cease_while_orders_are_created_are_told_after_ten_orders() -> None:
    now = MONDAY + 2 * DAY + 13 * HOUR
    hours = updates_that_cease(5, since=MONDAY, until=now)
    [silence] = find(hours, now)
    assert (silence.topic, silence.orders) == (UPDATED, 12)
    assert silence.since == MONDAY - DAY + 14 * HOUR
    assert silence.usual_hours < USUAL_HOURS
    early = MONDAY + DAY + 15 * HOUR
    assert find(updates_that_cease(5, since=MONDAY, until=early), early) == []  # after nine


def test_created_orders_of_the_last_two_hours_may_still_be_updated() -> None:
    hours = {topic: dict(of) for topic, of in updates_that_cease(8, since=MONDAY, until=MONDAY).items()}
    monday_noon = MONDAY + 12 * HOUR
    hours[CREATED][monday_noon] = Arrivals(200, monday_noon)
    assert find(hours, monday_noon + 3 * HOUR - timedelta(seconds=1)) == []


def test_orders_that_are_imported_at_night_are_no_silence_of_updates() -> None:
    hours = {topic: dict(of) for topic, of in updates_that_cease(8, since=MONDAY, until=MONDAY).items()}
    hours[CREATED][MONDAY] = Arrivals(1000, MONDAY)
    assert find(hours, MONDAY + 6 * HOUR) == []


def test_a_shop_that_has_always_made_many_orders_without_an_update_is_measured_by_that() -> None:
    """Orders by bank transfer: updates come in one hour of the week."""
    created = in_hours(lambda hour: hour.hour % 2 == 0, MONDAY + 5 * DAY)
    updated = in_hours(lambda hour: hour.weekday() == 0 and 6 <= hour.hour < 14, MONDAY + 5 * DAY)
    assert find({CREATED: created, UPDATED: updated}, MONDAY + 5 * DAY) == []
