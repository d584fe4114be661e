"""`spacebridge up`: one command that runs it all, stops in order, and restarts what dies."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from bridge.db import Ledger
from bridge.embedded import file_locks
from bridge.ledger import deliveries
from bridge.vault.encryption import make_key
from tests.support import proc
from tests.support.recorded import load
from tests.support.running import SECRET, answers, run_command, sign
from tests.support.scraped import scrape
from tests.support.servers import free_port, wait_until

STORE_IDS = ["--organization", "64b7e0c0a1b2c3d4e5f60718", "--woocommerce", "64b7e0c0a1b2c3d4e5f60719"]
PARTS = {
    "broker": r"unixsocket",
    "worker": r"celery .* worker ",
    "receiver": r"gunicorn",
}


@dataclass
class Up:
    """A running `spacebridge up`."""

    process: subprocess.Popen[bytes]
    url: str
    folder: Path
    output: Path

    def text(self) -> str:
        return self.output.read_text()

    def children(self) -> dict[str, int]:
        """The process ids of the parts by their command lines."""
        found = {}
        for pid in proc.children(self.process.pid):
            line = " ".join(proc.command(pid))
            for part, pattern in PARTS.items():
                if re.search(pattern, line):
                    found[part] = pid
        return found


def is_running(pid: int) -> bool:
    """Whether the process is there, and more than an entry that nobody has collected."""
    try:
        return proc.state(pid) != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextlib.contextmanager
def running_up(folder: Path, *options: str, **environment: str) -> Iterator[Up]:
    port = free_port()
    log = folder / "output"
    folder.mkdir(exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "bridge", "up", "--port", str(port)),
                *("--data-dir", str(folder / "data"), *options),
            ],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield Up(process, f"http://127.0.0.1:{port}", folder, log)
    finally:
        process.terminate()
        process.wait(120)


def test_the_demo_plays_a_shops_life_and_sums_it_up(tmp_path: Path) -> None:
    # A real ledger in the environment must neither be needed nor touched.
    real = {
        "SPACEBRIDGE_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x",
        "SPACEBRIDGE_SECRET_KEY": make_key(),
    }
    with running_up(tmp_path, "--demo", **real) as up:
        wait_until(lambda: "Try next" in up.text(), "the demo's summary", within=240)
        assert "Orders of the shop without a document: 0" in up.text()
        assert "found in the shop (switched off)" in up.text()
        text = up.text()
        assert re.search(r"deliveries accepted +51\b", text)
        assert re.search(r"estimates issued +7\b", text)
        assert re.search(r"invoices issued +22\b", text)
        assert re.search(r"documents issued twice +0\b", text)
        assert "order 328 is on-hold -> estimate: The order was received" in text
        # One scrape tells of receiver and worker.
        scraped = scrape(up.url)
        assert scraped.value("spacebridge_deliveries_total", store="demo", outcome="accepted") == 51
        assert scraped.value("spacebridge_attempts_total", store="demo", outcome="issued") == 29
        assert scraped.total("spacebridge_decisions_total", decision="estimate") >= 7
        assert scraped.value("spacebridge_last_sweep_timestamp_seconds") is not None
        assert scraped.value("spacebridge_broker_up") == 1
        # What it says to try next works, while it goes on running.
        shown = run_command(tmp_path / "data" / "demo", "orders", "explain", "demo", "328", "--json")
        events = json.loads(shown.stdout)["events"]
        assert [event["what"] for event in events if "attempt" in event["what"]] == [
            "attempt for the estimate",
            "attempt for the invoice",
        ]
    assert up.process.returncode == 0
    assert "has stopped" in up.text()


def test_the_demo_removes_no_ledger_but_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "demo"
    folder.mkdir(parents=True)
    (folder / "ledger.db").write_bytes(b"of somebody")
    refused = run_command(tmp_path / "data", "up", "--demo", "--port", str(free_port()))
    assert refused.returncode == 1
    assert "holds a ledger that is no demo's" in refused.stderr
    assert (folder / "ledger.db").read_bytes() == b"of somebody"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_every_part_and_leaves_nothing_running(tmp_path: Path, number: signal.Signals) -> None:
    with running_up(tmp_path) as up:
        wait_until(lambda: answers(f"{up.url}/readyz"), "a ready bridge")
        children = up.children()
        assert set(children) == set(PARTS)
        up.process.send_signal(number)
        assert up.process.wait(60) == 0
        assert not any(map(is_running, children.values()))


def test_what_was_accepted_under_a_signal_is_in_the_ledger(tmp_path: Path) -> None:
    accepted: set[int] = set()
    with running_up(tmp_path) as up:
        wait_until(lambda: answers(f"{up.url}/readyz"), "a ready bridge")
        token = up.folder / "token"
        token.write_text("token-of-the-account\n")
        secret = up.folder / "secret"
        secret.write_text(SECRET)
        files = ["--token-file", str(token), "--webhook-secret-file", str(secret)]
        added = run_command(up.folder / "data", "stores", "add", "shop", *STORE_IDS, *files, "--offline")
        assert added.returncode == 0, added.stderr
        order = load("life-of-a-store")[4].order()
        up_to = 200
        for number in range(up_to):
            if number == up_to // 2:
                up.process.terminate()
            body = json.dumps({**order, "id": number + 1}).encode()
            try:
                answer = requests.post(
                    f"{up.url}/webhooks/shop",
                    data=body,
                    headers={"X-WC-Webhook-Signature": sign(body)},
                    timeout=10,
                )
            except requests.RequestException:
                break
            accepted.add(int(answer.json()["delivery"]))
        assert up.process.wait(60) == 0
    assert len(accepted) >= up_to // 2
    ledger = Ledger(f"sqlite:///{tmp_path / 'data' / 'ledger.db'}")
    with ledger.read() as connection:
        kept = {delivery.id for delivery in deliveries.listed(connection, limit=1000)}
    ledger.close()
    assert accepted <= kept


@pytest.mark.parametrize("part", list(PARTS))
def test_a_part_that_dies_is_started_again(tmp_path: Path, part: str) -> None:
    with running_up(tmp_path) as up:
        wait_until(lambda: answers(f"{up.url}/readyz"), "a ready bridge")
        killed = up.children()[part]
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: up.children().get(part, killed) != killed, f"another {part}")
        wait_until(lambda: answers(f"{up.url}/readyz"), "a ready bridge")


def test_parts_do_not_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    with running_up(tmp_path) as up:
        wait_until(lambda: answers(f"{up.url}/readyz"), "a ready bridge")
        children = up.children()
        up.process.kill()
        wait_until(
            lambda: not any(Path(f"/proc/{pid}").exists() for pid in children.values()),
            "the end of the parts",
        )


def test_a_second_up_over_the_same_folder_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with running_up(tmp_path) as up:
        wait_until(lambda: answers(f"{up.url}/readyz"), "a ready bridge")
        second = run_command(up.folder, "up", "--data-dir", str(up.folder / "data"))
    assert second.returncode == 1
    assert "Another `spacebridge up` is running" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with running_up(tmp_path) as up:
        wait_until(lambda: answers(f"{up.url}/readyz"), "a ready bridge")
        port = up.url.rpartition(":")[2]
        second = run_command(up.folder, "up", "--port", port, "--data-dir", str(tmp_path / "other"))
    assert second.returncode == 1
    assert f"Port {port}" in second.stderr
    assert "--port" in second.stderr


def test_a_wrong_setting_stops_the_start_with_a_sentence_that_names_it(tmp_path: Path) -> None:
    tried = run_command(tmp_path, "up", SPACEBRIDGE_API_TIMEOUT="soon")
    assert tried.returncode == 1
    assert tried.stderr.startswith("SPACEBRIDGE_API_TIMEOUT is wrong")
    assert "Traceback" not in tried.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["celery", "--app", "worker.app", "worker"],
        ["gunicorn", "--config", "python:bridge.gunicorn_config"],
        ["bridge", "db", "upgrade"],
        ["bridge", "orders", "list"],
    ],
)
def test_each_process_by_itself_stops_on_a_wrong_setting_with_a_sentence(
    tmp_path: Path, arguments: list[str]
) -> None:
    environment = {**os.environ, "SPACEBRIDGE_DATA_DIR": str(tmp_path), "SPACEBRIDGE_SECRET_KEY": "short"}
    tried = subprocess.run(
        [sys.executable, "-m", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert tried.returncode == 1
    assert "\nSPACEBRIDGE_SECRET_KEY is wrong" in "\n" + tried.stderr
    assert "Traceback" not in tried.stderr


SLOW = """
CREATE TRIGGER slow AFTER UPDATE ON deliveries BEGIN
    SELECT count(*) FROM (
        WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT 300000)
        SELECT n FROM numbers
    );
