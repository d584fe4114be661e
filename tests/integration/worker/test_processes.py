"""The processes: what each does with a signal, alone in a container or not, and what it says meanwhile."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
from sqlalchemy import select

from bridge.broker import REDECIDE, SWEEP, make_celery
from bridge.db.tables import attempts
from bridge.db.tables import deliveries as delivery_table
from bridge.db.tables import issuances as issuance_table
from bridge.vault.encryption import make_key
from tests.support import proc
from tests.support.recorded import load
from tests.support.running import SECRET, RunningBridge, answers, run_command, sign
from tests.support.servers import PostgresServer, RedisServer, free_port, wait_until

GUNICORN = ["gunicorn", "--config", "python:bridge.gunicorn_config"]
CELERY = ["celery", "--app", "worker.app", "--quiet"]
WORKER = [*CELERY, "worker", "--without-gossip", "--without-mingle", "--without-heartbeat"]
ORDER = load("life-of-a-store")[4].order()


@functools.cache
def _first_of_all() -> Sequence[str]:
    """What makes a command the first process of its own, as in a container. Skips the test if nothing may."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("there is no unshare")
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    prefix = [unshare, *as_root, "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody make a first process")
    return prefix


class Part:
    """One process of a bridge, with its standard output apart from its standard error."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, *, in_container: bool) -> None:
        self.process = process
        self._folder = folder
        self._in_container = in_container

    @property
    def pid(self) -> int:
        if not self._in_container:
            return self.process.pid
        wait_until(lambda: bool(proc.children(self.process.pid)), "a first process")
        [first] = proc.children(self.process.pid)
        return first

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged. Whatever is on standard output has to be that."""
        whole = (self._folder / "stdout").read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def said(self, event: str) -> bool:
        return any(line["event"] == event for line in self.lines())

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        os.kill(self.pid, number)
        return self.process.wait(60)


@contextmanager
def running(
    folder: Path, arguments: Sequence[str], environment: Mapping[str, str], *, in_container: bool = False
) -> Iterator[Part]:
    folder.mkdir()
    prefix = _first_of_all() if in_container else []
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", *arguments],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
    part = Part(process, folder, in_container=in_container)
    try:
        yield part
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


@pytest.fixture
def environment(database_url: str, redis_server: RedisServer, tmp_path: Path) -> dict[str, str]:
    """The settings of a bridge over a migrated ledger."""
    found = {
        "SPACEBRIDGE_DATA_DIR": str(tmp_path / "data"),
        "SPACEBRIDGE_DATABASE_URL": "" if database_url.startswith("sqlite") else database_url,
        "SPACEBRIDGE_BROKER_URL": redis_server.new_url(),
        "SPACEBRIDGE_SECRET_KEY": make_key(),
        "SPACEBRIDGE_LOG_FORMAT": "json",
    }
    upgraded = run_command(tmp_path / "data", "db", "upgrade", **found)
    assert upgraded.returncode == 0, upgraded.stderr
    return found


def body_of(order: int) -> bytes:
    return json.dumps({**ORDER, "id": order}).encode()


# Stopping.


