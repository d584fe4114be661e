"""The schedule: who runs the duties, when each of them runs, and what becomes of what they find."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
import redis
import structlog

from bridge.broker import FORWARD_STORES, PROCESS_DELIVERIES, REFRESH_CONFIGS, TaskPublisher, make_celery
from bridge.db.leader_lock import LeaderLock
from bridge.maintenance.duties import DUTIES
from bridge.maintenance.duty import Duty
from bridge.pipeline.context import Context
from bridge.pipeline.pending_work import PendingWork
from tests.support.servers import RedisServer, free_port, wait_until
from tests.support.shop import Shop
from worker.schedule import DELIVERIES_A_MESSAGE, LONG_BACKLOG, Schedule

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
NO_BROKER = "redis://127.0.0.1:{}/0"


class Counted:
    """A duty that counts its runs, and does something in each."""

    def __init__(self, act: Callable[[int], PendingWork | None] = lambda run: None) -> None:
        self.runs = 0
        self._act = act

    def __call__(self, context: Context) -> PendingWork:
        self.runs += 1
        return self._act(self.runs) or PendingWork()


@contextmanager
def scheduled(shop: Shop, url: str, *duties: Duty, broker_url: str = "") -> Iterator[Schedule]:
    publisher = TaskPublisher(make_celery(broker_url or NO_BROKER.format(free_port())))
    schedule = Schedule(duties, shop.context, publisher, LeaderLock(url))
    schedule.start()
    try:
        yield schedule
    finally:
        schedule.close()


def test_duties_run_again_and_again_in_the_process_that_leads(shop: Shop, database_url: str) -> None:
    first, second = Counted(), Counted()
    with scheduled(shop, database_url, Duty("first", 0.01, first)) as leading:
        wait_until(lambda: first.runs > 2, "runs of the leader")
        with structlog.testing.capture_logs() as logs, scheduled(shop, database_url, Duty("s", 0.01, second)):
            wait_until(lambda: bool(logs), "one that stands by")
            assert logs[0]["event"] == "another schedule runs; standing by"
            assert second.runs == 0
            leading.close()
            wait_until(lambda: second.runs > 2, "runs of the next leader")
            done = first.runs
        assert first.runs == done


@ON_SQLITE
def test_a_duty_that_fails_or_takes_long_keeps_no_other_from_running(shop: Shop, database_url: str) -> None:
    is_over = threading.Event()

    def fail(run: int) -> None:
        raise ValueError("no good")

    def take_long(run: int) -> None:
        is_over.wait(60)

    failing, slow, other = Counted(fail), Counted(take_long), Counted()
    duties = [Duty("failing", 0.01, failing), Duty("slow", 0.01, slow), Duty("other", 0.01, other)]
    with structlog.testing.capture_logs() as logs, scheduled(shop, database_url, *duties):
        wait_until(lambda: failing.runs > 2 and other.runs > 2 and slow.runs == 1, "runs of the others")
        is_over.set()
        wait_until(lambda: slow.runs > 2, "more of the slow one")
    failed = [line for line in logs if line["event"] == "failed; the sweep tries again"]
    assert {line["duty"] for line in failed} == {"failing"}


@ON_SQLITE
def test_a_duty_with_more_to_do_runs_again_at_once(shop: Shop, database_url: str) -> None:
    busy = Counted(lambda run: PendingWork(has_more=run < 5))
    with scheduled(shop, database_url, Duty("busy", 3600, busy)):
        wait_until(lambda: busy.runs == 5, "all of its runs")


@ON_SQLITE
def test_closing_waits_for_the_run_under_way(shop: Shop, database_url: str) -> None:
    has_begun, goes_on, has_ended = threading.Event(), threading.Event(), threading.Event()

    def take_long(run: int) -> None:
        has_begun.set()
        goes_on.wait(60)
        has_ended.set()

    with scheduled(shop, database_url, Duty("slow", 0.01, Counted(take_long))) as schedule:
        assert has_begun.wait(60)
        closing = threading.Thread(target=schedule.close)
        closing.start()
        closing.join(0.2)
        assert closing.is_alive()
        goes_on.set()
        closing.join(60)
        assert has_ended.is_set()


def test_what_dead_workers_left_is_rescued_without_a_broker(shop: Shop, database_url: str) -> None:
    shop.claim(shop.paid(1), lease=40)
    shop.clock.advance(seconds=60)
    with scheduled(shop, database_url, *DUTIES):
        wait_until(lambda: shop.states() == {"invoice": "held"}, "what its lease has ended for")


def messages(url: str) -> Sequence[tuple[str, Sequence[int]]]:
    """The tasks that wait in the queue and the ids that each names, the first message's first."""
    with redis.Redis.from_url(url) as client:
        waiting = [json.loads(one) for one in reversed(client.lrange("spacebridge", 0, -1))]
    bodies = [json.loads(base64.b64decode(one["body"])) for one in waiting]
    return [(one["headers"]["task"], body[0][0]) for one, body in zip(waiting, bodies, strict=True)]


@ON_SQLITE
def test_what_a_duty_finds_is_announced_in_messages_that_workers_can_share(
    shop: Shop, database_url: str, redis_server: RedisServer
) -> None:
    deliveries = list(range(1, 2 * DELIVERIES_A_MESSAGE + 2))
    found = PendingWork(deliveries=deliveries, due_stores=list(range(1, 251)), configs=[7, 8])
    finding = Counted(lambda run: found if run == 1 else None)
    url = redis_server.new_url()
    with scheduled(shop, database_url, Duty("finding", 0.01, finding), broker_url=url):
        wait_until(lambda: finding.runs > 1, "the first run")
    sent = messages(url)
    assert [ids for task, ids in sent if task == REFRESH_CONFIGS] == [[7], [8]]
    processed = [ids for task, ids in sent if task == PROCESS_DELIVERIES]
    assert [len(ids) for ids in processed] == [25, 25, 1]
    assert [one for ids in processed for one in ids] == deliveries
    of_stores = [ids for task, ids in sent if task == FORWARD_STORES]
    assert {len(ids) for ids in of_stores} == {2, 3}
    assert sorted(one for ids in of_stores for one in ids) == list(range(1, 251))


@ON_SQLITE
def test_while_many_messages_wait_no_doubles_are_sent(
    shop: Shop, database_url: str, redis_server: RedisServer
) -> None:
    url = redis_server.new_url()
    publisher = TaskPublisher(make_celery(url))
    for number in range(LONG_BACKLOG):
        publisher.deliveries([number])
    finding = Counted(lambda run: PendingWork(deliveries=[1]))
    with scheduled(shop, database_url, Duty("finding", 0.01, finding), broker_url=url):
        wait_until(lambda: finding.runs > 2, "several runs")
    assert len(messages(url)) == LONG_BACKLOG
