"""How a process that `spacebridge up` starts says that it is ready: it makes the file that up named."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

READY_FILE = "SPACEBRIDGE_READY_FILE"  # the environment variable with the file's path


def say_that_it_is_ready() -> None:
    """Make the file. Does nothing where the environment names none."""
    if path := os.environ.get(READY_FILE):
        # If the folder is gone, `up` notices that the file is missing, and this process works all the same.
        with suppress(OSError):
            Path(path).touch()
