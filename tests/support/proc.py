"""What Linux tells about processes (proc(5))."""

from __future__ import annotations

import contextlib
from pathlib import Path

_GONE = FileNotFoundError, ProcessLookupError  # before its file is opened, or after


def state(pid: int) -> str:
    """The letter of proc(5): "R" runs, "S" waits, "T" is stopped, "Z" has ended and nobody has collected it.

    Raises FileNotFoundError or ProcessLookupError if there is no such process.
    """
    # The command's name stands before it in parentheses, and may have any character in it.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def children(pid: int) -> list[int]:
    """Those that its threads have started; none if there is no such process."""
    found = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(*_GONE):
            found += [int(child) for child in file.read_text().split()]
    return found


def command(pid: int) -> list[str]:
    """Its arguments, the command's name first; none of a process that has ended."""
    with contextlib.suppress(*_GONE):
        if line := Path(f"/proc/{pid}/cmdline").read_text():
            return line.rstrip("\0").split("\0")
    return []
