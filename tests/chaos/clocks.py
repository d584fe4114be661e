"""Clocks of their own for the processes of a bridge, which differ and step while they run.

libfaketime, which a wheel brings along, stands between a process and the time of day. It is told how far away
that is by a file, which it reads whenever it is asked. Waiting goes by another clock, which it leaves alone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

_LEFT_BEHIND = Path("/dev/shm")  # noqa: S108 - where the library keeps what a killed process leaves


class Clocks:
    """How far each part's clock is ahead of this machine's."""

    def __init__(self, folder: Path, library: Path) -> None:
        folder.mkdir()
        self._folder, self._library = folder, library

    def environment(self, part: str) -> Mapping[str, str]:
        """What gives a process the clock of this part, which is right until it is set."""
        self.set(part, 0)
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._folder / part),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Otherwise a thread of Python's that waits for the interpreter gets it after 150 ms instead of 5.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }

    def set(self, part: str, ahead: float) -> None:
        """Set a part's clock so many seconds ahead, or back if negative."""
        new = self._folder / f"{part}.new"
        new.write_text(f"{ahead:+.3f}\n")
        new.replace(self._folder / part)


def library() -> Path | None:
    """The library, if there is one that fits this machine."""
    spec = importlib.util.find_spec("libfaketime")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).with_name("vendor") / "libfaketime" / "src" / "libfaketime.so.1"
    return path if _machine(path) == _machine(Path(sys.executable)) else None


def _machine(program: Path) -> bytes:
    """For which kind of machine a program is, as the head of an ELF file has it."""
    with program.open("rb") as file:
        return file.read(20)[18:]


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Clocks | None]:
    """The clocks, or None where there is no library for them."""
    found = library()
    yield Clocks(folder, found) if found else None
    for pattern in ("faketime_shm_*", "sem.faketime_sem_*"):
        for file in _LEFT_BEHIND.glob(pattern):
            if not Path("/proc", file.name.rpartition("_")[2]).exists():
                file.unlink(missing_ok=True)
