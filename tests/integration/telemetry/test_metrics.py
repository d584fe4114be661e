"""Metrics: what receiver and worker count, over all their processes, and what ledger and broker hold."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.multiprocess import MultiProcessCollector
from pydantic import SecretStr
from sqlalchemy import update

from bridge import __version__
from bridge.db import tables
from bridge.db.tables import issuances, orders
from bridge.pipeline.context import Clients
from bridge.settings import Settings
from bridge.spaceinvoices import Effect
from bridge.telemetry import counts
from bridge.vault.encryption import make_key
from bridge.web.app import create_app
from tests.support import proc
from tests.support.recorded import load
from tests.support.running import Process, RunningBridge, answers
from tests.support.scraped import Scraped, scrape
from tests.support.servers import RedisServer, free_port, wait_until
from tests.support.shop import Shop, forward_issuance, maintain

ORDER = load("life-of-a-store")[4].order()
DELIVERIES = "spacebridge_deliveries_total"


def order(number: int) -> bytes:
    """A paid order of its own."""
    about = {"id": number, "order_key": f"wc_order_{number}", "status": "processing"}
    return json.dumps({**ORDER, **about, "payment_method": "stripe"}).encode()


@pytest.fixture(scope="module")
def metrics_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def bridge(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory, metrics_port: int
) -> Iterator[RunningBridge]:
    """A bridge whose worker has a port for metrics."""
    folder = tmp_path_factory.mktemp("bridge")
    with RunningBridge(
        folder,
        broker_url=redis_server.new_url(),
        SPACEBRIDGE_METRICS_PORT=str(metrics_port),
    ) as running:
        yield running


def test_each_answer_to_a_delivery_is_counted_under_its_store(bridge: RunningBridge) -> None:
    bridge.add_store("counted")
    assert bridge.deliver("counted", order(1)).json()["status"] == "accepted"
    assert bridge.deliver("counted", order(2)).json()["status"] == "accepted"
    assert bridge.deliver("counted", order(2)).json()["status"] == "duplicate"
    product = {"X-WC-Webhook-Topic": "product.updated"}
    assert bridge.deliver("counted", b"{}", product).json()["status"] == "ignored"
    assert bridge.deliver("counted", order(3), {"X-WC-Webhook-Signature": "wrong"}).status_code == 401
    too_large = requests.post(f"{bridge.url}/webhooks/counted", data=bytes(2**23 + 1), timeout=30)
    assert too_large.status_code == 413
    scraped = scrape(bridge.url)
    found = {
        outcome: scraped.value(DELIVERIES, store="counted", outcome=outcome)
        for outcome in ("accepted", "duplicate", "ignored", "refused", "too_large", "unavailable")
    }
    assert found == {
        "accepted": 2,
        "duplicate": 1,
        "ignored": 1,
        "refused": 1,
        "too_large": 1,
        "unavailable": 0,
    }
    assert scraped.value("spacebridge_info", version=__version__) == 1


def test_the_time_to_the_answer_is_told_of_what_was_acknowledged(bridge: RunningBridge) -> None:
    bridge.add_store("timed")
    before = scrape(bridge.url)
    bridge.deliver("timed", order(1))
    bridge.deliver("timed", order(1))
    bridge.deliver("timed", order(2), {"X-WC-Webhook-Signature": "wrong"})
    ping = requests.post(f"{bridge.url}/webhooks/timed", data={"webhook_id": "7"}, timeout=10)
    assert ping.json() == {"status": "pong"}
    assert requests.get(f"{bridge.url}/webhooks/timed", timeout=10).status_code == 405
    after = scrape(bridge.url)
    assert after.total("spacebridge_ack_seconds_count") - before.total("spacebridge_ack_seconds_count") == 2
    assert after.total(DELIVERIES, store="timed") == 3
    assert after.total("spacebridge_ack_seconds_sum") > before.total("spacebridge_ack_seconds_sum")
    limits = ["0.001", "0.01", "0.1", "1.0", "10.0", "+Inf"]
    buckets = [after.value("spacebridge_ack_seconds_bucket", le=limit) for limit in limits]
    assert all(isinstance(one, float) for one in buckets)
    assert buckets[-1] == after.total("spacebridge_ack_seconds_count")


def test_a_name_that_a_caller_made_up_is_no_label(bridge: RunningBridge) -> None:
    before = scrape(bridge.url).value(DELIVERIES, store="", outcome="unknown_store")
    assert before is not None  # told as 0 from the start
    for name in ("made-up", "Made_Up", "made up"):
        assert bridge.deliver(name, order(1)).status_code == 404
    after = scrape(bridge.url)
    assert after.value(DELIVERIES, store="", outcome="unknown_store") == before + 3
    assert "made" not in after.text.lower()


def counted_by_process(folder: Path, name: str) -> Mapping[str, float]:
    """How much each process has counted of a metric, by its file."""
    found = {}
    for file in folder.glob("counter_*.db"):
        metrics = MultiProcessCollector.merge([str(file)])  # type: ignore[no-untyped-call]
        found[file.name] = sum(one.value for metric in metrics for one in metric.samples if one.name == name)
    return found


def test_the_receivers_processes_are_counted_together_and_nothing_is_lost_with_one(
    bridge: RunningBridge,
) -> None:
    bridge.add_store("crowded")
    (folder,) = (
        folder
        for folder in bridge.temporary.glob("spacebridge-metrics-*")
        if any(counted_by_process(folder, DELIVERIES).values())
    )
    sent = 0

    def have_delivered() -> None:
        nonlocal sent
        bodies = [order(number) for number in range(sent + 1, sent + 17)]
        with ThreadPoolExecutor(8) as pool:
            answered = list(pool.map(lambda body: bridge.deliver("crowded", body), bodies))
        assert all(answer.json()["status"] == "accepted" for answer in answered)
        sent += len(bodies)

    def accepted() -> float | None:
        return scrape(bridge.url).value(DELIVERIES, store="crowded", outcome="accepted")

    def has_been_taken_by_both(before: Mapping[str, float]) -> bool:
        have_delivered()
        after = counted_by_process(folder, DELIVERIES)
        return sum(number > before.get(file, 0) for file, number in after.items()) == 2

    wait_until(lambda: has_been_taken_by_both({}), "deliveries to both processes")
    # Whichever process answers, it tells of both.
    assert {accepted() for _ in range(8)} == {sent}
    receiver = bridge.parts["receiver"].process
    assert receiver is not None
    workers, files = set(proc.children(receiver.pid)), set(folder.glob("*.db"))
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    wait_until(lambda: len(set(proc.children(receiver.pid)) - workers) == 2, "two other processes")
    wait_until(lambda: answers(f"{bridge.url}/readyz"), "a ready receiver")
    assert accepted() == sent
    before = counted_by_process(folder, DELIVERIES)
    wait_until(lambda: has_been_taken_by_both(before), "deliveries to both of them")
    assert {accepted() for _ in range(8)} == {sent}
    assert set(folder.glob("*.db")) == files, "processes that are no more have left files behind"


def test_the_worker_tells_at_its_own_port_what_became_of_orders(
    bridge: RunningBridge, metrics_port: int
) -> None:
    bridge.add_store("forwarded")
    worker = f"http://127.0.0.1:{metrics_port}"
    started = datetime.now(UTC).timestamp()
    before = scrape(worker)
    for number in (1, 2, 3):
        bridge.deliver("forwarded", order(number))
    wait_until(lambda: bridge.count(issuances, "issued") >= 3, "three invoices")
    bridge.wait_until_settled()
    wait_until(
        lambda: scrape(worker).value("spacebridge_attempts_total", store="forwarded", outcome="issued") == 3,
        "three attempts",
    )
    after = scrape(worker)

    def rise(name: str, **labels: str) -> float:
        return after.total(name, **labels) - before.total(name, **labels)

    refused = after.value("spacebridge_attempts_total", store="forwarded", outcome="account_refused")
    assert refused == 0
    assert after.value("spacebridge_retries_total", store="forwarded") == 0
    assert rise("spacebridge_decisions_total", decision="invoice", reason="received") >= 3
    assert rise("spacebridge_decisions_total", decision="done", reason="invoiced") >= 3
    assert rise("spacebridge_api_seconds_count", request="order") >= 3
    assert rise("spacebridge_api_answers_total", request="order", status="200") >= 3
    assert rise("spacebridge_api_answers_total", request="config", status="200") >= 1
    assert after.total("spacebridge_api_seconds_sum", request="config") > 0
    wait_until(
        lambda: (scrape(worker).value("spacebridge_last_sweep_timestamp_seconds") or 0) > started,
        "a sweep",
    )
    # Each role tells its own: the receiver of ledger and broker, which it alone asks, and of no sweep.
    receiver = scrape(bridge.url)
    assert receiver.total("spacebridge_attempts_total") == 0
    assert receiver.value("spacebridge_last_sweep_timestamp_seconds") is None
    assert after.value("spacebridge_ledger_up") is None


def test_the_receiver_tells_what_ledger_and_broker_hold(bridge: RunningBridge) -> None:
    bridge.wait_until_settled()
    scraped = scrape(bridge.url)
    assert scraped.value("spacebridge_ledger_up") == 1
    assert scraped.value("spacebridge_broker_up") == 1
    assert scraped.value("spacebridge_queue_messages") is not None
    for name in (
        "deliveries_unprocessed",
        "oldest_unprocessed_seconds",
        "oldest_due_seconds",
        "orders_attention",
        "orders_attention_recent",
        "stores_paused",
    ):
        assert scraped.value(f"spacebridge_{name}") == 0
    for state in ("due", "sending", "held", "failed"):
        assert scraped.value("spacebridge_issuances_open", state=state) == 0
    for state in ("failed", "unreadable", "quarantined"):
        assert scraped.value("spacebridge_deliveries_kept", state=state) == 0
    for reason in ("pending", "pending_paid", "unknown_status"):
        assert scraped.value("spacebridge_orders_waiting", reason=reason) == 0
    # Of single stores, only what is wrong.
    for name in ("late_seconds", "inactive_store_orders"):
        assert f"spacebridge_{name}{{" not in scraped.text


def test_the_receiver_tells_of_each_store_what_is_wrong_with_it(bridge: RunningBridge) -> None:
    bridge.add_store("wrong")
    bridge.wait_for_config("wrong")
    assert bridge.deliver("wrong", order(1)).json()["status"] == "accepted"
    bridge.wait_until_settled()
    store = bridge.store("wrong")
    then, soon = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)
    of_store = issuances.c.store_id == store.id
    with bridge.ledger.write() as connection:
        connection.execute(
            update(issuances).where(of_store).values(state="due", due_since=then, next_attempt_at=soon)
        )
        connection.execute(
            update(orders).where(orders.c.store_id == store.id).values(rule="inactive", decision="skip")
        )
        connection.execute(
            update(tables.stores)
            .where(tables.stores.c.id == store.id)
            .values(inactive_since=then, inactive_after_delivery=0)
        )
    refused = bridge.deliver("wrong", order(1), {"X-WC-Webhook-Signature": "wrong"})
    assert refused.status_code == 401
    wait_until(
        lambda: bridge.store("wrong").refused_deliveries == 1,
        "the refused request",
    )
    scraped = scrape(bridge.url)
    with bridge.ledger.write() as connection:
        connection.execute(update(issuances).where(of_store).values(state="issued"))
    assert 3600 <= (scraped.value("spacebridge_late_seconds", store="wrong") or 0) < 3700
    assert scraped.value("spacebridge_inactive_store_orders", store="wrong") == 1
    refused_at = scraped.value("spacebridge_last_refused_timestamp_seconds", store="wrong") or 0
    assert then.timestamp() + 3600 <= refused_at <= datetime.now(UTC).timestamp()


def test_no_personal_data_is_in_the_metrics(bridge: RunningBridge, metrics_port: int) -> None:
    text = scrape(bridge.url).text + scrape(f"http://127.0.0.1:{metrics_port}").text
    for personal in ("ana.kovac", "Kovač", "example.test", "wc_order_", "12.30"):
        assert personal not in text


def test_processes_that_a_worker_forks_are_counted_together_and_its_port_ends_with_it(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    port = free_port()
    bridge = RunningBridge(
        tmp_path,
        broker_url=redis_server.new_url(),
        SPACEBRIDGE_METRICS_PORT=str(port),
    )
    processes = [
        "celery",
        "--app",
        "worker.app",
        "--quiet",
        "worker",
        "--pool",
        "processes",
        "--concurrency",
        "2",
    ]
    bridge.parts["worker"] = Process(processes, bridge.environment, bridge.log)
    with bridge:
        bridge.add_store("shop")
        for number in range(1, 9):
            bridge.deliver("shop", order(number))
        bridge.wait_until_settled()
        wait_until(
            lambda: (
                scrape(f"http://127.0.0.1:{port}").value(
                    "spacebridge_attempts_total", store="shop", outcome="issued"
                )
                == 8
            ),
            "eight attempts",
        )
        worker = bridge.parts["worker"].process
        assert worker is not None
        assert len(proc.children(worker.pid)) == 2
        assert bridge.parts["worker"].stop() == 0
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5)
    # Nothing is left of the metrics of any process.
    assert list(bridge.temporary.glob("spacebridge-metrics-*")) == []


def test_a_port_that_is_taken_is_told_and_the_worker_goes_on(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:  # noqa: S104 - as the worker would
        port = taken.getsockname()[1]
        with RunningBridge(
            tmp_path, broker_url=redis_server.new_url(), SPACEBRIDGE_METRICS_PORT=str(port)
        ) as bridge:
            woocommerce_id = bridge.add_store("shop")
            bridge.deliver("shop", order(1))
            wait_until(lambda: bridge.issued(woocommerce_id) == {1: ["invoice"]}, "an invoice")
        lines = [line for line in bridge.log.read_text().splitlines() if "metrics are not served" in line]
    assert len(lines) == 1
    assert json.loads(lines[0])["port"] == port
    assert "Traceback" not in bridge.log.read_text()


@pytest.fixture
def alone() -> Any:
    """The receiver, in this process, with neither a ledger nor a broker that can be reached."""
    return create_app(
        Settings(
            database_url=SecretStr(f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"),
            broker_url=SecretStr(f"redis://127.0.0.1:{free_port()}/0"),
            secret_key=(SecretStr(make_key()),),
        )
    ).test_client()


def test_without_ledger_and_broker_the_receiver_tells_what_it_has_counted(alone: Any) -> None:
    before = Scraped(alone.get("/metrics").text).value(DELIVERIES, store="", outcome="unavailable")
    assert alone.post("/webhooks/shop", data=order(1)).status_code == 503
    answer = alone.get("/metrics")
    assert answer.status_code == 200
    scraped = Scraped(answer.text)
    assert scraped.value("spacebridge_ledger_up") == 0
    assert scraped.value("spacebridge_broker_up") == 0
    assert scraped.value("spacebridge_queue_messages") is None
    assert scraped.value("spacebridge_stores_paused") is None
    assert before is not None
    assert scraped.value(DELIVERIES, store="", outcome="unavailable") == before + 1


def counted(name: str, **labels: str) -> float:
    """How much this process has counted."""
    return counts.REGISTRY.get_sample_value(name, labels) or 0.0


def test_every_effect_of_an_attempt_has_an_outcome_to_be_counted_under() -> None:
    assert {effect.replace(" ", "_") for effect in Effect} == set(counts.ATTEMPT_OUTCOMES)


def test_an_attempt_that_is_not_the_first_is_counted_as_a_retry(shop: Shop) -> None:
    issuance_id = shop.paid(1)
    of_shop = {"store": "shop"}
    before = {
        outcome: counted("spacebridge_attempts_total", **of_shop, outcome=outcome)
        for outcome in counts.ATTEMPT_OUTCOMES
    }
    retries = counted("spacebridge_retries_total", **of_shop)
    no_answers = counted("spacebridge_api_answers_total", request="order", status="none")
    address = f"http://127.0.0.1:{free_port()}/v1"
    nobody = replace(shop.context, api_url=address, _clients=Clients())
    with closing(nobody):
        forward_issuance(nobody, issuance_id)
    assert counted("spacebridge_api_answers_total", request="order", status="none") == no_answers + 1
    assert counted("spacebridge_retries_total", **of_shop) == retries
    shop.clock.advance(hours=1)
    forward_issuance(shop.context, issuance_id)
    assert shop.issuance(issuance_id).state == "issued"
    after = {
        outcome: counted("spacebridge_attempts_total", **of_shop, outcome=outcome) - before[outcome]
        for outcome in counts.ATTEMPT_OUTCOMES
    }
    assert after == {**dict.fromkeys(counts.ATTEMPT_OUTCOMES, 0), "not_taken": 1, "issued": 1}
    assert counted("spacebridge_retries_total", **of_shop) == retries + 1


def test_an_attempt_whose_worker_died_is_counted_once_by_the_sweep(shop: Shop) -> None:
    before = counted("spacebridge_attempts_total", store="shop", outcome="unknown")
    decided = counted("spacebridge_decisions_total", decision="attention", reason="held")
    shop.claim(shop.paid(1), lease=1)
    shop.clock.advance(seconds=10)
    for _ in range(2):
        maintain(shop.context)
    assert counted("spacebridge_attempts_total", store="shop", outcome="unknown") == before + 1
    assert counted("spacebridge_decisions_total", decision="attention", reason="held") == decided + 1
