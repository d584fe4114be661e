"""The coalescing publisher: publishes deliveries many in a message, and holds up nobody."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from itertools import count

import pytest

from bridge.web.coalescing_publisher import LONGEST_PAUSE, MOST_AT_ONCE, PAUSE, CoalescingPublisher

WITHIN = 10  # seconds in which what is to happen has happened


class Broker:
    """Takes messages, or refuses them, when the test says so."""

    def __init__(self) -> None:
        self.sent: queue.SimpleQueue[Sequence[int]] = queue.SimpleQueue()
        self.asked = threading.Semaphore(0)  # counts the messages that are being sent
        self.answers: queue.SimpleQueue[bool | Exception] = queue.SimpleQueue()
        self.is_up = threading.Event()

    def send(self, ids: Sequence[int]) -> bool:
        self.sent.put(list(ids))
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
        return self.sent.get(timeout=WITHIN)

    def come_up(self) -> None:
        self.is_up.set()
        self.answers.put(True)  # for the message that is waiting, if there is one


@pytest.fixture
def broker() -> Iterator[Broker]:
    broker = Broker()
    yield broker
    broker.come_up()


@pytest.fixture
def publisher(broker: Broker) -> CoalescingPublisher:
    """One whose first message waits for its answer."""
    publisher = CoalescingPublisher(broker.send)
    publisher.publish(1)
    broker.wait_until_asked()
    assert broker.next() == [1]
    return publisher


def test_a_delivery_is_sent() -> None:
    broker = Broker()
    broker.come_up()

    CoalescingPublisher(broker.send).publish(328)

    assert broker.next() == [328]


def test_a_thread_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    broker = Broker()
    broker.come_up()
    publisher = CoalescingPublisher(broker.send)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            publisher.publish(1)
    publisher.publish(2)

    assert broker.next() == [2]


def test_many_deliveries_are_published_together(broker: Broker, publisher: CoalescingPublisher) -> None:
    for delivery_id in range(2, 32):
        publisher.publish(delivery_id)
    broker.come_up()

    assert broker.next() == list(range(2, 32))


def test_the_more_are_published_the_longer_others_are_gathered() -> None:
    broker, asleep, awake = Broker(), threading.Semaphore(0), threading.Semaphore(0)
    broker.come_up()

    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        asleep.release()
        assert awake.acquire(timeout=WITHIN)

    publisher = CoalescingPublisher(broker.send, sleep=sleep)
    publisher.publish(1)
    assert broker.next() == [1]
    assert asleep.acquire(timeout=WITHIN)
    for delivery_id in (2, 3, 4):
        publisher.publish(delivery_id)
    assert broker.sent.empty()
    awake.release()

    assert broker.next() == [2, 3, 4]
    assert asleep.acquire(timeout=WITHIN)
    for delivery_id in range(5, 5 + MOST_AT_ONCE - 1):
        publisher.publish(delivery_id)
    awake.release()

    assert len(broker.next()) == MOST_AT_ONCE - 1
    assert asleep.acquire(timeout=WITHIN)
    awake.release()
    assert pauses == [PAUSE, 3 * PAUSE, LONGEST_PAUSE]


def test_what_one_message_cannot_hold_is_published_without_a_pause() -> None:
    broker, pauses = Broker(), queue.SimpleQueue[float]()
    publisher = CoalescingPublisher(broker.send, sleep=pauses.put)
    publisher.publish(1)
    broker.wait_until_asked()
    for delivery_id in range(2, 3 + MOST_AT_ONCE):
        publisher.publish(delivery_id)
    broker.come_up()

    assert [len(broker.next()) for _ in range(3)] == [1, MOST_AT_ONCE, 1]
    assert [pauses.get(timeout=WITHIN) for _ in range(2)] == [PAUSE, PAUSE]
    assert pauses.empty()


def test_no_message_grows_without_bounds(broker: Broker, publisher: CoalescingPublisher) -> None:
    ids = list(range(2, 2 + 2 * MOST_AT_ONCE + 7))
    for delivery_id in ids:
        publisher.publish(delivery_id)
    broker.come_up()

    batches = [broker.next() for _ in range(3)]

    assert [len(batch) for batch in batches] == [MOST_AT_ONCE, MOST_AT_ONCE, 7]
    assert [delivery_id for batch in batches for delivery_id in batch] == ids


def test_what_many_threads_publish_is_sent_once_each(broker: Broker, publisher: CoalescingPublisher) -> None:
    def publish(first: int) -> None:
        for delivery_id in range(first, first + 25):
            publisher.publish(delivery_id)

    threads = [threading.Thread(target=publish, args=(first,)) for first in range(100, 300, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WITHIN)
    broker.come_up()
    announced: list[int] = []
    while len(announced) < 200:
        announced += broker.next()

    assert sorted(announced) == list(range(100, 300))


def test_many_threads_start_one_thread_that_sends() -> None:
    broker = Broker()
    publisher = CoalescingPublisher(broker.send)
    together = threading.Barrier(8)

    def publish(delivery_id: int) -> None:
        together.wait(timeout=WITHIN)
        publisher.publish(delivery_id)

    threads = [threading.Thread(target=publish, args=(delivery_id,)) for delivery_id in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WITHIN)
    broker.wait_until_asked()
    first = broker.next()

    # A second one would not wait for the answer that the first is waiting for.
    assert not broker.asked.acquire(timeout=0.1)
    broker.come_up()
    announced = list(first)
    while len(announced) < 8:
        announced += broker.next()
    assert sorted(announced) == list(range(8))


def test_nobody_waits_for_a_broker_that_does_not_answer(
    broker: Broker, publisher: CoalescingPublisher
) -> None:
    done = threading.Event()

    def publish_a_lot() -> None:
        for delivery_id in range(2, 1000):
            publisher.publish(delivery_id)
        done.set()

    threading.Thread(target=publish_a_lot, daemon=True).start()

    assert done.wait(WITHIN)
    assert broker.sent.empty()  # the first message is still waiting for its answer


def test_an_outage_drops_what_came_in_and_ends(broker: Broker, publisher: CoalescingPublisher) -> None:
    during_the_outage = range(2, 40)
    for delivery_id in during_the_outage:
        publisher.publish(delivery_id)

    broker.is_up.set()
    broker.answers.put(False)  # the answer to the first message: it was not taken

    announced = _publish_until_sent(broker, publisher)
    assert announced
    assert not set(announced) & {1, *during_the_outage}


def test_a_second_outage_is_survived_like_the_first(broker: Broker, publisher: CoalescingPublisher) -> None:
    broker.answers.put(False)
    second = _publish_until_sent(broker, publisher)
    during_the_second_outage = range(500, 540)
    for delivery_id in during_the_second_outage:
        publisher.publish(delivery_id)

    broker.is_up.set()
    broker.answers.put(False)

    third = _publish_until_sent(broker, publisher, first=5000)
    assert not set(third) & {*second, *during_the_second_outage}


def test_an_error_in_sending_does_not_end_all_sending(broker: Broker, publisher: CoalescingPublisher) -> None:
    broker.is_up.set()
    broker.answers.put(RuntimeError("of a kind that nobody expected"))

    assert _publish_until_sent(broker, publisher)


def _publish_until_sent(broker: Broker, publisher: CoalescingPublisher, first: int = 1000) -> Sequence[int]:
    """Publish deliveries, as a shop goes on sending them, until one is sent."""
    for delivery_id in count(first):
        assert delivery_id < first + 6000, "nothing is sent any more"
        publisher.publish(delivery_id)
        try:
            return broker.sent.get(timeout=0.01)
        except queue.Empty:
            continue
    raise AssertionError


FORK = """
import os
import signal
from bridge.web.coalescing_publisher import CoalescingPublisher

reader, writer = os.pipe()
publisher = CoalescingPublisher(lambda ids: os.write(writer, f"{os.getpid()}:{ids[0]} ".encode()) > 0)
publisher.publish(1)
before = os.read(reader, 100)
child = os.fork()
if child == 0:
    publisher.publish(2)
    signal.pause()
after = os.read(reader, 100)
os.kill(child, 9)
os.waitpid(child, 0)
assert before == f"{os.getpid()}:1 ".encode(), before
assert after == f"{child}:2 ".encode(), after
"""


def test_a_forked_process_publishes_for_itself() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=30)
