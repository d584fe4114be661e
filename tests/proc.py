"""What Linux tells about processes (proc(5))."""

from __future__ import annotations

from pathlib import Path


def state(pid: int) -> str:
    """The letter of proc(5): "R" runs, "S" waits, "T" is stopped, "Z" has ended and nobody has collected it.

    Raises FileNotFoundError if there is no such process.
    """
    # The command's name stands before it in parentheses, and may have any character in it.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def children(pid: int) -> list[int]:
    """Those that its main thread has started. Raises FileNotFoundError if there is no such process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command(pid: int) -> list[str]:
    """Its arguments, the command's name first; none of a process that has ended."""
    return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
