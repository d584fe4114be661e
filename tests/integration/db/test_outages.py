"""Outages: what a ledger says when its database is away, full or unfit for use, and what it leaves there."""

from __future__ import annotations

import multiprocessing
import os
import resource
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from bridge.db import Ledger, LedgerNotMigratedError, LedgerUnavailableError, postgresql, tables
from bridge.ledger import deliveries, stores
from tests.support.books import SECRET, Books, add_store, as_logged, delivery_of, insert_delivery
from tests.support.servers import START_WITHIN, PostgresServer, free_port


def _read(ledger: Ledger) -> None:
    with ledger.read() as connection:
        stores.get(connection, 1)


def _write(ledger: Ledger) -> None:
    with ledger.write() as connection:
        insert_delivery(connection, **delivery_of(1, b"new"))


def _insert(ledger: Ledger) -> None:
    insert = "INSERT INTO stores (name) SELECT name FROM stores WHERE id < 0"
    ledger.write_by_driver(lambda cursor: cursor.execute(insert))


USES: dict[str, Callable[[Ledger], None]] = {
    "read": _read,
    "write": _write,
    "write by the driver": _insert,
    "check": Ledger.check,
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("what", ["the server", "the database"])
def test_a_ledger_whose_server_or_database_is_not_there_is_unavailable(
    postgres_server: PostgresServer, what: str, use: str
) -> None:
    port = free_port() if what == "the server" else postgres_server.port
    ledger = Ledger(f"postgresql://spacebridge:{SECRET}@127.0.0.1:{port}/nothing")
    with pytest.raises(LedgerUnavailableError, match="connection failed") as raised:
        USES[use](ledger)
    assert SECRET not in as_logged(raised.value)


@pytest.mark.parametrize("use", ["read", "write", "write by the driver"])
@pytest.mark.parametrize("what", ["its folder", "its file", "its tables"])
def test_a_ledger_whose_file_is_not_there_or_empty_is_unavailable(
    tmp_path: Path, what: str, use: str
) -> None:
    file = tmp_path / "ledger.db" if what != "its folder" else tmp_path / "nothing" / "ledger.db"
    if what == "its tables":
        file.touch()
    ledger = Ledger(f"sqlite:///{file}")
    with pytest.raises(LedgerUnavailableError):
        USES[use](ledger)
    with pytest.raises(LedgerNotMigratedError):
        ledger.check()
    ledger.close()


@pytest.mark.parametrize("use", ["read", "write", "write by the driver", "check", "upgrade"])
def test_a_ledger_whose_file_is_no_database_is_unavailable_and_leaves_it_as_it_is(
    tmp_path: Path, use: str
) -> None:
    file = tmp_path / "ledger.db"
    file.write_bytes(b"no database at all" * 1000)
    ledger = Ledger(f"sqlite:///{file}")
    with pytest.raises(LedgerUnavailableError, match="not a database"):
        (USES | {"upgrade": Ledger.upgrade})[use](ledger)
    assert file.read_bytes() == b"no database at all" * 1000
    ledger.close()


@pytest.mark.parametrize(
    ("of_file", "of_folder", "why"),
    [(0o444, 0o777, "attempt to write a readonly database"), (0o666, 0o555, "Permission denied")],
)
def test_a_ledger_that_may_not_be_written_is_unavailable(of_file: int, of_folder: int, why: str) -> None:
    # In a folder of its own: where root runs the tests, nobody else may pass through those of pytest's.
    with tempfile.TemporaryDirectory(prefix="spacebridge-") as name:
        folder = Path(name)
        url = _filled(folder / "ledger.db")
        (folder / "ledger.db.lock").unlink()
        (folder / "ledger.db").chmod(of_file)
        folder.chmod(of_folder)
        (said,) = _in_a_process(_write_as_nobody, url)
        assert said.startswith("LedgerUnavailableError")
        assert why in said
        folder.chmod(0o755)


def test_what_did_not_fit_on_the_disk_is_not_there_and_the_next_write_is(tmp_path: Path) -> None:
    url = _filled(tmp_path / "ledger.db")
    too_much, after = _in_a_process(_fill_the_disk, url)
    assert too_much.startswith("LedgerUnavailableError: (sqlite3.OperationalError) disk")
    assert after == "written"
    ledger = Ledger(url)
    with ledger.read() as connection:
        assert [one.topic for one in deliveries.listed(connection)] == ["after"]
    ledger.close()


def _filled(file: Path) -> str:
    """URL of a ledger with a store in it, which nobody has open."""
    ledger = Ledger(f"sqlite:///{file}")
    ledger.upgrade()
    with ledger.write() as connection:
        add_store(connection)
    ledger.close()
    return f"sqlite:///{file}"


def _in_a_process(work: Callable[[str, Pipe], None], url: str) -> list[str]:
    """What `work` sends from a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=work, args=(url, there))
    process.start()
    there.close()
    assert here.poll(START_WITHIN)
    said: list[str] = here.recv()
    process.join(START_WITHIN)
    return said


def _write_as_nobody(url: str, pipe: Pipe) -> None:
    ledger = Ledger(url)  # nobody may not read what it takes to make one
    if os.geteuid() == 0:
        os.seteuid(65534)
    pipe.send([_outcome(lambda: _write(ledger))])


def _fill_the_disk(url: str, pipe: Pipe) -> None:
    """Write more than fits into files of a limited size, and then something that does."""
    ledger = Ledger(url)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, most))
    too_much = _outcome(lambda: _deliver(ledger, "too much", os.urandom(2**22)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    pipe.send([too_much, _outcome(lambda: _deliver(ledger, "after", b"small"))])
    ledger.close()


def _deliver(ledger: Ledger, topic: str, body: bytes) -> None:
    with ledger.write() as connection:
        insert_delivery(connection, **delivery_of(1, body, topic=topic))


def _outcome(work: Callable[[], None]) -> str:
    try:
        work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "written"


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A server that a test may stop."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def served(own_server: PostgresServer) -> Iterator[Books]:
    url = own_server.new_database("served")
    ledger = Ledger(url)
    ledger.upgrade()
    with ledger.write() as connection:
        store_id = add_store(connection)
    yield Books(ledger, url, store_id)
    ledger.close()


def test_a_server_that_was_restarted_between_two_transactions_makes_no_difference(
    own_server: PostgresServer, served: Books
) -> None:
    _insert(served.ledger)
    own_server.stop()
    own_server.start()
    served.deliver(b"1")
    _insert(served.ledger)
    own_server.stop()
    own_server.start()
    assert served.count(tables.deliveries) == 1


def test_a_connection_that_was_cut_while_it_was_idle_makes_no_difference(served: Books) -> None:
    """As a server does that limits how long one may be idle, or a proxy between them."""
    for use in (_insert, _write, _read):
        use(served.ledger)
    with psycopg.connect(served.url, autocommit=True) as other:
        cut = (
            "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = 'served'"
        )
        counted = other.execute(cut).fetchone()
    assert counted is not None
    assert counted[0] >= 2
    for use in (_insert, _write, _read):
        use(served.ledger)


def test_a_connection_that_has_not_been_used_for_long_is_tried_before_it_is(
    served: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is between the two may have forgotten it, which nobody notices before the next answer is due."""
    asked: list[object] = []
    ping = served.ledger.dialect.do_ping

    def note(connection: Any) -> bool:
        asked.append(connection)
        return ping(connection)

    monkeypatch.setattr(served.ledger.dialect, "do_ping", note)
    for _ in range(3):
        _insert(served.ledger)
    assert asked == []
    monkeypatch.setattr(postgresql, "PING_AFTER", 0)
    _insert(served.ledger)
    assert len(asked) == 1


def test_a_server_that_was_told_to_isolate_more_is_told_otherwise(
    own_server: PostgresServer, served: Books
) -> None:
    with psycopg.connect(own_server.url, autocommit=True) as other:
        other.execute("ALTER DATABASE served SET default_transaction_isolation = 'serializable'")
    served.ledger.close()
    isolation = served.ledger.write_by_driver(
        lambda cursor: cursor.execute("SHOW transaction_isolation").fetchone()
    )
    assert isolation == ("read committed",)


@pytest.mark.parametrize("use", USES)
def test_while_its_server_is_away_a_ledger_is_unavailable_and_then_it_is_not(
    own_server: PostgresServer, served: Books, use: str
) -> None:
    own_server.stop()
    try:
        for _ in range(2):
            with pytest.raises(LedgerUnavailableError):
                USES[use](served.ledger)
    finally:
        own_server.start()
    USES[use](served.ledger)


def test_a_server_that_stops_in_the_middle_of_a_transaction_keeps_nothing_of_it(
    own_server: PostgresServer, served: Books
) -> None:
    try:
        with pytest.raises(LedgerUnavailableError):
            served.write(_write_stop_and_write, own_server)
    finally:
        own_server.start()
    assert served.count(tables.deliveries) == 0
    assert not served.deliver(b"1").is_duplicate


def _write_stop_and_write(connection: Connection, server: PostgresServer) -> None:
    insert_delivery(connection, **delivery_of(1, b"1"))
    server.stop()
    insert_delivery(connection, **delivery_of(1, b"2"))


@pytest.mark.parametrize("is_noticed", [True, False])
def test_a_connection_that_is_lost_before_the_commit_commits_nothing(served: Books, is_noticed: bool) -> None:
    with pytest.raises(LedgerUnavailableError):
        served.write(_write_and_lose_the_connection, served.ledger, is_noticed)
    assert served.count(tables.deliveries) == 0


def _write_and_lose_the_connection(connection: Connection, ledger: Ledger, is_noticed: bool) -> None:
    insert_delivery(connection, **delivery_of(1, b"1"))
    pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with ledger.read() as other:
        assert other.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid}).scalar_one()
    if is_noticed:
        with suppress(DBAPIError):
            insert_delivery(connection, **delivery_of(1, b"2"))
