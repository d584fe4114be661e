"""The lock of a data folder, which one `spacebridge up` at a time holds."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bridge.data_folder import UP_LOCK

_TIMEOUT = 1.0  # seconds


class DataFolderError(Exception):
    """`up` cannot use the data folder; the message says why, and what to do."""


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Make the data folder if it is missing, and hold its lock; raises DataFolderError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / UP_LOCK).open("w")
    except OSError as error:
        raise DataFolderError(
            f"The data folder {folder} cannot be written: {error.strerror}. Give another with --data-dir."
        ) from None
    with lock:
        if not _try_lock(lock):
            raise DataFolderError(
                f"Another `spacebridge up` is running over {folder}: stop that one, or give another "
                "--data-dir."
            )
        yield


def _try_lock(lock: IO[str]) -> bool:
    """Lock the file; False after _TIMEOUT. `is_up` holds the lock for an instant, which is not an `up`."""
    deadline = time.monotonic() + _TIMEOUT
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)  # flock itself has no timeout, and an `up` holds the lock while it runs
        else:
            return True
