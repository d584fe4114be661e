"""Starts, restarts and stops the parts of an embedded bridge, as child processes, in order."""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import IO

import structlog

from bridge.embedded.file_locks import lock_holders, stopped_in_session

RESTART_DELAYS = (0.5, 1.0, 2.0, 5.0, 10.0)  # seconds, for a part that dies again and again
STABLE_AFTER = 30.0  # seconds after which a part that dies counts as having died for the first time
CHECK_INTERVAL = 1.0  # seconds between two checks for stopped processes
_PR_SET_PDEATHSIG = 1
# Loaded here, since nothing between fork and exec may wait for another thread's lock.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None

log = structlog.get_logger(__name__)


class StartError(Exception):
    """A part did not become ready; the message names the part."""


@dataclass(frozen=True, slots=True)
class Part:
    """A child process. `is_ready`: whether the next part may start. `stop_within`: seconds to stop in.

    `prints_log_lines`: its standard output holds log lines, and goes to this process' own.
    """

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    is_ready: Callable[[], bool] | None = None
    stop_within: float = 35.0
    prints_log_lines: bool = True


@dataclass(slots=True)
class _Running:
    part: Part
    process: subprocess.Popen[bytes]
    started_at: float
    deaths: int = 0


class Supervisor:
    """Keeps parts running until SIGTERM or SIGINT; then stops them, the last one started first."""

    def __init__(self, parts: Sequence[Part], *, output: IO[bytes] | None = None) -> None:
        """`output`: where all output of the parts goes; that of this process if None."""
        self._parts = parts
        self._output = output
        self._running: dict[str, _Running] = {}
        # SimpleQueue.put is safe in a signal handler.
        self._events: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._stopping = False

    def start(self, *, within: float = 60.0) -> None:
        """Start the parts in order, each when the part before it is ready.

        Raises StartError if a part is not ready `within` seconds, or if a signal came first. Then all parts
        are stopped.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        for part in self._parts:
            self._launch(part, deaths=0)
            try:
                self._await(part, within)
            except StartError:
                self.stop()
                raise

    def run(self) -> None:
        """Restart the parts that die until a signal comes; then stop all parts."""
        stopped: Set[int] = set()
        while not self._stopping:
            try:
                event, name = self._events.get(timeout=CHECK_INTERVAL)
            except queue.Empty:
                stopped = self._kill_stopped_lock_holders(stopped)
                continue
            if event == "died":
                self._restart_later(name)
            elif event == "restart":
                running = self._running[name]
                self._launch(running.part, deaths=running.deaths)
        self.stop()

    def _kill_stopped_lock_holders(self, stopped_before: Set[int]) -> Set[int]:
        """Kill the parts' processes that are stopped with a file locked, and were so at the last check.

        A process that is stopped (SIGSTOP) in a transaction of SQLite keeps all others from writing, and only
        its end releases the lock. Killing it is safe at any moment. A process that is stopped elsewhere is
        left alone. Returns the ids of the processes that are stopped with a file locked now.
        """
        parts = {running.process.pid: name for name, running in self._running.items()}
        stopped = {
            pid: parts[session] for pid in lock_holders() if (session := stopped_in_session(pid)) in parts
        }
        for pid in stopped_before & stopped.keys():
            log.error("stands still with the ledger locked, and is ended", part=stopped[pid], pid=pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return stopped.keys()

    def stop(self) -> None:
        """Stop each part with SIGTERM, the last one started first, and kill it after `stop_within`."""
        self._stopping = True
        for running in reversed(self._running.values()):
            if running.process.poll() is not None:
                continue
            running.process.terminate()
            try:
                running.process.wait(running.part.stop_within)
            except subprocess.TimeoutExpired:
                log.warning("did not stop in time and is ended", part=running.part.name)
                os.killpg(running.process.pid, signal.SIGKILL)
                running.process.wait()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
        self._events.put(("stop", ""))  # wakes `run`

    def _launch(self, part: Part, *, deaths: int) -> None:
        # In a session of its own, so that Ctrl-C reaches this process alone, which stops the parts in order.
        process = subprocess.Popen(  # noqa: S603 - the arguments are ours
            part.arguments,
            env={**os.environ, **part.environment},
            stdin=subprocess.DEVNULL,
            stdout=self._output or (None if part.prints_log_lines else sys.stderr.fileno()),
            stderr=self._output,
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - it takes no lock
        )
        self._running[part.name] = _Running(part, process, time.monotonic(), deaths)
        threading.Thread(target=self._watch, args=(part.name, process), daemon=True).start()

    def _watch(self, name: str, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._events.put(("died", name))

    def _restart_later(self, name: str) -> None:
        running = self._running[name]
        if self._stopping or running.process.poll() is None:
            return
        if time.monotonic() - running.started_at > STABLE_AFTER:
            running.deaths = 0
        delay = RESTART_DELAYS[min(running.deaths, len(RESTART_DELAYS) - 1)]
        running.deaths += 1
        log.error("died and is started again", part=name, status=running.process.returncode, delay=delay)
        timer = threading.Timer(delay, self._events.put, args=(("restart", name),))
        timer.daemon = True
        timer.start()

    def _await(self, part: Part, within: float) -> None:
        deadline = time.monotonic() + within
        while not (part.is_ready is None or part.is_ready()):
            process = self._running[part.name].process
            if self._stopping:
                raise StartError("stopped before everything was ready")
            if process.poll() is not None:
                raise StartError(f"the {part.name} ended with status {process.returncode} as it started")
            if time.monotonic() > deadline:
                raise StartError(f"the {part.name} was not ready after {within:.0f} seconds")
            time.sleep(0.02)  # another process becomes ready, which cannot wake this one


def _end_with_parent() -> None:
    """Let the kernel stop a part whose supervisor was killed, so that the part does not keep the port."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
