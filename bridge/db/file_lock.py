"""A lock on a file that is acquired at once or not at all."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.db.errors import LedgerUnavailableError


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Try to hold the lock for the block; yields whether that succeeded.

    The operating system releases it when its holder dies. Raises LedgerUnavailableError if the file cannot be
    opened.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LedgerUnavailableError(f"{path}: {error.strerror}") from error
    try:
        yield _try_flock(descriptor)
    finally:
        os.close(descriptor)


def _try_flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
