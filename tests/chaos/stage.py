"""The stage: a running bridge, all that it stands on, and all that a fault can be done to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from bridge.db import LedgerUnavailableError
from bridge.db.tables import issuances
from tests.chaos.clocks import Clocks
from tests.chaos.disk import Disk
from tests.chaos.pipes import Pipe
from tests.chaos.wire import Wire
from tests.support.running import Process, RunningBridge
from tests.support.servers import PostgresServer, RedisServer

ROLES = ("receiver", "worker")
API_TIMEOUT = 3  # seconds
LEASE = 2 * API_TIMEOUT + 30  # seconds; as docs/reliability.md has it


@dataclass
class Stage:
    """All that a fault can be done to."""

    bridge: RunningBridge
    redis: RedisServer
    postgres: PostgresServer | None
    wire: Wire
    pipes: Mapping[str, Pipe]  # by the server's name
    clocks: Clocks | None
    disk: Disk | None
    random: Random
    haste: float = 1.0
    clocks_off: float = 0.0  # seconds, at most, that a clock is off when nothing has happened to it
    in_flight: int = 0  # requests that were under way at a fault after which nobody may know of them

    def pause(self, least: float, most: float) -> None:
        """Let a random while pass, in seconds, while the load goes on."""
        time.sleep(self.random.uniform(least, most) / self.haste)

    @property
    def has_a_clock_for_each(self) -> bool:
        """Whether its parts could run on machines of their own: an SQLite file is on one."""
        return self.postgres is not None

    def names(self, *roles: str) -> Sequence[str]:
        """The parts that have one of these roles."""
        return [name for name in self.bridge.parts if name.rstrip("0123456789") in roles]

    def one_of(self, role: str) -> Process:
        """One of the parts that have this role."""
        return self.bridge.parts[self.random.choice(self.names(role))]

    def processes(self, *roles: str) -> Sequence[Process]:
        """All parts that have one of these roles."""
        return [self.bridge.parts[name] for name in self.names(*roles)]

    @contextmanager
    def noting_what_is_in_flight(self) -> Iterator[None]:
        """Around a fault: what is being sent just before it, or still counts as such after it."""
        before = self._sending()
        yield
        self.in_flight += max(before, self._sending())

    def _sending(self) -> int:
        try:
            return self.bridge.count(issuances, "sending")
        except LedgerUnavailableError:
            return 0


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault by its name, and how it is done and mended: when `strike` returns, all is well again."""

    name: str
    strike: Callable[[Stage], None]
