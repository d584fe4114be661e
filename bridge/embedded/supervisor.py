"""Starts, restarts, replaces and stops the parts of an embedded bridge, as child processes, in order."""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO

import structlog

from bridge.embedded.file_locks import lock_holders, stopped_in_session
from bridge.ready_file import READY_FILE

RESTART_DELAYS = (0.5, 1.0, 2.0, 5.0, 10.0)  # seconds, for a part that dies again and again
STABLE_AFTER = 30.0  # seconds after which a part that dies counts as having died for the first time
START_WITHIN = 60.0  # seconds until a part is ready
MIGRATE_WITHIN = 600.0  # seconds; what a migration has not committed by then is undone
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
    `is_replaced`: a new version of it takes over, which says by its READY_FILE that it is ready.
    `descriptors`: the open files that it inherits.
    """

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    is_ready: Callable[[], bool] | None = None
    stop_within: float = 35.0
    prints_log_lines: bool = True
    is_replaced: bool = False
    descriptors: Sequence[int] = ()


@dataclass(slots=True, eq=False)
class _Running:
    part: Part
    process: subprocess.Popen[bytes]
    started_at: float  # by time.monotonic
    ready_file: Path
    deaths: int = 0


class Supervisor:
    """Keeps parts running until SIGTERM or SIGINT; then stops them, the last one started first.

    SIGUSR2 replaces parts by those of the version that is installed now.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        migration: Part,
        *,
        listener: socket.socket,
        run_dir: Path,
        output: IO[bytes] | None = None,
    ) -> None:
        """`migration`: runs to its end before parts are replaced. `listener`: the one that parts inherit.

        `run_dir`: a folder for the ready files. `output`: where all output of the parts goes; that of this
        process if None.
        """
        self._parts = parts
        self._migration = migration
        self._listener = listener
        self._run_dir = run_dir
        self._output = output
        self._running: dict[str, _Running] = {}
        self._retiring: list[tuple[_Running, threading.Thread]] = []
        self._launches = 0
        # SimpleQueue.put is safe in a signal handler.
        self._events: queue.SimpleQueue[tuple[str, _Running | None]] = queue.SimpleQueue()
        self._stopping = False

    def start(self, *, within: float = START_WITHIN) -> None:
        """Start the parts in order, each when the part before it is ready.

        Raises StartError if a part is not ready `within` seconds, or if a signal came first. Then all parts
        are stopped.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGUSR2, lambda _number, _frame: self._events.put(("replace", None)))
        for part in self._parts:
            running = self._running[part.name] = self._launch(part)
            try:
                self._await(running, partial(_is_ready, running), within)
            except StartError:
                self.stop()
                raise

    def run(self) -> None:
        """Restart the parts that die until a signal comes; then stop all parts."""
        stopped: Set[int] = set()
        while not self._stopping:
            try:
                event, running = self._events.get(timeout=CHECK_INTERVAL)
            except queue.Empty:
                stopped = self._kill_stopped_lock_holders(stopped)
                continue
            if event == "replace":
                self._replace()
            elif running is None or running is not self._running.get(running.part.name):
                continue  # a stop, or the end of a process that another has replaced
            elif event == "died":
                self._restart_later(running)
            else:
                self._running[running.part.name] = self._launch(running.part, deaths=running.deaths)
        self.stop()

    def _replace(self) -> None:
        """Replace parts by those of the version that is installed now, without a moment without any.

        1. Migrate the ledger by the new version; the former one runs over the new schema, too.
        2. Start the new parts beside the former ones: the receivers accept from the same socket, and of two
           workers one claims.
        3. When all new parts are ready, stop the former ones, each of which ends what it has begun.

        If a step fails or a signal to stop comes, the new parts are stopped, and the former ones go on.
        """
        log.info("the installed version is started")
        started: list[_Running] = []
        try:
            migration = self._launch(self._migration)
            started.append(migration)
            self._await(migration, lambda: migration.process.poll() == 0, MIGRATE_WITHIN)
            for part in self._parts:
                if part.is_replaced:
                    running = self._launch(part)
                    started.append(running)
                    self._await(running, running.ready_file.exists, START_WITHIN)
        except (StartError, OSError) as error:
            # A part that fails prints its own reason.
            reason = f"{error}; the lines before this one may say why"
            log.error("the installed version did not start, and the former one goes on", reason=reason)  # noqa: TRY400
            for running in started:
                self._retire(running)
            return
        for running in started[1:]:
            self._retire(self._running[running.part.name])
            self._running[running.part.name] = running
        log.info("the installed version has taken over")

    def _kill_stopped_lock_holders(self, stopped_before: Set[int]) -> Set[int]:
        """Kill the parts' processes that are stopped with a file locked, and were so at the last check.

        A process that is stopped (SIGSTOP) in a transaction of SQLite keeps all others from writing, and only
        its end releases the lock. Killing it is safe at any moment. A process that is stopped elsewhere is
        left alone. Returns the ids of the processes that are stopped with a file locked now.
        """
        everything = [*self._running.values(), *(running for running, _ in self._retiring)]
        parts = {running.process.pid: running.part.name for running in everything}
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
        # A client is to be refused, rather than wait for an answer that nobody will give. Where systemd holds
        # the socket, too, the client waits for the next `up`.
        self._listener.close()
        for running in reversed(self._running.values()):
            if not running.part.is_replaced:  # a retiring part may need it, as a worker needs the broker
                self._await_retiring()
            _end(running)

    def _retire(self, running: _Running) -> None:
        """Stop a part that has been replaced, while this process goes on."""
        self._retiring = [pair for pair in self._retiring if pair[1].is_alive()]
        thread = threading.Thread(target=_end, args=(running,), daemon=True)
        thread.start()
        self._retiring.append((running, thread))

    def _await_retiring(self) -> None:
        for _, thread in self._retiring:
            thread.join()

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
        self._events.put(("stop", None))  # wakes `run`

    def _launch(self, part: Part, *, deaths: int = 0) -> _Running:
        self._launches += 1
        ready_file = self._run_dir / f"ready-{self._launches}"
        # In a session of its own, so that Ctrl-C reaches this process alone, which stops the parts in order.
        process = subprocess.Popen(  # noqa: S603 - the arguments are ours
            part.arguments,
            env={**os.environ, **part.environment, READY_FILE: str(ready_file)},
            stdin=subprocess.DEVNULL,
            stdout=self._output or (None if part.prints_log_lines else sys.stderr.fileno()),
            stderr=self._output,
            start_new_session=True,
            pass_fds=part.descriptors,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - it takes no lock
        )
        running = _Running(part, process, time.monotonic(), ready_file, deaths)
        threading.Thread(target=self._watch, args=(running,), daemon=True).start()
        return running

    def _watch(self, running: _Running) -> None:
        running.process.wait()
        self._events.put(("died", running))

    def _restart_later(self, running: _Running) -> None:
        if self._stopping:
            return
        if time.monotonic() - running.started_at > STABLE_AFTER:
            running.deaths = 0
        delay = RESTART_DELAYS[min(running.deaths, len(RESTART_DELAYS) - 1)]
        running.deaths += 1
        name, status = running.part.name, running.process.returncode
        log.error("died and is started again", part=name, status=status, delay=delay)
        timer = threading.Timer(delay, self._events.put, args=(("restart", running),))
        timer.daemon = True
        timer.start()

    def _await(self, running: _Running, is_ready: Callable[[], bool], within: float) -> None:
        deadline = time.monotonic() + within
        name = running.part.name
        while not is_ready():
            if self._stopping:
                raise StartError("stopped before everything was ready")
            if (status := running.process.poll()) is not None and not is_ready():
                raise StartError(f"the {name} ended with status {status} as it started")
            if time.monotonic() > deadline:
                raise StartError(f"the {name} was not ready after {within:.0f} seconds")
            time.sleep(0.02)  # another process becomes ready, which cannot wake this one


def _is_ready(running: _Running) -> bool:
    part = running.part
    if part.is_ready is None:
        return True
    # Before its file is there, a question to a receiver would only wait in the socket.
    return (not part.is_replaced or running.ready_file.exists()) and part.is_ready()


def _end(running: _Running) -> None:
    """Stop a part with SIGTERM, and kill it after `stop_within`."""
    if running.process.poll() is not None:
        return
    running.process.terminate()
    try:
        running.process.wait(running.part.stop_within)
    except subprocess.TimeoutExpired:
        log.warning("did not stop in time and is ended", part=running.part.name)
        with suppress(ProcessLookupError):
            os.killpg(running.process.pid, signal.SIGKILL)
        running.process.wait()


def _end_with_parent() -> None:
    """Let the kernel stop a part whose supervisor was killed, so that the part does not keep the port."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
