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

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # the variable that prometheus_client reads, too
# Bytes that a process' file of each kind of metric has from the start; the counters' last for some 80 stores.
# prometheus_client maps files into memory, and to write to a part that a full disk has no room for would end
# the process.
_ROOM = {"counter": 128 * 1024, "histogram": 16 * 1024, "gauge_max": 4 * 1024}

log = structlog.get_logger(__name__)


def share() -> None:
    """Have this process and those it forks add up their metrics, from when they import `counts`.

    They do so in the folder that the environment names, with whoever else does; or in a temporary one.
    """
    try:
        if given := os.environ.get(FOLDER):
            folder = Path(given)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        else:
            folder = Path(tempfile.mkdtemp(prefix="spacebridge-metrics-"))
            atexit.register(_remove, folder, os.getpid())
    except OSError as error:
        _tell(error)
        return
    os.environ[FOLDER] = str(folder)
    _place.folder = folder


def take_part() -> None:
    """Have what this process counts written to the shared folder; if there is none, kept in its memory."""
    values.ValueClass = values.MutexValue  # whatever the environment says to those that share nothing
    if _place.folder is None:
        return
    try:
        values.ValueClass = values.MultiProcessValue(_place.number)  # type: ignore[no-untyped-call]
    except OSError as error:
        _place.folder = None
        _tell(error)


def folder() -> Path | None:
    """The folder in which this process and others add up their metrics, if they do."""
    return _place.folder


class _Place:
    """A number that no other living process has, and the files that bear it."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self._pid: int | None = None
        self._number = ""
        self._lock: IO[bytes] | None = None

    def number(self) -> str:
        """This process' number: another one after a fork. Raises OSError."""
        if self._pid != os.getpid() and self.folder is not None:
            self._take(self.folder)
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
            for kind, room in _ROOM.items():
                _make(folder / f"{kind}_{number}.db", room)
            self._pid, self._number, self._lock = os.getpid(), str(number), lock
            return


_place = _Place()


def _make(file: Path, room: int) -> None:
    """Make a file of zeros, which is an empty one to prometheus_client. Nobody sees a part of it."""
    if not file.exists():
        new = file.with_suffix(".new")
        new.write_bytes(bytes(room))
        new.rename(file)


def _tell(error: OSError) -> None:
    log.warning("each process tells its own metrics: they cannot be added up", error=str(error))


def _remove(folder: Path, pid: int) -> None:
    if os.getpid() == pid:  # and not in a child, which inherits what is to be done at the end
        shutil.rmtree(folder, ignore_errors=True)