@pytest.mark.parametrize("in_container", [False, True], ids=["as any process", "as the first process"])
def test_a_receiver_that_is_told_to_stop_answers_the_request_under_way(
    bridge: RunningBridge, tmp_path: Path, in_container: bool
) -> None:
    name = f"stopped-{in_container}".lower()
    bridge.add_store(name)
    body, port = body_of(1), free_port()
    head = (
        f"POST /webhooks/{name} HTTP/1.1\r\nHost: bridge\r\nContent-Length: {len(body)}\r\n"
        f"X-WC-Webhook-Topic: order.updated\r\nX-WC-Webhook-Signature: {sign(body)}\r\n"
        "Expect: 100-continue\r\n\r\n"
    )
    arguments = [*GUNICORN, "--bind", f"127.0.0.1:{port}"]
    with running(tmp_path / "receiver", arguments, bridge.environment, in_container=in_container) as receiver:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), "a ready receiver")
        with socket.create_connection(("127.0.0.1", port), timeout=60) as shop:
            shop.sendall(head.encode())
            assert shop.recv(1000).startswith(b"HTTP/1.1 100 ")  # somebody reads the body
            os.kill(receiver.pid, signal.SIGTERM)
            wait_until(lambda: receiver.said("Handling signal: term"), "a receiver that stops")
            shop.sendall(body)
            answer = shop.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        assert receiver.process.wait(60) == 0
    delivery = int(json.loads(answer.partition(b"\r\n\r\n")[2])["delivery"])
    with bridge.ledger.read() as connection:
        query = select(delivery_table.c.resource_id).where(delivery_table.c.id == delivery)
        assert connection.execute(query).scalar_one() == 1
    assert receiver.lines()[-1]["event"] == "Shutting down: Master"


def test_a_receiver_that_is_told_to_stop_writes_how_many_requests_it_has_refused(
    bridge: RunningBridge, tmp_path: Path
) -> None:
    bridge.add_store("strange")
    port = free_port()
    with running(
        tmp_path / "receiver", [*GUNICORN, "--bind", f"127.0.0.1:{port}"], bridge.environment
    ) as receiver:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), "a ready receiver")
        for number in range(20):  # of each of its processes, the first is written at once
            refused = requests.post(
                f"http://127.0.0.1:{port}/webhooks/strange", data=body_of(number), timeout=60
            )
            assert refused.status_code == 401
        receiver.process.terminate()
        assert receiver.process.wait(60) == 0
    assert bridge.store("strange").refused_deliveries == 20


@pytest.mark.parametrize("in_container", [False, True], ids=["as any process", "as the first process"])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_worker_that_is_told_to_stop_records_the_attempt_under_way(
    request: pytest.FixtureRequest, redis_server: RedisServer, tmp_path: Path, kind: str, in_container: bool
) -> None:
    url = ""
    if kind == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres_server")
        url = postgres.new_database("stopping")
    slow = ("--rate-limit", "100000", "--latency", "1500")
    with RunningBridge(
        tmp_path, database_url=url, broker_url=redis_server.new_url(), sandbox_options=slow, workers=0
    ) as bridge:
        bridge.add_store("shop")
        with running(tmp_path / "worker", WORKER, bridge.environment, in_container=in_container) as worker:
            bridge.wait_for_config("shop")
            for order in range(1, 6):
                assert bridge.deliver("shop", body_of(order)).status_code == 200
            wait_until(lambda: bridge.count(issuance_table, "sending") > 0, "an attempt under way")
            assert worker.stop() == 0
            assert worker.said("worker ready")
        assert bridge.count(issuance_table, "sending", "held") == 0
        issued = bridge.count(issuance_table, "issued")
        assert issued > 0
        assert len(bridge.sandbox()["documents"]) == issued
        with bridge.ledger.read() as connection:
            assert set(connection.execute(select(attempts.c.outcome)).scalars()) == {"issued"}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_worker_that_is_told_to_stop_leaves_what_is_not_under_way_to_the_next(
    request: pytest.FixtureRequest, redis_server: RedisServer, tmp_path: Path, kind: str
) -> None:
    url = ""
    if kind == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres_server")
        url = postgres.new_database("leaving")
    with RunningBridge(
        tmp_path,
        database_url=url,
        broker_url=redis_server.new_url(),
        workers=0,
        SPACEBRIDGE_REQUEST_RATE="1",  # all of it would take it minutes
        sandbox_options=("--rate-limit", "100000", "--latency", "300"),
    ) as bridge:
        bridge.add_store("shop")
        with running(tmp_path / "worker", WORKER, bridge.environment) as worker:
            bridge.wait_for_config("shop")
            for order in range(1, 101):
                assert bridge.deliver("shop", body_of(order)).status_code == 200
            wait_until(lambda: not bridge.count(delivery_table, "received"), "all that is due")
            assert worker.stop() == 0
        assert bridge.count(issuance_table, "due") > 0
        assert bridge.count(issuance_table, "sending", "held") == 0


