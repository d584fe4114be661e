"""Which order a thread forwards next, and how many threads a store gets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from bridge.ledger.due import Due
from bridge.pipeline.store_queues import REFILL, TURN, Lane, Lanes

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Queue:
    """A store's queue, of so many issuances, and the places from which it was read."""

    def __init__(self, length: int) -> None:
        self.entries = [Due(NOON + timedelta(seconds=number), number) for number in range(length)]
        self.reads: list[int | None] = []

    def fetch(self, after: Due | None, limit: int) -> Sequence[Due]:
        self.reads.append(after.id if after else None)
        following = [one for one in self.entries if after is None or one.id > after.id]
        return following[:limit]


class Clock:
    """A clock that the test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lanes(clock: Clock) -> Lanes:
    return Lanes(4, clock=clock)


def rest(lane: Lane, queue: Queue) -> Iterator[int]:
    while (found := lane.next(queue.fetch)) is not None:
        yield found


def test_a_lane_goes_through_the_whole_queue_and_takes_each_once(lanes: Lanes) -> None:
    queue = Queue(3 * REFILL + 5)
    with lanes.enter(1) as lane:
        assert lane is not None
        assert list(rest(lane, queue)) == list(range(3 * REFILL + 5))


def test_two_lanes_of_a_store_are_never_given_the_same(lanes: Lanes) -> None:
    queue = Queue(10)
    with lanes.enter(1) as one, lanes.enter(1) as other:
        assert one is not None
        assert other is not None
        taken = [lane.next(queue.fetch) for lane in [one, other] * 5]
    assert taken == list(range(10))


def test_a_store_has_so_many_lanes_and_no_more_whatever_other_stores_have(lanes: Lanes) -> None:
    with ExitStack() as stack:
        for _ in range(4):
            assert stack.enter_context(lanes.enter(1)) is not None
        assert stack.enter_context(lanes.enter(1)) is None
        assert stack.enter_context(lanes.enter(2)) is not None
    with lanes.enter(1) as lane:
        assert lane is not None


def test_once_all_lanes_have_ended_the_queue_is_read_from_its_start(lanes: Lanes) -> None:
    queue = Queue(3)
    for _ in range(2):
        with lanes.enter(1) as lane:
            assert lane is not None
            assert list(rest(lane, queue)) == [0, 1, 2]
    assert queue.reads == [None, 2, None, 2]


def test_what_falls_due_before_the_place_is_come_upon_after_a_while(lanes: Lanes, clock: Clock) -> None:
    queue = Queue(3)
    with lanes.enter(1) as lane:
        assert lane is not None
        assert list(rest(lane, queue)) == [0, 1, 2]
        queue.entries = [Due(NOON, 1)]
        assert lane.next(queue.fetch) is None
        clock.now += TURN
        assert lane.next(queue.fetch) == 1


@pytest.mark.parametrize(("length", "called"), [(1, 0), (2, 1), (3, 2), (4, 3), (100, 3)])
def test_a_lane_calls_as_many_more_as_there_is_work_for(lanes: Lanes, length: int, called: int) -> None:
    queue = Queue(length)
    with lanes.enter(1) as lane:
        assert lane is not None
        lane.next(queue.fetch)  # which leaves one less to do
        assert lane.call(99) == called


def test_lanes_that_were_called_and_have_not_come_yet_are_not_called_again(lanes: Lanes) -> None:
    queue = Queue(50)
    with lanes.enter(1) as one:
        assert one is not None
        one.next(queue.fetch)
        assert (one.call(99), one.call(99)) == (3, 0)
        with lanes.enter(1) as other:
            assert other is not None
            assert other.call(99) == 0


def test_a_lane_calls_no_more_than_it_is_told_to_and_the_rest_later(lanes: Lanes) -> None:
    queue = Queue(50)
    with lanes.enter(1) as lane:
        assert lane is not None
        lane.next(queue.fetch)
        assert [lane.call(at_most) for at_most in (0, 2, 2, 2)] == [0, 2, 1, 0]


def test_what_has_just_fallen_due_is_taken_before_the_queue_is_read(lanes: Lanes) -> None:
    queue = Queue(3)
    with lanes.enter(1, [71, 72]) as lane:
        assert lane is not None
        assert [lane.next(queue.fetch) for _ in range(2)] == [71, 72]
        assert queue.reads == []
        assert list(rest(lane, queue)) == [0, 1, 2]


def test_what_has_just_fallen_due_is_shared_by_the_stores_lanes_and_by_no_others(lanes: Lanes) -> None:
    queue = Queue(0)
    with lanes.enter(1, [71, 72]) as one, lanes.enter(1, [73]) as other, lanes.enter(2, [81]) as elsewhere:
        assert one is not None
        assert other is not None
        assert elsewhere is not None
        assert one.call(99) == 2
        assert [lane.next(queue.fetch) for lane in (other, one, one, other)] == [71, 72, 73, None]
        assert [elsewhere.next(queue.fetch) for _ in range(2)] == [81, None]


def test_what_has_just_fallen_due_is_left_to_the_lanes_of_a_store_that_has_all_it_may(lanes: Lanes) -> None:
    queue = Queue(0)
    with ExitStack() as stack:
        first = stack.enter_context(lanes.enter(1, [71]))
        for _ in range(3):
            assert stack.enter_context(lanes.enter(1)) is not None
        assert stack.enter_context(lanes.enter(1, [72])) is None
        assert first is not None
        assert list(rest(first, queue)) == [71, 72]


def test_a_turn_ends(lanes: Lanes, clock: Clock) -> None:
    with lanes.enter(1) as lane:
        assert lane is not None
        assert not lane.is_over
        clock.now += TURN
        assert lane.is_over


def test_a_lane_that_ends_in_an_error_leaves_its_place_to_another(lanes: Lanes) -> None:
    for _ in range(10):
        with pytest.raises(LookupError), lanes.enter(1):
            raise LookupError
    with lanes.enter(1) as lane:
        assert lane is not None
