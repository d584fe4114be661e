"""The notifier: announces deliveries many at a time, and holds up nobody."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from itertools import count

import pytest

from bridge.web.notifier import LONGEST_PAUSE, MOST_AT_ONCE, PAUSE, Notifier

WITHIN = 10  # seconds in which what is to happen has happened


class Broker:
    """Takes announcements, or refuses them, when the test says so."""

    def __init__(self) -> None:
        self.announced: queue.SimpleQueue[Sequence[int]] = queue.SimpleQueue()
        self.asked = threading.Semaphore(0)  # counts the announcements that have begun
        self.answers: queue.SimpleQueue[bool | Exception] = queue.SimpleQueue()
        self.is_up = threading.Event()

    def announce(self, ids: Sequence[int]) -> bool:
        self.announced.put(list(ids))
        self.asked.release()
        if self.is_up.is_set():
            return True
        answer = self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def wait_until_asked(self) -> None:
        assert self.asked.acquire(timeout=WITHIN)

    def next(self) -> Sequence[int]:
        return self.announced.get(timeout=WITHIN)

    def come_up(self) -> None:
        self.is_up.set()
        self.answers.put(True)  # for the announcement that is waiting, if there is one


@pytest.fixture
def broker() -> Iterator[Broker]:
    broker = Broker()
    yield broker
    broker.come_up()


@pytest.fixture
def notifier(broker: Broker) -> Notifier:
    """One whose first announcement waits for its answer."""
    notifier = Notifier(broker.announce)
    notifier.notify(1)
    broker.wait_until_asked()
    assert broker.next() == [1]
    return notifier


def test_a_delivery_is_announced() -> None:
    broker = Broker()
    broker.come_up()

    Notifier(broker.announce).notify(328)

    assert broker.next() == [328]


def test_a_thread_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    broker = Broker()
    broker.come_up()
    notifier = Notifier(broker.announce)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            notifier.notify(1)
    notifier.notify(2)

    assert broker.next() == [2]


def test_many_deliveries_are_announced_together(broker: Broker, notifier: Notifier) -> None:
    for delivery_id in range(2, 32):
        notifier.notify(delivery_id)
    broker.come_up()

    assert broker.next() == list(range(2, 32))


def test_the_more_are_announced_the_longer_others_are_gathered() -> None:
    broker, asleep, awake = Broker(), threading.Semaphore(0), threading.Semaphore(0)
    broker.come_up()

    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        asleep.release()
        assert awake.acquire(timeout=WITHIN)

    notifier = Notifier(broker.announce, sleep=sleep)
    notifier.notify(1)
    assert broker.next() == [1]
    assert asleep.acquire(timeout=WITHIN)
    for delivery_id in (2, 3, 4):
        notifier.notify(delivery_id)
    assert broker.announced.empty()
    awake.release()

    assert broker.next() == [2, 3, 4]
    assert asleep.acquire(timeout=WITHIN)
    for delivery_id in range(5, 5 + MOST_AT_ONCE - 1):
        notifier.notify(delivery_id)
    awake.release()

    assert len(broker.next()) == MOST_AT_ONCE - 1
    assert asleep.acquire(timeout=WITHIN)
    awake.release()
    assert pauses == [PAUSE, 3 * PAUSE, LONGEST_PAUSE]


def test_what_one_announcement_cannot_hold_is_announced_without_a_pause() -> None:
    broker, pauses = Broker(), queue.SimpleQueue[float]()
    notifier = Notifier(broker.announce, sleep=pauses.put)
    notifier.notify(1)
    broker.wait_until_asked()
    for delivery_id in range(2, 3 + MOST_AT_ONCE):
        notifier.notify(delivery_id)
    broker.come_up()

    assert [len(broker.next()) for _ in range(3)] == [1, MOST_AT_ONCE, 1]
    assert [pauses.get(timeout=WITHIN) for _ in range(2)] == [PAUSE, PAUSE]
    assert pauses.empty()


def test_no_announcement_grows_without_bounds(broker: Broker, notifier: Notifier) -> None:
    ids = list(range(2, 2 + 2 * MOST_AT_ONCE + 7))
    for delivery_id in ids:
        notifier.notify(delivery_id)
    broker.come_up()

    batches = [broker.next() for _ in range(3)]

    assert [len(batch) for batch in batches] == [MOST_AT_ONCE, MOST_AT_ONCE, 7]
    assert [delivery_id for batch in batches for delivery_id in batch] == ids


def test_what_many_threads_notify_is_announced_once_each(broker: Broker, notifier: Notifier) -> None:
    def notify(first: int) -> None:
        for delivery_id in range(first, first + 25):
            notifier.notify(delivery_id)

    threads = [threading.Thread(target=notify, args=(first,)) for first in range(100, 300, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WITHIN)
    broker.come_up()
    announced: list[int] = []
    while len(announced) < 200:
        announced += broker.next()

    assert sorted(announced) == list(range(100, 300))


def test_many_threads_start_one_announcer() -> None:
    broker = Broker()
    notifier = Notifier(broker.announce)
    together = threading.Barrier(8)

    def notify(delivery_id: int) -> None:
        together.wait(timeout=WITHIN)
        notifier.notify(delivery_id)

    threads = [threading.Thread(target=notify, args=(delivery_id,)) for delivery_id in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WITHIN)
    broker.wait_until_asked()
    first = broker.next()

    # A second announcer would not wait for the answer that the first is waiting for.
    assert not broker.asked.acquire(timeout=0.1)
    broker.come_up()
    announced = list(first)
    while len(announced) < 8:
        announced += broker.next()
    assert sorted(announced) == list(range(8))


def test_nobody_waits_for_a_broker_that_does_not_answer(broker: Broker, notifier: Notifier) -> None:
    done = threading.Event()

    def notify_a_lot() -> None:
        for delivery_id in range(2, 1000):
            notifier.notify(delivery_id)
        done.set()

    threading.Thread(target=notify_a_lot, daemon=True).start()

    assert done.wait(WITHIN)
    assert broker.announced.empty()  # the first announcement is still waiting for its answer


def test_an_outage_drops_what_came_in_and_ends(broker: Broker, notifier: Notifier) -> None:
    during_the_outage = range(2, 40)
    for delivery_id in during_the_outage:
        notifier.notify(delivery_id)

    broker.is_up.set()
    broker.answers.put(False)  # the answer to the first announcement: it was not taken

    announced = _notify_until_announced(broker, notifier)
    assert announced
    assert not set(announced) & {1, *during_the_outage}


def test_a_second_outage_is_survived_like_the_first(broker: Broker, notifier: Notifier) -> None:
    broker.answers.put(False)
    second = _notify_until_announced(broker, notifier)
    during_the_second_outage = range(500, 540)
    for delivery_id in during_the_second_outage:
        notifier.notify(delivery_id)

    broker.is_up.set()
    broker.answers.put(False)

    third = _notify_until_announced(broker, notifier, first=5000)
    assert not set(third) & {*second, *during_the_second_outage}


def test_an_error_in_an_announcement_does_not_end_all_announcements(
    broker: Broker, notifier: Notifier
) -> None:
    broker.is_up.set()
    broker.answers.put(RuntimeError("of a kind that nobody expected"))

    assert _notify_until_announced(broker, notifier)


def _notify_until_announced(broker: Broker, notifier: Notifier, first: int = 1000) -> Sequence[int]:
    """Notify of deliveries, as a shop goes on doing, until one is announced."""
    for delivery_id in count(first):
        assert delivery_id < first + 6000, "nothing is announced any more"
        notifier.notify(delivery_id)
        try:
            return broker.announced.get(timeout=0.01)
        except queue.Empty:
            continue
    raise AssertionError


FORK = """
import os
import signal
from bridge.web.notifier import Notifier

reader, writer = os.pipe()
notifier = Notifier(lambda ids: os.write(writer, f"{os.getpid()}:{ids[0]} ".encode()) > 0)
notifier.notify(1)
before = os.read(reader, 100)
child = os.fork()
if child == 0:
    notifier.notify(2)
    signal.pause()
after = os.read(reader, 100)
os.kill(child, 9)
os.waitpid(child, 0)
assert before == f"{os.getpid()}:1 ".encode(), before
assert after == f"{child}:2 ".encode(), after
"""


def test_a_forked_process_announces_for_itself() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=30)
