"""The data folder of an embedded bridge: keeps it private, and finds out whether it is in use."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

import structlog

UP_LOCK = "up.lock"  # the one `spacebridge up` that uses a data folder holds a lock on it
_FILES = ("ledger.db", "secret.key", UP_LOCK, "demo.log")  # how the names of the bridge's own files begin
_OTHERS = stat.S_IRWXG | stat.S_IRWXO

log = structlog.get_logger(__name__)


def make_private(folder: Path | None = None) -> None:
    """Make files that this process and its children create readable for their user only.

    With a data folder, also make the files private that are in it, such as those of an older version or of a
    back-up. A data folder holds files, and at most other data folders. In a folder that holds anything else,
    only the files of the bridge are made private, and a warning is logged: others may need the rest.
    """
    os.umask(_OTHERS)
    if folder is None or not folder.is_dir():
        return
    try:
        _make_private(folder)
    except OSError as error:
        log.warning("the data folder cannot be made private", folder=str(folder), error=error.strerror)


def _make_private(folder: Path) -> None:
    with os.scandir(folder) as iterator:
        entries = list(iterator)
    is_own = not folder.stat().st_mode & stat.S_ISVTX and all(
        entry.is_file(follow_symlinks=False) or _is_data_folder(entry)
        for entry in entries
        if not entry.is_symlink()
    )
    if is_own:
        _revoke_others(folder)
    elif folder.stat().st_mode & _OTHERS:
        log.warning("others may look into the data folder, which has more in it", folder=str(folder))
    for entry in entries:
        if entry.is_file(follow_symlinks=False) and (is_own or entry.name.startswith(_FILES)):
            _revoke_others(Path(entry.path))
        elif is_own and entry.is_dir(follow_symlinks=False):
            _make_private(Path(entry.path))


def _is_data_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and (Path(entry.path) / UP_LOCK).exists()


def _revoke_others(path: Path) -> None:
    """Revoke all rights of the group and of others."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return  # such as SQLite's own files, which vanish when the last connection is closed
    if status.st_mode & _OTHERS and status.st_uid == os.geteuid():
        path.chmod(stat.S_IMODE(status.st_mode) & ~_OTHERS)


def is_up(data_dir: Path) -> bool:
    """Whether a `spacebridge up` uses this data folder."""
    try:
        with (data_dir / UP_LOCK).open(encoding="utf-8") as lock:
            # Shared, so that two calls of this do not see each other's lock. An `up` that starts in this
            # instant tries again.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
