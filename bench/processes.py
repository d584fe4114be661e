"""Child processes that are measured: each in a session of its own, and stopped with its children."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

STOP_WITHIN = 15.0  # seconds


class Process:
    """A Python module run as a process, in a session of its own; its output goes to a file."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        log: Path,
        python: str = sys.executable,
    ) -> None:
        """`folder`: where it runs, and where Python looks for its modules first."""
        self.arguments = arguments
        self._python = python
        self._folder = folder
        self._environment = {**os.environ, **environment}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns at once."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [self._python, "-m", *self.arguments],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def stop(self) -> None:
        """Ask it to stop, and wait for it; what is left of it then is killed."""
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_WITHIN)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_WITHIN)
        self._process = None

    def check(self) -> int:
        """Its id; raises RuntimeError, with the end of its log, unless it runs."""
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"{' '.join(self.arguments)} does not run:\n{self._log.read_text()[-3000:]}")
        return self._process.pid

    def memory(self) -> float:
        """MiB that it and its children take of the machine, their proportional set size; 0 if not started."""
        if self._process is None:
            return 0.0
        return sum(_proportional_set_size(pid) for pid in _tree(self.check())) / 2**20

    @contextmanager
    def running(self) -> Iterator[None]:
        """Started, and stopped at the end of the block."""
        self.start()
        try:
            yield
        finally:
            self.stop()


def _tree(root: int) -> Sequence[int]:
    """The ids of a process and of all that descend from it."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            # The name in parentheses may hold anything; state and parent follow it.
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _proportional_set_size(pid: int) -> int:
    """Bytes: its own memory, and its share of what it has in common with others."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Pss":
            return int(value.split()[0]) * 1024
    raise RuntimeError(f"the kernel does not tell the proportional set size of process {pid}")
