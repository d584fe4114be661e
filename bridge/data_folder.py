"""The embedded bridge's data folder: who holds it, and that nobody else looks into it."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

import structlog

UP_LOCK = "up.lock"  # held by the one `spacebridge up` over a data folder
_OTHERS = stat.S_IRWXG | stat.S_IRWXO

log = structlog.get_logger(__name__)


def make_private(folder: Path | None = None) -> None:
    """Have whatever this process and its children make be their user's alone, whatever its umask was.

    With a data folder: what is in it as well, by whichever version or back-up it was put there. That is a
    folder of files, at most with other data folders in it; anything else is told of and left as it is, since
    others may have to get at what lies beside the ledger.
    """
    os.umask(_OTHERS)
    if folder is None or not folder.is_dir():
        return
    try:
        _mend(folder)
    except OSError as error:
        log.warning("the data folder cannot be made private", folder=str(folder), error=error.strerror)


def _mend(folder: Path) -> None:
    with os.scandir(folder) as entries:
        found = list(entries)
    is_own = not folder.stat().st_mode & stat.S_ISVTX and all(
        one.is_file(follow_symlinks=False) or _is_data_folder(one) for one in found if not one.is_symlink()
    )
    if is_own:
        _take_from_others(folder)
    elif folder.stat().st_mode & _OTHERS:
        log.warning("others may look into the data folder, which has more in it", folder=str(folder))
    for one in found:
        if one.is_file(follow_symlinks=False) and (is_own or one.name.startswith(_NAMES)):
            _take_from_others(Path(one.path))
        elif is_own and one.is_dir(follow_symlinks=False):
            _mend(Path(one.path))


_NAMES = ("ledger.db", "secret.key", UP_LOCK, "demo.log")


def _is_data_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and (Path(entry.path) / UP_LOCK).exists()


def _take_from_others(path: Path) -> None:
    """Take all rights from everybody but the owner."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return  # such as SQLite's own files, as the last one closes the ledger
    if status.st_mode & _OTHERS and status.st_uid == os.geteuid():
        path.chmod(stat.S_IMODE(status.st_mode) & ~_OTHERS)


def is_up(data_dir: Path) -> bool:
    """Whether a `spacebridge up` holds this data folder."""
    try:
        with (data_dir / UP_LOCK).open(encoding="utf-8") as lock:
            # Shared, so that two that look do not take each other for one. An `up` that starts in this very
            # instant tries again.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
