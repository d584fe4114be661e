"""How the work that a message brings is shared with threads that have nothing to do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from celery.worker import state
from hypothesis import given
from hypothesis import strategies as st

from tests.servers import wait_until
from worker.thread_pool import Crew, parts


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
        self.name = "spacebridge.test"


@pytest.fixture
def requests() -> Iterator[list[Request]]:
    """As many messages as a test wants, each of which keeps a thread busy."""
    taken: list[Request] = []
    yield taken
    for one in taken:
        state.task_ready(one)


def take(requests: list[Request], number: int) -> None:
    for _ in range(number):
        requests.append(Request(len(requests)))
        state.task_reserved(requests[-1])
        state.task_accepted(requests[-1])


@pytest.mark.parametrize(
    ("taken", "idle", "number"),
    [
        pytest.param(1, 3, 4, id="only the caller's"),
        pytest.param(2, 2, 3, id="another one, too"),
        pytest.param(4, 0, 1, id="one for everybody"),
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


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def test_as_many_are_handed_work_as_are_idle_and_no_more(
    requests: list[Request], executor: ThreadPoolExecutor
) -> None:
    crew, go_on = Crew(3, executor), threading.Event()
    take(requests, 1)
    assert [crew.hand(go_on.wait) for _ in range(4)] == [True, True, False, False]
    assert crew.idle() == 0
    go_on.set()
    wait_until(lambda: crew.idle() == 2, "threads that have done what they were handed")


def test_a_thread_whose_work_fails_is_idle_again(executor: ThreadPoolExecutor) -> None:
    crew = Crew(1, executor)
    assert crew.hand(lambda: 1 / 0)
    wait_until(lambda: crew.idle() == 1, "an idle thread")


def test_a_worker_that_stops_takes_no_more_work(executor: ThreadPoolExecutor) -> None:
    crew = Crew(2, executor)
    executor.shutdown()
    before = crew.idle()
    assert not crew.hand(lambda: None)
    assert crew.idle() == before


def test_a_process_that_has_no_threads_hands_nothing_on() -> None:
    assert not Crew().hand(lambda: None)


def test_what_no_thread_has_taken_yet_awaits_one_whatever_celery_knows_of_it() -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()

    def work() -> None:
        begun.release()
        go_on.wait()

    with ThreadPoolExecutor(2) as executor:
        crew = Crew(3, executor)
        for _ in range(2):
            executor.submit(work)
            assert begun.acquire(timeout=10)
        assert (crew.is_awaited(), crew.idle()) == (False, 3)
        executor.submit(work)
        assert (crew.is_awaited(), crew.idle()) == (True, 2)
        go_on.set()


def test_a_process_that_cannot_tell_whether_it_is_awaited_takes_it_that_it_is() -> None:
    assert Crew().is_awaited()


def test_a_crew_that_stops_is_handed_nothing(executor: ThreadPoolExecutor) -> None:
    crew = Crew(2, executor)
    crew.stop()
    assert crew.is_stopping
    assert not crew.hand(lambda: None)