# The schedule.

RUNS, STANDS_BY, AWAY = (
    "this schedule runs",
    "another schedule runs; standing by",
    "no schedule runs: the ledger is away",
)


def last_of_schedule(worker: Part) -> str | None:
    """What a worker said last of its schedule."""
    return next(
        (line["event"] for line in reversed(worker.lines()) if line["event"] in {RUNS, STANDS_BY, AWAY}), None
    )


def test_of_two_workers_one_leads_and_the_other_takes_over_when_it_is_killed(
    database_url: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    url = "" if database_url.startswith("sqlite") else database_url
    with (
        RunningBridge(tmp_path, database_url=url, broker_url=redis_server.new_url(), workers=0) as bridge,
        running(tmp_path / "one", WORKER, bridge.environment) as one,
    ):
        wait_until(lambda: last_of_schedule(one) == RUNS, "a leader")
        with running(tmp_path / "two", WORKER, bridge.environment) as two:
            wait_until(lambda: last_of_schedule(two) == STANDS_BY, "one that stands by")
            one.process.kill()
            wait_until(lambda: last_of_schedule(two) == RUNS, "another leader")
            bridge.add_store("shop")  # nobody but its duties tells a worker of it
            bridge.wait_for_config("shop")
            assert two.stop() == 0


def test_a_leader_that_is_told_to_stop_makes_room_for_the_next(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with running(tmp_path / "one", WORKER, environment) as one:
        wait_until(lambda: last_of_schedule(one) == RUNS, "a leader")
        with running(tmp_path / "two", WORKER, environment) as two:
            wait_until(lambda: last_of_schedule(two) == STANDS_BY, "one that stands by")
            assert one.stop() == 0
            wait_until(lambda: last_of_schedule(two) == RUNS, "another leader")
            assert two.stop() == 0


def test_workers_agree_on_a_leader_again_when_the_ledger_is_back(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    with PostgresServer() as postgres:
        environment = {
            "SPACEBRIDGE_DATABASE_URL": postgres.url,
            "SPACEBRIDGE_BROKER_URL": redis_server.new_url(),
            "SPACEBRIDGE_SECRET_KEY": make_key(),
        }
        with (
            running(tmp_path / "one", WORKER, environment) as one,
            running(tmp_path / "two", WORKER, environment) as two,
        ):

            def say(*states: str) -> bool:
                return sorted(str(last_of_schedule(part)) for part in (one, two)) == sorted(states)

            wait_until(lambda: say(RUNS, STANDS_BY), "one leader")
            postgres.kill()
            wait_until(lambda: say(AWAY, AWAY), "two that know of no ledger")
            postgres.start()
            wait_until(lambda: say(RUNS, STANDS_BY), "one leader again")
            assert [part.stop() for part in (one, two)] == [0, 0]


def test_a_worker_that_never_had_a_broker_leads_and_can_be_stopped(
    environment: dict[str, str], tmp_path: Path
) -> None:
    environment["SPACEBRIDGE_BROKER_URL"] = f"redis://127.0.0.1:{free_port()}/0"
    with running(tmp_path / "worker", WORKER, environment) as worker:
        wait_until(lambda: last_of_schedule(worker) == RUNS, "a leader")
        assert worker.stop() == 0
        assert not any("exception" in line for line in worker.lines())


def test_a_schedule_of_a_former_version_is_told_of_once_and_does_no_harm(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with make_celery(environment["SPACEBRIDGE_BROKER_URL"]) as former:
        for task in (SWEEP, REDECIDE, SWEEP):
            former.send_task(task)
    with running(tmp_path / "worker", WORKER, environment) as worker:
        wait_until(lambda: worker.said("a schedule of a former version still runs"), "what it says of it")
        with redis.Redis.from_url(environment["SPACEBRIDGE_BROKER_URL"]) as client:
            wait_until(lambda: client.llen("spacebridge") == 0, "an empty queue")
        assert worker.stop() == 0
    odd = [line for line in worker.lines() if line["level"] != "info"]
    assert [line["event"] for line in odd] == ["a schedule of a former version still runs"]
    assert odd[0]["mend"] == "end `celery --app worker.app beat`: workers do its work"


# The log.


def test_a_deliverys_id_or_an_orders_joins_the_request_to_the_document(bridge: RunningBridge) -> None:
    bridge.add_store("joined")
    bridge.wait_for_config("joined")
    delivery = int(bridge.deliver("joined", body_of(4711)).json()["delivery"])
    bridge.wait_until_settled()

    def logged() -> list[dict[str, Any]]:
        found = bridge.log.read_text().splitlines()
        return [json.loads(line) for line in found if line.startswith("{")]

    wait_until(
        lambda: any(line.get("order") == 4711 and "attempt" in line for line in logged()), "an attempt"
    )
    of_delivery = {line["event"]: line for line in logged() if line.get("delivery") == delivery}
    # The request has no line besides that on what was recorded of it.
    assert set(of_delivery) == {"delivery recorded", "delivery processed", "attempt ended"}
    assert {line["store"] for line in of_delivery.values()} == {"joined"}
    of_order = [line["event"] for line in logged() if line.get("order") == 4711]
    assert sorted(of_order) == ["attempt ended", "delivery processed", "delivery recorded"]
    assert bridge.deliver("joined", b"{}", {"X-WC-Webhook-Signature": "wrong"}).status_code == 401
    wait_until(
        lambda: any(line["event"] == "request answered" and line["status"] == 401 for line in logged()),
        "the line on a request of which nothing was recorded",
    )
    recorded, attempt = of_delivery["delivery recorded"], of_delivery["attempt ended"]
    assert (recorded["topic"], recorded["outcome"]) == ("order.updated", "accepted")
    assert (attempt["outcome"], attempt["status"], attempt["attempt"]) == ("issued", 200, 1)
    assert attempt["ms"] > 0


def test_no_line_tells_of_a_person(bridge: RunningBridge) -> None:
    bridge.add_store("discreet")
    bridge.wait_for_config("discreet")
    people = {**ORDER, "id": 4712}
    people["billing"] = {**ORDER["billing"], "email": "jane@example.test", "last_name": "Unmistakable"}
    bridge.deliver("discreet", json.dumps(people).encode())
    bridge.wait_until_settled()
    requests.get(f"{bridge.url}/webhooks/discreet?email=jane@example.test", timeout=10)
    requests.get(f"{bridge.url}/jane@example.test", timeout=10)
    with socket.create_connection(("127.0.0.1", bridge.receiver_port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\njane@example.test\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 400 ")
    wait_until(lambda: "malformed request refused" in bridge.log.read_text(), "the line on the last of them")
    lines = [line for line in bridge.log.read_text().splitlines() if line.startswith("{")]
    for private in ("jane@example.test", "Unmistakable", bridge.token, SECRET):
        assert not [line for line in lines if private in line]
    assert not [line for line in lines if "bridge.telemetry.access" in line and "127.0.0.1" in line]


def test_monitoring_leaves_no_lines_while_all_is_well(bridge: RunningBridge) -> None:
    for path in ("healthz", "readyz", "metrics"):
        assert requests.get(f"{bridge.url}/{path}", timeout=10).status_code == 200
    assert requests.get(f"{bridge.url}/nothing", timeout=10).status_code == 404
    wait_until(lambda: '"status": 404' in bridge.log.read_text(), "the line on the last of them")
    lines = [json.loads(line) for line in bridge.log.read_text().splitlines() if line.startswith("{")]
    assert not [line for line in lines if line.get("method") == "GET" and line.get("status") == 200]


def test_a_broker_is_given_no_results_to_keep(bridge: RunningBridge) -> None:
    bridge.add_store("resultless")
    bridge.wait_for_config("resultless")
    bridge.deliver("resultless", body_of(4713))
    bridge.wait_until_settled()
    with redis.Redis.from_url(bridge.environment["SPACEBRIDGE_BROKER_URL"]) as client:
        assert list(client.scan_iter("celery-task-meta-*")) == []


def test_all_that_up_prints_on_standard_output_is_log_lines(tmp_path: Path) -> None:
    port = free_port()
    arguments = ["bridge", "up", "--port", str(port), "--data-dir", str(tmp_path / "data")]
    with running(tmp_path / "up", arguments, {}) as up:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), "a ready bridge")
        assert requests.get(f"http://127.0.0.1:{port}/nothing", timeout=10).status_code == 404
        wait_until(lambda: up.said("worker ready") and up.said("this schedule runs"), "all of its parts")
        wait_until(lambda: up.said("request answered"), "the line on the request")
        assert up.stop() == 0
        assert up.lines()
        assert "is ready at" in (tmp_path / "up" / "stderr").read_text()


# gunicorn.


def gunicorn_settings(**environment: str) -> dict[str, str]:
    """What gunicorn makes of its configuration under these settings."""
    printed = subprocess.run(
        [sys.executable, "-m", *GUNICORN, "--print-config"],
        env={**os.environ, "SPACEBRIDGE_SECRET_KEY": make_key(), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return {
        name.strip(): value.strip()
        for name, _, value in (line.partition("=") for line in printed.stdout.splitlines())
    }


def test_the_settings_say_how_many_processes_and_which_proxies() -> None:
    by_default = gunicorn_settings()
    assert by_default["workers"] == "2"
    assert by_default["forwarded_allow_ips"] == "[]"
    chosen = gunicorn_settings(
        SPACEBRIDGE_WEB_WORKERS="3", SPACEBRIDGE_TRUSTED_PROXIES="10.0.0.0/8, 192.0.2.1,::1"
    )
    assert chosen["workers"] == "3"
    assert chosen["forwarded_allow_ips"] == "['10.0.0.0/8', '192.0.2.1', '::1']"


def test_a_head_that_is_too_large_is_refused_and_one_that_a_proxy_may_send_is_not(
    bridge: RunningBridge,
) -> None:
    body = body_of(1)
    bridge.add_store("headed")
    proxied = {f"X-Proxied-{number}": "x" * 1000 for number in range(30)} | {"Cookie": "x" * 8000}
    assert bridge.deliver("headed", body, proxied).status_code == 200
    assert bridge.deliver("headed", body, {"Cookie": "x" * 9000}).status_code == 431
    assert bridge.deliver("headed", body, {f"X-{number}": "x" for number in range(100)}).status_code == 431
    assert requests.get(f"{bridge.url}/{'x' * 5000}", timeout=10).status_code == 414
    assert answers(f"{bridge.url}/readyz")


def test_what_is_forked_has_no_connection_and_no_thread_and_its_children_are_replaced(
    environment: dict[str, str], tmp_path: Path
) -> None:
    port = free_port()
    with running(tmp_path / "receiver", [*GUNICORN, "--bind", f"127.0.0.1:{port}"], environment) as receiver:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), "a ready receiver")
        folder = Path(f"/proc/{receiver.pid}")
        assert [task.name for task in (folder / "task").iterdir()] == [str(receiver.pid)]
        open_files = [os.readlink(file) for file in (folder / "fd").iterdir()]
        assert len([name for name in open_files if name.startswith("socket:")]) == 1  # the one it listens at
        assert not [name for name in open_files if "ledger.db" in name]

        def workers() -> set[int]:
            return set(proc.children(receiver.pid))

        wait_until(lambda: len(workers()) == 2, "both workers")
        killed = workers()
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(workers()) == 2 and not workers() & killed, "other workers")
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), "a ready receiver")
        assert receiver.stop() == 0
