"""The container's health check: what it says of a part that is well, stopped, or answers nobody."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.vault.encryption import make_key
from tests import ROOT
from tests.support import proc
from tests.support.servers import RedisServer, free_port, wait_until

CHECK = ROOT / "deploy" / "healthcheck.py"
CELERY = [sys.executable, "-m", "celery", "--app", "worker.app"]


def check(folder: Path, *arguments: str, pid: int = 1) -> subprocess.CompletedProcess[str]:
    """Run it as a container would, of which `pid` is the process."""
    return subprocess.run(
        [sys.executable, "-I", CHECK, *arguments],
        env={"HEALTHCHECK_PID": str(pid), "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def part(redis_server: RedisServer, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker."""
    environment = os.environ | {
        "SPACEBRIDGE_DATA_DIR": str(tmp_path),
        "SPACEBRIDGE_SECRET_KEY": make_key(),
        "SPACEBRIDGE_BROKER_URL": redis_server.new_url(),
    }
    database = environment["SPACEBRIDGE_BROKER_URL"].rpartition("/")[2]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*CELERY, "worker", "--pool", "threads", "--concurrency", "2"],
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        with redis_server.client() as client:
            wait_until(
                lambda: any(one["db"] == database for one in client.client_list()), "a connection to Redis"
            )
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(30)


def test_a_part_whose_loop_turns_is_well_and_a_stopped_one_is_not(
    part: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    assert check(tmp_path, pid=part.pid).returncode == 0  # nothing to compare with yet
    wait_until(lambda: _has_turned(part.pid, tmp_path), "a turn of the loop")
    part.send_signal(signal.SIGSTOP)
    wait_until(lambda: proc.state(part.pid) == "T", "a stop of all its threads")
    check(tmp_path, pid=part.pid)
    stopped = check(tmp_path, pid=part.pid)
    assert stopped.returncode == 1
    assert "has not woken since the last time" in stopped.stderr
    part.send_signal(signal.SIGCONT)
    wait_until(lambda: _has_turned(part.pid, tmp_path), "a turn of the loop, once it may go on")


def _has_turned(pid: int, folder: Path) -> bool:
    return check(folder, pid=pid).returncode == 0


def test_behind_an_init_its_child_is_looked_at(tmp_path: Path) -> None:
    init = tmp_path / "tini"
    init.write_text('#!/bin/sh\n"$@" &\nwait\n')
    init.chmod(0o700)
    celery = tmp_path / "celery"
    celery.symlink_to(shutil.which("sleep") or "")  # a loop that never turns
    notes = tmp_path / "notes"
    notes.mkdir()
    process = subprocess.Popen([init, celery, "1000"], start_new_session=True)
    try:
        wait_until(lambda: [[str(celery)]] == _commands_of_children(process.pid), "the init's child")
        check(notes, pid=process.pid)
        again = check(notes, pid=process.pid)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert again.returncode == 1
    assert "has not woken since the last time" in again.stderr


def _commands_of_children(pid: int) -> list[list[str]]:
    return [proc.command(child)[:1] for child in proc.children(pid)]


def test_an_address_that_answers_is_well_and_one_that_does_not_is_not(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "there").touch()
    server = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(
            lambda: check(tmp_path, f"http://127.0.0.1:{port}/there").returncode == 0,
            "an answer of the server",
        )
        missing = check(tmp_path, f"http://127.0.0.1:{port}/missing")
        assert (missing.returncode, "404" in missing.stderr) == (1, True)
    finally:
        server.terminate()
        server.wait(30)
    assert check(tmp_path, f"http://127.0.0.1:{port}/there").returncode == 1


def test_a_part_that_is_not_celery_is_asked_as_the_receiver(tmp_path: Path) -> None:
    sleeper = subprocess.Popen(["sleep", "1000"])  # its loop never turns
    try:
        answers = [check(tmp_path, pid=sleeper.pid) for _ in range(2)]
    finally:
        sleeper.kill()
        sleeper.wait()
    for answer in answers:  # of whoever is at that port of this machine, if anyone
        assert answer.returncode == 0 or "http://127.0.0.1:8080/healthz" in answer.stderr
    assert not list(tmp_path.iterdir())
