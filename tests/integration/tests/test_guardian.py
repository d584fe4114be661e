"""A run of tests that is killed leaves no server and no folder behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import wait_until

RUN = """
import os, signal, tempfile
from tests.support import guardian
guardian.start()
from tests.support.servers import PostgresServer, RedisServer
with PostgresServer() as postgres, RedisServer() as redis:
    print(tempfile.gettempdir(), postgres.process.pid, redis.process.pid, flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_run_has_started_ends_and_its_folder_goes(number: signal.Signals) -> None:
    run = subprocess.Popen([sys.executable, "-c", RUN], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    with run, run.stdout as output:
        folder, *pids = output.readline().split()
        assert Path(folder).is_dir()
        run.send_signal(number)
    wait_until(lambda: not Path(folder).exists(), "a folder that is gone")
    assert not [pid for pid in pids if _is_alive(int(pid))]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
