"""Questions that metrics ask of other servers."""

from __future__ import annotations

import threading
from queue import SimpleQueue

from bridge.telemetry.single_flight import SingleFlight


def test_an_answer_is_told() -> None:
    assert SingleFlight("a number", lambda: 7).answer(within=30) == 7


def test_what_raises_is_no_answer() -> None:
    def ask() -> int:
        raise OSError("a server that is away")

    assert SingleFlight("a number", ask).answer(within=30) is None


def test_a_server_that_hangs_is_asked_by_one_thread_until_it_answers() -> None:
    asked: SimpleQueue[threading.Thread] = SimpleQueue()
    may_answer = threading.Event()

    def ask() -> int:
        asked.put(threading.current_thread())
        may_answer.wait(30)
        return 7

    question = SingleFlight("a number", ask)
    assert question.answer(within=0) is None
    first = asked.get(timeout=30)
    assert question.answer(within=0) is None
    may_answer.set()
    first.join(30)
    assert asked.empty()
    assert question.answer(within=30) == 7
    assert asked.get(timeout=30) is not first  # what was true then may be true no more
