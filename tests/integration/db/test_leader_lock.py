"""The leader lock: one process holds it, for as long as it lives and keeps asking."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bridge.db import LedgerUnavailableError, leader_lock
from bridge.db.leader_lock import LeaderLock
from tests.support.servers import PostgresServer, wait_until

HOLD = """
import sys
from bridge.db.leader_lock import LeaderLock
holder = LeaderLock(sys.argv[1])
print(holder.acquire(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def url(database_url: str, tmp_path: Path) -> str:
    (tmp_path / "data").mkdir()
    return database_url


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    return postgres_server.new_database("test")


@pytest.fixture
def one(url: str) -> Iterator[LeaderLock]:
    one = LeaderLock(url)
    yield one
    one.release()


@pytest.fixture
def other(url: str) -> Iterator[LeaderLock]:
    other = LeaderLock(url)
    yield other
    other.release()


def test_of_two_one_holds_the_lock_however_often_they_ask(one: LeaderLock, other: LeaderLock) -> None:
    assert [one.acquire() for _ in range(3)] == [True] * 3
    assert [other.acquire() for _ in range(3)] == [False] * 3
    assert one.acquire()


def test_a_lock_that_is_released_can_be_acquired(one: LeaderLock, other: LeaderLock) -> None:
    assert one.acquire()
    assert not other.acquire()
    one.release()
    assert other.acquire()
    assert not one.acquire()


def test_a_lock_is_free_when_its_holder_is_killed(one: LeaderLock, url: str) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert not one.acquire()
        holder.kill()
        wait_until(one.acquire, "a free lock")


def test_two_ledgers_have_a_holder_each(postgres_server: PostgresServer, tmp_path: Path) -> None:
    urls = [
        *(postgres_server.new_database(name) for name in ("test", "other")),
        *(f"sqlite:///{tmp_path / name}" for name in ("a.db", "b.db")),
    ]
    holders = [LeaderLock(url) for url in urls]
    assert all(holder.acquire() for holder in holders)
    for holder in holders:
        holder.release()


def test_a_folder_that_is_not_there_is_a_ledger_that_is_away(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    holder = LeaderLock(f"sqlite:///{folder / 'ledger.db'}")
    with pytest.raises(LedgerUnavailableError):
        holder.acquire()
    folder.mkdir()
    assert holder.acquire()
    holder.release()


def test_a_holder_whose_connection_was_ended_raises_and_can_acquire_the_lock_again(postgres_url: str) -> None:
    holder = LeaderLock(postgres_url)
    assert holder.acquire()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("""
            SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
            WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
        """)
    with pytest.raises(LedgerUnavailableError):
        holder.acquire()
    assert holder.acquire()
    holder.release()


def test_a_holder_that_sends_nothing_more_is_ended_by_the_server(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader_lock, "HOLDER_TIMEOUT", 1)
    silent, other = LeaderLock(postgres_url), LeaderLock(postgres_url)
    assert silent.acquire()
    assert not other.acquire()
    wait_until(other.acquire, "another holder")
    with pytest.raises(LedgerUnavailableError):
        silent.acquire()
    assert not silent.acquire()
    for one in (silent, other):
        one.release()


def test_a_holder_keeps_no_dead_rows_from_being_vacuumed(postgres_url: str) -> None:
    holder = LeaderLock(postgres_url)
    assert holder.acquire()
    assert holder.acquire()
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute("""
            SELECT state, backend_xmin IS NULL AND backend_xid IS NULL FROM pg_stat_activity
            WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
        """).fetchall()
    assert found == [("idle in transaction", True)]
    holder.release()
