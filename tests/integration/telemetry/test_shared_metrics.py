"""What several processes count in one folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.telemetry import counts
from tests.support.running import run_command

COUNT = """
import os, sys
from bridge.telemetry import multiprocess
multiprocess.share()
from bridge.telemetry import counts
from bridge.web import metrics
from prometheus_client import generate_latest
def counted():
    text = generate_latest(metrics.counted()).decode()
    (line,) = [line for line in text.splitlines() if "decisions_total{" in line]
    return float(line.rpartition(" ")[2])
counts.decided("wait", "pending")
"""


def start(script: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COUNT + script],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said_by(process: subprocess.Popen[str], given: str = "") -> list[str]:
    output, _ = process.communicate(given, timeout=30)
    assert process.returncode == 0
    return output.split()


def files(folder: Path) -> set[str]:
    return {file.name for file in folder.glob("*.db")}


def test_a_process_counts_on_from_where_a_killed_one_was(tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    killed = start("print(counted(), flush=True); input()", PROMETHEUS_MULTIPROC_DIR=str(folder))
    assert killed.stdout is not None
    assert killed.stdout.readline() == "1.0\n"
    left = files(folder)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=30)
    assert said_by(start("print(counted())", PROMETHEUS_MULTIPROC_DIR=str(folder))) == ["2.0"]
    assert files(folder) == left


def test_processes_that_run_at_a_time_have_files_of_their_own(tmp_path: Path) -> None:
    one, other = (
        start("print(flush=True); input(); print(counted())", PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
        for _ in range(2)
    )
    for process in (one, other):
        assert process.stdout is not None
        process.stdout.readline()
    assert {"counter_0.db", "counter_1.db"} <= files(tmp_path)
    assert said_by(one, "\n") == ["2.0"]
    assert said_by(other, "\n") == ["2.0"]


def test_a_child_counts_apart_from_its_parent(tmp_path: Path) -> None:
    script = """
child = os.fork()
counts.decided("wait", "pending")
if not child:
    sys.exit(0)
os.waitpid(child, 0)
print(counted(), os.path.isdir(os.environ[multiprocess.FOLDER]))
"""
    # The folder is the parent's, and does not end with a child.
    assert said_by(start(script, TMPDIR=str(tmp_path))) == ["3.0", "True"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("in_the_way", ["metrics", "metrics/0.lock"])
def test_a_process_that_cannot_take_part_tells_its_own(tmp_path: Path, in_the_way: str) -> None:
    if in_the_way == "metrics":
        (tmp_path / in_the_way).touch()
    else:
        (tmp_path / in_the_way).mkdir(parents=True)
    said = said_by(start("print(counted())", PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "metrics")))
    assert "cannot be added up" in " ".join(said)
    assert said[-1] == "1.0"


def test_a_command_takes_no_part_whatever_the_environment_says(tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    shown = run_command(tmp_path, "orders", "list", "--json", PROMETHEUS_MULTIPROC_DIR=str(folder))
    assert "metrics" not in shown.stdout + shown.stderr
    assert not folder.exists()


def test_a_count_that_fails_harms_nobody() -> None:
    counts.attempt_ended("shop", "no such outcome", 1)
