"""Lets several processes add up what they count: in files of one folder, of which each process has some.

That is prometheus_client's multiprocess mode, but for whose files are whose. It names them by the process, so
that each one that ever ran leaves some behind. Here a process takes over those of one that is no more, and
counts on: no count is lost with a worker that is killed, and there are files of as many processes as ran at a
time.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from itertools import count
from pathlib import Path
from typing import IO

import structlog
from prometheus_client import values

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # the variable that prometheus_client reads
# Each file has that much from the start. prometheus_client maps files into memory, and to write to a part
# that a full disk has no room for would end the process.
ROOM = 128 * 1024  # bytes: some 100 stores
_KINDS = ("counter", "histogram", "gauge_max")  # of metric, as the files' names begin

log = structlog.get_logger(__name__)


def share() -> None:
    """Have this process and those it forks add up their metrics, from when they import `counts`.

    They do so in the folder that the environment names, with whoever else does; or in a temporary one.
    """
    try:
        if folder := os.environ.get(FOLDER):
            Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            return
        folder = tempfile.mkdtemp(prefix="spacebridge-metrics-")
    except OSError as error:
        _go_alone(error)
        return
    os.environ[FOLDER] = folder
    atexit.register(_remove, folder, os.getpid())


def take_part() -> None:
    """Have what this process counts written to the shared folder, if there is one."""
    if FOLDER not in os.environ:
        return
    try:
        values.ValueClass = values.MultiProcessValue(_Place().number)  # type: ignore[no-untyped-call]
    except OSError as error:
        _go_alone(error)


class _Place:
    """A number that no other living process has, and the files that bear it."""

    def __init__(self) -> None:
        self._pid: int | None = None
        self._number = ""
        self._lock: IO[bytes] | None = None

    def number(self) -> str:
        """This process' number: another one after a fork. Raises OSError."""
        if self._pid != os.getpid():
            self._take(Path(os.environ[FOLDER]))
        return self._number

    def _take(self, folder: Path) -> None:
        for number in count():
            lock = (folder / f"{number}.lock").open("wb")
            try:
                # The process' own: no child has it, too, and it ends when the process does, however that is.
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                lock.close()
                continue
            for kind in _KINDS:
                _make(folder / f"{kind}_{number}.db")
            self._pid, self._number, self._lock = os.getpid(), str(number), lock
            return


def _make(file: Path) -> None:
    """Make a file of zeros, which is an empty one to prometheus_client. Nobody sees a part of it."""
    if not file.exists():
        new = file.with_suffix(".new")
        new.write_bytes(bytes(ROOM))
        new.rename(file)


def _go_alone(error: OSError) -> None:
    log.warning("each process tells its own metrics: they cannot be added up", error=str(error))
    os.environ.pop(FOLDER, None)
    values.ValueClass = values.MutexValue


def _remove(folder: str, pid: int) -> None:
    if os.getpid() == pid:  # and not in a child, which inherits what is to be done at the end
        shutil.rmtree(folder, ignore_errors=True)
