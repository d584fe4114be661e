"""Faults by which processes stand still, and go on after a while as if no time had passed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg

from tests.chaos.stage import LEASE, ROLES, Fault, Stage
from tests.support import proc
from tests.support.servers import PostgresServer, Server

LOOK_FOR = 1.0  # seconds in which a transaction is likely to be seen


def faults(stage: Stage) -> Sequence[Fault]:
    """Those that can be done on this stage."""
    found = [
        *(Fault(f"a {role} stands still", _holding(role)) for role in ROLES),
        Fault("a worker stands still until its leases have ended", _outlast_leases),
        Fault("Redis stands still", _hold_redis),
    ]
    if stage.postgres is not None:
        found += [
            Fault("PostgreSQL stands still", _hold_postgres),
            Fault("a transaction in PostgreSQL stands still", _hold_transaction),
        ]
    return found


def _holding(role: str) -> Callable[[Stage], None]:
    def strike(stage: Stage) -> None:
        process = stage.one_of(role)
        with stage.noting_what_is_in_flight():
            process.signal_all(signal.SIGSTOP)
            stage.pause(1, 4)
            process.signal_all(signal.SIGCONT)

    return strike


def _outlast_leases(stage: Stage) -> None:
    process = stage.one_of("worker")
    with stage.noting_what_is_in_flight():
        process.signal_all(signal.SIGSTOP)
        time.sleep(LEASE + 6)  # and the sweep was here
        process.signal_all(signal.SIGCONT)


def _hold_redis(stage: Stage) -> None:
    with _held(_tree(stage.redis)):
        stage.pause(1, 4)


def _hold_postgres(stage: Stage) -> None:
    assert stage.postgres is not None
    with stage.noting_what_is_in_flight(), _held(_tree(stage.postgres)):
        stage.pause(1, 4)


def _hold_transaction(stage: Stage) -> None:
    """Hold a process of PostgreSQL that serves the bridge, amid a transaction if one comes by."""
    assert stage.postgres is not None
    with stage.noting_what_is_in_flight():
        clients = _clients(stage.postgres)
        if clients:
            with _held([stage.random.choice(clients)]):
                stage.pause(1, 4)


def _clients(postgres: PostgresServer) -> Sequence[int]:
    """The processes with a transaction that writes; if none is seen, all that serve somebody."""
    until = time.monotonic() + LOOK_FOR
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        while time.monotonic() < until:
            rows = connection.execute(
                "SELECT pid, backend_xid IS NOT NULL FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid != pg_backend_pid()"
            ).fetchall()
            if writing := [pid for pid, writes in rows if writes]:
                return writing
    return [pid for pid, _ in rows]


def _tree(server: Server) -> Sequence[int]:
    assert server.process is not None
    return [server.process.pid, *proc.children(server.process.pid)]


@contextmanager
def _held(processes: Sequence[int]) -> Iterator[None]:
    _send(processes, signal.SIGSTOP)
    try:
        yield
    finally:
        _send(processes, signal.SIGCONT)


def _send(processes: Sequence[int], number: int) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)