END
"""


def test_a_worker_that_is_stopped_amid_a_transaction_is_ended_and_holds_up_nothing_for_long(
    tmp_path: Path,
) -> None:
    """It holds SQLite's one lock for writing, which nothing but its end releases."""
    with running_up(tmp_path) as up:
        wait_until(lambda: answers(f"{up.url}/readyz"), "a ready bridge")
        add_store(up)
        ledger = Ledger(f"sqlite:///{tmp_path / 'data' / 'ledger.db'}")
        with ledger.write() as connection:
            connection.exec_driver_sql(SLOW)
        worker = up.children()["worker"]
        orders = iter(range(1, 1000))
        assert deliver(up, next(orders)).status_code == 200

        def is_stopped_amid_a_transaction() -> bool:
            if worker in file_locks.lock_holders():
                os.kill(worker, signal.SIGSTOP)
                wait_until(lambda: proc.state(worker) == "T", "a worker that is stopped")
                if worker in file_locks.lock_holders():
                    return True
                os.kill(worker, signal.SIGCONT)
                deliver(up, next(orders))
            return False

        wait_until(is_stopped_amid_a_transaction, "a worker that is stopped amid a transaction")
        answer = deliver(up, next(orders))
        assert answer.status_code == 200
        assert answer.elapsed.total_seconds() < 15  # and not as long as the lock is waited for
        wait_until(lambda: not is_running(worker), "the end of what stands still")
        with ledger.write() as connection:
            connection.exec_driver_sql("DROP TRIGGER slow")
        sent = next(orders) - 1
        wait_until(lambda: len(processed(ledger)) == sent, "all of it processed by the next worker")
        assert up.children()["worker"] != worker
        assert "stands still with the ledger locked" in up.text()
        ledger.close()


