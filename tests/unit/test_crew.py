"""How the work that a message brings is shared with threads that have nothing to do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery.worker import state
from hypothesis import given
from hypothesis import strategies as st

from worker.crew import Crew, parts


@given(items=st.lists(st.integers()), most=st.integers(1, 40))
def test_parts_hold_each_item_once_and_are_of_about_the_same_length(items: list[int], most: int) -> None:
    found = parts(items, most=most)
    assert sorted(one for part in found for one in part) == sorted(items)
    assert len(found) == min(most, len(items))
    lengths = [len(part) for part in found]
    assert max(lengths, default=0) - min(lengths, default=0) <= 1


class Request:
    """A message that a worker has taken from the broker: what Celery keeps an account of."""

    def __init__(self, number: int) -> None:
        self.id = f"request {number}"


@pytest.fixture
def requests() -> Iterator[list[Request]]:
    """As many messages as a test wants, which wait for a thread or keep one busy."""
    taken: list[Request] = []
    yield taken
    for one in taken:
        state.task_ready(one)


def take(requests: list[Request], number: int) -> None:
    for _ in range(number):
        requests.append(Request(len(requests)))
        state.task_reserved(requests[-1])


@pytest.mark.parametrize(
    ("taken", "idle", "number"),
    [
        pytest.param(1, 3, 4, id="only the caller's"),
        pytest.param(2, 2, 3, id="another one, too"),
        pytest.param(4, 0, 1, id="one for everybody"),
        pytest.param(6, 0, 1, id="some that wait"),
    ],
)
def test_there_is_a_part_for_the_caller_and_one_for_each_idle_thread(
    requests: list[Request], taken: int, idle: int, number: int
) -> None:
    crew = Crew(4)
    take(requests, taken)
    assert crew.idle() == idle
    shared = crew.share(range(10))
    assert len(shared) == number
    assert sorted(one for part in shared for one in part) == list(range(10))


def test_a_thread_whose_message_is_done_is_idle_again(requests: list[Request]) -> None:
    crew = Crew(2)
    take(requests, 2)
    assert crew.idle() == 0
    state.task_ready(requests.pop())
    assert crew.idle() == 1


def test_a_process_that_has_no_threads_shares_nothing(requests: list[Request]) -> None:
    take(requests, 1)
    assert (Crew().idle(), Crew().share([7, 8])) == (0, [[7, 8]])


def test_no_part_is_empty_but_the_callers_where_there_is_nothing(requests: list[Request]) -> None:
    crew = Crew(32)
    take(requests, 1)
    assert crew.share([]) == [[]]
    assert crew.share([7]) == [[7]]
    assert crew.share([7, 8]) == [[7], [8]]
