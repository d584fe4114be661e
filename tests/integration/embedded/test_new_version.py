"""A new version takes over under load: no connection is refused, no delivery lost, and none taken twice."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.db import Ledger
from tests.integration.embedded.test_up import Up, add_store, is_running, running_up
from tests.support.running import answers
from tests.support.servers import wait_until
from tests.support.steady import SteadyShop

TAKEN_OVER = "the installed version has taken over"
DID_NOT_START = "the installed version did not start, and the former one goes on"
# Python runs it at the start of each process: a version of which a part does not start.
BROKEN = """
import sys
if {word!r} in sys.orig_argv:
    sys.exit("this version is broken")
"""


@contextlib.contextmanager
def opened_ledger(folder: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{folder / 'data' / 'ledger.db'}")
    try:
        yield ledger
    finally:
        ledger.close()


def replace(up: Up) -> None:
    """Have the installed version take over, and wait until the former one has ended."""
    former = up.children()
    times = up.text().count(TAKEN_OVER)
    up.process.send_signal(signal.SIGUSR2)
    wait_until(lambda: up.text().count(TAKEN_OVER) > times, "the installed version to take over")
    assert DID_NOT_START not in up.text()
    wait_until(
        lambda: not is_running(former["receiver"]) and not is_running(former["worker"]),
        "the end of the former parts",
    )
    now = up.children()
    assert now["receiver"] != former["receiver"]
    assert now["worker"] != former["worker"]
    assert now["broker"] == former["broker"]


def is_all_processed(ledger: Ledger) -> bool:
    with ledger.read() as connection:
        return not connection.exec_driver_sql("SELECT 1 FROM deliveries WHERE state = 'received'").first()


def test_a_new_version_takes_over_under_load_and_no_delivery_is_lost(tmp_path: Path) -> None:
    with running_up(tmp_path) as up, opened_ledger(tmp_path) as ledger:
        wait_until(lambda: answers(f"{up.url}/readyz"), "a ready bridge")
        add_store(up)
        shop = SteadyShop(up.url)
        with shop.open():
            wait_until(lambda: len(shop.acknowledged) > 100, "deliveries before")
            replace(up)
            before = len(shop.acknowledged)
            wait_until(lambda: len(shop.acknowledged) > before + 100, "deliveries after")
        shop.assert_nothing_was_lost(ledger)
        wait_until(lambda: is_all_processed(ledger), "the work of the new worker")
    assert up.process.returncode == 0


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("upgrade", "the migration ended with status 1 as it started"),
        ("celery", "the worker ended with status 1 as it started"),
        ("gunicorn", "the receiver ended with status 1 as it started"),
    ],
)
def test_a_version_that_does_not_start_leaves_the_former_one_running(
    tmp_path: Path, word: str, reason: str
) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    with running_up(tmp_path, PYTHONPATH=str(packages)) as up, opened_ledger(tmp_path) as ledger:
        wait_until(lambda: answers(f"{up.url}/readyz"), "a ready bridge")
        add_store(up)
        former = up.children()
        (packages / "sitecustomize.py").write_text(BROKEN.format(word=word))
        shop = SteadyShop(up.url)
        with shop.open():
            up.process.send_signal(signal.SIGUSR2)
            wait_until(lambda: DID_NOT_START in up.text(), "the end of the attempt")
        assert reason in up.text()
        assert "this version is broken" in up.text()
        wait_until(lambda: up.children() == former, "the end of what was started")
        shop.assert_nothing_was_lost(ledger)
        # Mended, it takes over.
        (packages / "sitecustomize.py").unlink()
        up.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: TAKEN_OVER in up.text(), "the installed version to take over")


# What systemd does (sd_listen_fds(3)): the socket is descriptor 3, and the process is named.
HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3, inheritable=True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "bridge", "up", "--data-dir", *sys.argv[2:]])
"""


@contextlib.contextmanager
def activated_up(folder: Path, listener: socket.socket) -> Iterator[Up]:
    """A `spacebridge up` with a socket that is handed over to it, as by systemd."""
    log = folder / "output"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", HAND_OVER, str(listener.fileno()), str(folder / "data")],
            pass_fds=[listener.fileno()],
            env=dict(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        is_tcp = listener.family == socket.AF_INET
        url = "http://{}:{}".format(*listener.getsockname()) if is_tcp else ""
        yield Up(process, url, folder, log)
    finally:
        process.terminate()
        process.wait(120)


def test_over_a_socket_that_systemd_holds_deliveries_wait_while_everything_is_replaced(
    tmp_path: Path,
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=2048) as listener,
        opened_ledger(tmp_path) as ledger,
        contextlib.ExitStack() as bridges,
    ):
        former = bridges.enter_context(activated_up(tmp_path, listener))
        wait_until(lambda: f"is ready at {former.url}." in former.text(), "a ready bridge")
        add_store(former)
        shop = SteadyShop(former.url)
        with shop.open():
            wait_until(lambda: len(shop.acknowledged) > 100, "deliveries before")
            former.process.terminate()
            assert former.process.wait(120) == 0
            before = len(shop.acknowledged)
            bridges.enter_context(activated_up(tmp_path, listener))
            wait_until(lambda: len(shop.acknowledged) > before + 100, "deliveries after")
        shop.assert_nothing_was_lost(ledger)


def test_a_socket_that_is_no_tcp_port_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        with activated_up(tmp_path, listener) as up:
            assert up.process.wait(60) == 1
    assert "give its .socket unit one ListenStream= with a port" in up.text()
    assert "Traceback" not in up.text()
    assert not (tmp_path / "data").exists()
