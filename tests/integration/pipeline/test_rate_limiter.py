"""The rate limiter of an account: even, shared by all processes through Redis, and kept alone without one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bridge.db.tables import issuances
from bridge.ledger import store_pauses
from bridge.pipeline.rate_limiter import SLOWEST, RateLimiter
from tests.support.running import RunningBridge
from tests.support.servers import PostgresServer, RedisServer, wait_until
from tests.support.shop import at

ACCOUNT = "0123456789abcdef"
FAR = 1000.0  # seconds; no test waits for a moment, they are only asked for
TICK = 0.05  # seconds by which the clocks of this process and of Redis may differ in the meantime


@pytest.fixture(params=["redis", "alone"])
def make_pace(
    request: pytest.FixtureRequest, redis_server: RedisServer
) -> Iterator[Callable[[float], RateLimiter]]:
    """Makes the rate limiter of another process each time; alone, of the only one."""
    if request.param == "redis":
        url = redis_server.new_url()
        yield lambda rate: RateLimiter(rate, broker_url=url)
    else:
        made: dict[float, RateLimiter] = {}
        yield lambda rate: made.setdefault(rate, RateLimiter(rate, broker_url="amqp://nowhere"))


def moments(rate_limiter: Callable[[], RateLimiter], number: int) -> list[float]:
    """When each of so many requests may go, in seconds from now."""
    started = time.monotonic()
    found = []
    for _ in range(number):
        wait = rate_limiter().take(ACCOUNT, within=FAR)
        assert wait is not None
        found.append(time.monotonic() - started + wait)
    return found


def about(seconds: float, *, since: float) -> Any:
    """So many, but for what has gone by since then: what the machine takes is no part of the rate_limiter."""
    return pytest.approx(seconds, abs=time.monotonic() - since + TICK)


def test_requests_go_one_interval_apart_whichever_process_sends_them(
    make_pace: Callable[[float], RateLimiter],
) -> None:
    began = time.monotonic()
    found = moments(lambda: make_pace(0.5), 20)
    for first, second in pairwise(found):
        assert second - first == about(2, since=began)


def test_sixteen_threads_are_given_sixteen_moments(make_pace: Callable[[float], RateLimiter]) -> None:
    rate_limiter = make_pace(0.1)
    with ThreadPoolExecutor(16) as threads:
        waits = list(threads.map(lambda _: rate_limiter.take(ACCOUNT, within=FAR), range(16)))
    assert [round(wait or 0, -1) for wait in sorted(wait for wait in waits if wait is not None)] == [
        10 * position for position in range(16)
    ]


def test_what_is_further_away_than_one_would_wait_is_not_reserved(
    make_pace: Callable[[float], RateLimiter],
) -> None:
    began = time.monotonic()
    rate_limiter = make_pace(0.1)
    assert rate_limiter.take(ACCOUNT, within=0) == 0
    for _ in range(5):
        assert rate_limiter.take(ACCOUNT, within=1) is None
        assert not rate_limiter.wait(ACCOUNT, within=1)
    assert rate_limiter.take(ACCOUNT, within=FAR) == about(10, since=began)


def test_a_moment_that_is_given_back_is_the_next_ones(make_pace: Callable[[float], RateLimiter]) -> None:
    began = time.monotonic()
    rate_limiter = make_pace(0.1)
    rate_limiter.take(ACCOUNT, within=FAR)
    rate_limiter.take(ACCOUNT, within=FAR)
    rate_limiter.release(ACCOUNT)
    assert rate_limiter.take(ACCOUNT, within=FAR) == about(10, since=began)


def test_accounts_do_not_wait_for_each_other(make_pace: Callable[[float], RateLimiter]) -> None:
    rate_limiter = make_pace(0.1)
    moments(lambda: rate_limiter, 5)
    assert rate_limiter.take("another", within=0) == 0


def test_a_429_stops_the_account_as_long_as_it_says_and_halves_its_pace(
    make_pace: Callable[[float], RateLimiter],
) -> None:
    began = time.monotonic()
    make_pace(0.5).slow_down(ACCOUNT, retry_after=30)
    first, second, third = moments(lambda: make_pace(0.5), 3)
    assert first == about(30, since=began)
    assert second - first == about(4, since=began)
    assert third - second == about(4, since=began)


def test_a_crowd_that_is_answered_429_together_counts_once(make_pace: Callable[[float], RateLimiter]) -> None:
    began = time.monotonic()
    for _ in range(10):
        make_pace(0.5).slow_down(ACCOUNT, retry_after=None)
    more = int(time.monotonic() - began)  # that count, if the crowd took longer than a second to come
    first, second = moments(lambda: make_pace(0.5), 2)
    slack = time.monotonic() - began + TICK
    assert 4 - slack <= second - first <= 4 * 2**more + slack


def test_an_account_gets_no_slower_than_the_slowest(redis_server: RedisServer) -> None:
    began = time.monotonic()
    url = redis_server.new_url()
    rate_limiter = RateLimiter(10, broker_url=url)
    with redis_server.client() as client:
        client.select(int(url.rpartition("/")[2]))
        for _ in range(10):
            rate_limiter.slow_down(ACCOUNT, retry_after=0)
            client.delete(f"spacebridge:pace:{{{ACCOUNT}}}:slowed")  # as if a second had passed
    rate_limiter.take(ACCOUNT, within=FAR)
    assert rate_limiter.take(ACCOUNT, within=FAR) == about(SLOWEST / 10, since=began)


@pytest.mark.parametrize("step", [300, 86_400])
def test_a_redis_clock_that_was_set_back_does_not_stop_an_account(
    redis_server: RedisServer, step: float
) -> None:
    url = redis_server.new_url()
    with redis_server.client() as client:
        client.select(int(url.rpartition("/")[2]))
        client.set(f"spacebridge:pace:{{{ACCOUNT}}}:moment", time.time() + step)
    assert RateLimiter(1, broker_url=url).take(ACCOUNT, within=0) == 0


@pytest.mark.parametrize("retry_after", [0, 5])
def test_what_a_slow_account_gives_back_is_what_it_took(
    make_pace: Callable[[float], RateLimiter], retry_after: float
) -> None:
    began = time.monotonic()
    rate_limiter = make_pace(0.1)
    rate_limiter.slow_down(ACCOUNT, retry_after=retry_after)
    rate_limiter.take(ACCOUNT, within=FAR)
    rate_limiter.take(ACCOUNT, within=FAR)
    rate_limiter.release(ACCOUNT)
    assert rate_limiter.take(ACCOUNT, within=FAR) == about(retry_after + 20, since=began)


def test_a_broker_behind_a_socket_keeps_the_pace_of_all_processes(tmp_path: Path) -> None:
    began = time.monotonic()
    with RedisServer(socket=tmp_path / "broker.sock") as server:
        url = f"redis+socket://{server.socket}"
        assert RateLimiter(0.1, broker_url=url).take(ACCOUNT, within=0) == 0
        assert RateLimiter(0.1, broker_url=url).take(ACCOUNT, within=FAR) == about(10, since=began)


def test_celerys_own_parameters_in_the_brokers_address_do_no_harm(redis_server: RedisServer) -> None:
    began = time.monotonic()
    url = f"redis://127.0.0.1:{redis_server.port}/?virtual_host=/900&visibility_timeout=9"
    assert RateLimiter(0.1, broker_url=url).take(ACCOUNT, within=0) == 0
    other_process = RateLimiter(0.1, broker_url=f"redis://127.0.0.1:{redis_server.port}/900")
    assert other_process.take(ACCOUNT, within=FAR) == about(10, since=began)


def test_a_flushed_redis_costs_the_account_nothing(redis_server: RedisServer) -> None:
    began = time.monotonic()
    rate_limiter = RateLimiter(0.1, broker_url=redis_server.new_url())
    moments(lambda: rate_limiter, 3)
    with redis_server.client() as client:
        client.flushall()
        client.script_flush()
    assert rate_limiter.take(ACCOUNT, within=0) == 0
    assert rate_limiter.take(ACCOUNT, within=FAR) == about(10, since=began)


def test_while_redis_is_away_a_process_keeps_its_own_pace() -> None:
    began = time.monotonic()
    with RedisServer() as server:
        rate_limiter = RateLimiter(0.1, broker_url=server.new_url())
        moments(lambda: rate_limiter, 2)
        server.kill()
        assert rate_limiter.take(ACCOUNT, within=0) == 0
        assert rate_limiter.take(ACCOUNT, within=FAR) == about(10, since=began)


def set_paused(bridge: RunningBridge, name: str, *, paused: bool) -> None:
    store_id = bridge.store(name).id
    with bridge.ledger.write() as connection:
        if paused:
            store_pauses.pause(connection, store_id, reason="", now=datetime.now(UTC), next_probe_at=None)
        else:
            store_pauses.resume(connection, store_id, datetime.now(UTC), by_operator=True)


def test_two_workers_send_at_the_pace_of_one_account_and_are_never_answered_429(
    redis_server: RedisServer, postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with RunningBridge(
        tmp_path_factory.mktemp("two"),
        database_url=postgres_server.new_database("two_workers"),
        broker_url=redis_server.new_url(),
        sandbox_options=["--rate-limit", "100"],
        workers=2,
    ) as bridge:
        woocommerce = bridge.add_store("shop")
        bridge.wait_for_config("shop")
        set_paused(bridge, "shop", paused=True)
        for number in range(1, 201):
            order = at(1, status="processing", id=number, order_key=f"wc_order_{number}")
            assert bridge.deliver("shop", json.dumps(order).encode()).status_code == 200
        wait_until(lambda: bridge.count(issuances, "due") == 200, "200 due invoices")
        set_paused(bridge, "shop", paused=False)
        bridge.wait_until_settled()
        assert bridge.issued(woocommerce) == {number: ["invoice"] for number in range(1, 201)}
        assert bridge.sandbox()["counts"]["rate_limited"] == 0
        times = sorted(datetime.fromisoformat(one["issuedAt"]) for one in bridge.sandbox()["documents"])
        assert (times[-1] - times[0]).total_seconds() > 199 / 50 - 1