def test_a_leader_that_is_stopped_is_ended_and_the_next_worker_leads(tmp_path: Path) -> None:
    with running_up(tmp_path) as up:
        wait_until(lambda: up.text().count("this schedule runs") == 1, "a leader")
        worker = up.children()["worker"]
        os.kill(worker, signal.SIGSTOP)
        wait_until(lambda: up.text().count("this schedule runs") == 2, "another leader")
        assert not is_running(worker)


def add_store(up: Up) -> None:
    token, secret = up.folder / "token", up.folder / "secret"
    token.write_text("token-of-the-account\n")
    secret.write_text(SECRET)
    files = ["--token-file", str(token), "--webhook-secret-file", str(secret)]
    added = run_command(up.folder / "data", "stores", "add", "shop", *STORE_IDS, *files, "--offline")
    assert added.returncode == 0, added.stderr


def deliver(up: Up, number: int) -> requests.Response:
    body = json.dumps({**load("life-of-a-store")[4].order(), "id": number}).encode()
    signature = {"X-WC-Webhook-Signature": sign(body)}
    return requests.post(f"{up.url}/webhooks/shop", data=body, headers=signature, timeout=60)


def processed(ledger: Ledger) -> list[int]:
    with ledger.read() as connection:
        return [one.id for one in deliveries.listed(connection, state="processed", limit=1000)]
