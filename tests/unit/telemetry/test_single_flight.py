"""SingleFlight: what metrics ask other servers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue

from bridge.telemetry.single_flight import SingleFlight


def test_the_result_is_returned() -> None:
    assert SingleFlight("a number", lambda: 7).result(timeout=30) == 7


def test_an_error_is_no_result() -> None:
    def ask() -> int:
        raise OSError("a server that is away")

    assert SingleFlight("a number", ask).result(timeout=30) is None


def test_a_result_that_is_kept_is_not_asked_for_again_and_an_error_is() -> None:
    answers: Iterator[int | Exception] = iter([OSError("a server that is away"), 7, 8])

    def ask() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    flight = SingleFlight("a number", ask, keep=3600)
    assert [flight.result(timeout=30) for _ in range(4)] == [None, 7, 7, 7]
    flight = SingleFlight("a number", ask)
    assert flight.result(timeout=30) == 8


def test_a_server_that_hangs_is_asked_by_one_thread_until_it_answers() -> None:
    asked: SimpleQueue[threading.Thread] = SimpleQueue()
    may_answer = threading.Event()

    def ask() -> int:
        asked.put(threading.current_thread())
        may_answer.wait(30)
        return 7

    flight = SingleFlight("a number", ask)
    assert flight.result(timeout=0) is None
    first = asked.get(timeout=30)
    assert flight.result(timeout=0) is None
    may_answer.set()
    first.join(30)
    assert asked.empty()
    assert flight.result(timeout=30) == 7
    assert asked.get(timeout=30) is not first  # what was true then may be true no more
