"""Lets several processes add up their metrics, in files of one shared folder.

This is prometheus_client's multiprocess mode with other file names. The library names files by process id, so
every process that ever ran leaves some behind. Here a process takes over the files of one that has ended, and
counts on: no count is lost with a killed worker, and there are only files for as many processes as ran at the
same time.
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

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client reads this variable, too
# Bytes that a process' file has from the start, for each kind of metric; the counters' serve for 80 stores.
# prometheus_client maps files into memory, and a write to a page for which a full disk has no room would kill
# the process.
_SIZES = {"counter": 128 * 1024, "histogram": 16 * 1024, "gauge_max": 4 * 1024}

log = structlog.get_logger(__name__)


def share() -> None:
    """Share metrics among this process, those it forks, and others with the same folder.

    The environment names the folder; else it is a temporary one. It must be called before `counts` is
    imported.
    """
    try:
        if name := os.environ.get(FOLDER):
            folder = Path(name)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        else:
            folder = Path(tempfile.mkdtemp(prefix="spacebridge-metrics-"))
            atexit.register(_remove, folder, os.getpid())
    except OSError as error:
        _warn(error)
        return
    os.environ[FOLDER] = str(folder)
    _files.folder = folder


def choose_storage() -> None:
    """Keep this process' metrics in the shared folder, or in memory if there is none."""
    values.ValueClass = values.MutexValue  # also if the environment names a folder and `share` was not called
    if _files.folder is None:
        return
    try:
        values.ValueClass = values.MultiProcessValue(_files.number)  # type: ignore[no-untyped-call]
    except OSError as error:
        _files.folder = None
        _warn(error)


def folder() -> Path | None:
    """The folder in which this process and others add up their metrics; None if they do not."""
    return _files.folder


class _Files:
    """The files of this process, by a number that no other living process has."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self._pid: int | None = None
        self._number = ""
        self._lock: IO[bytes] | None = None

    def number(self) -> str:
        """The number of this process, which is another after a fork. Raises OSError."""
        if self._pid != os.getpid() and self.folder is not None:
            self._take(self.folder)
        return self._number

    def _take(self, folder: Path) -> None:
        for number in count():
            lock = (folder / f"{number}.lock").open("wb")
            try:
                # The process holds the lock: no child inherits it, and the kernel releases it when it ends.
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                lock.close()
                continue
            for kind, size in _SIZES.items():
                _make(folder / f"{kind}_{number}.db", size)
            self._pid, self._number, self._lock = os.getpid(), str(number), lock
            return


_files = _Files()


def _make(file: Path, size: int) -> None:
    """Make a file of zeros, atomically; prometheus_client reads it as empty."""
    if not file.exists():
        new = file.with_suffix(".new")
        new.write_bytes(bytes(size))
        new.rename(file)


def _warn(error: OSError) -> None:
    log.warning("each process tells its own metrics: they cannot be added up", error=str(error))


def _remove(folder: Path, pid: int) -> None:
    if os.getpid() == pid:  # a child inherits the exit handler
        shutil.rmtree(folder, ignore_errors=True)
