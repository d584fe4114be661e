"""Which processes hold file locks, and which processes are stopped, as Linux shows it in /proc."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

_PROC = Path("/proc")


def lock_holders() -> Set[int]:
    """The ids of the processes that hold an exclusive lock by flock(); empty on a system without /proc."""
    try:
        lines = (_PROC / "locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return set()
    # "1: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF"; for a process that waits, "1: -> FLOCK ...".
    fields = [line.split() for line in lines]
    return {int(line[4]) for line in fields if line[1] == "FLOCK" and line[3] == "WRITE"}


def stopped_in_session(pid: int) -> int | None:
    """The session of a process that a signal has stopped; None if it is not stopped, or gone."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # "4711 (a name) T 1 4711 4711 ...": after the name, its state, its parent, its group and its session.
    state, _, _, session, *_ = stat.rpartition(")")[2].split()
    return int(session) if state == "T" else None
