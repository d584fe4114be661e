"""The embedded bridge's data folder: who holds it."""

from __future__ import annotations

import fcntl
from pathlib import Path

UP_LOCK = "up.lock"  # held by the one `spacebridge up` over a data folder


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
