"""Ends what a run has started and removes its temporary folder, however the run itself ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def start() -> None:
    """Give this process, and all that it starts, a temporary folder that goes with it.

    A process of its own watches: even a run that is killed leaves no server and no folder behind.
    """
    folder = Path(tempfile.mkdtemp(prefix="spacebridge-"))
    folder.chmod(0o711)  # PostgreSQL runs as another user where root runs the tests
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None  # asked for again
    reading, _writing = os.pipe()  # the writing end is this process' alone, and closes as it ends
    os.posix_spawn(
        sys.executable,
        [sys.executable, __file__, str(folder)],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, reading, 0)],
        setsid=True,  # what ends a whole group must not end the one that cleans up
    )
    os.close(reading)


def clean_up(folder: Path) -> None:
    """Kill whatever has `folder` for its temporary files or lies in it, then remove it."""
    while pids := list(_started_under(folder)):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if Path(line.split()[1]).is_relative_to(folder):  # a disk of the faults suite
            subprocess.run(["umount", "--lazy", line.split()[1]], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def _started_under(folder: Path) -> Iterator[int]:
    setting = b"TMPDIR=" + bytes(folder)
    settings_below = setting + b"/"
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        with suppress(OSError):  # it has ended meanwhile
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            variables = (process / "environ").read_bytes().split(b"\0")
            # A server may write its title over its environment; those of the tests work in their folders.
            is_given = any(one == setting or one.startswith(settings_below) for one in variables)
            if state != "Z" and (is_given or (process / "cwd").readlink().is_relative_to(folder)):
                yield int(process.name)


if __name__ == "__main__":
    sys.stdin.read()
    clean_up(Path(sys.argv[1]))
