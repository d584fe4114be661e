"""`spacebridge db copy`: a ledger of real deliveries in another database, whole or not at all."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, delete, func, insert, select, update

from bridge.admin import RefusedError, operate
from bridge.admin.copying import BATCH, copy
from bridge.data_folder import UP_LOCK
from bridge.db import Ledger, LedgerMovedError, LedgerUnavailableError
from bridge.db.tables import deliveries as delivery_table
from bridge.db.tables import metadata
from bridge.db.tables import stores as store_table
from bridge.ledger import absences, finds, issuances, shop_approvals, shop_webhooks
from bridge.ledger.finds import Find
from bridge.pipeline.process import process_deliveries
from bridge.settings import KEY_FILE
from bridge.vault.encryption import make_key
from tests.integration.conftest import BACKENDS
from tests.integration.pipeline.test_life_of_a_store import BOTH_OFF, signed
from tests.support import forked, killed_copy
from tests.support.books import add_store, as_logged, delivery_of, insert_delivery
from tests.support.connected import connect_shop
from tests.support.recorded import Recorded
from tests.support.running import RunningBridge, run_command
from tests.support.servers import PostgresServer, RedisServer, free_port
from tests.support.shop import Shop, forward_issuance, record_bytes

Rows = Mapping[str, Sequence[tuple[Any, ...]]]


def rows(ledger: Ledger) -> Rows:
    """All that a ledger holds, table by table."""
    with ledger.read() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(table.c.id))]
            for table in metadata.sorted_tables
        }


@contextmanager
def opened(url: str) -> Iterator[Ledger]:
    with closing(Ledger(url)) as ledger:
        yield ledger


@dataclass(frozen=True)
class Place:
    """Where a ledger can be copied to: a URL, and the options that name it."""

    url: str
    options: Sequence[str]


class Places:
    """Databases without tables, of both kinds."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        self._folder = folder
        self._server = server

    def new(self, backend: str, name: str) -> Place:
        if backend == "sqlite":
            file = self._folder / name / "ledger.db"
            return Place(f"sqlite:///{file}", ["--to-sqlite", str(file)])
        url = self._server.new_database(name)
        file = self._folder / f"{name}.url"
        file.write_text(f"{url}\n")
        return Place(url, ["--to-url-file", str(file)])


@pytest.fixture
def places(tmp_path: Path, postgres_server: PostgresServer) -> Places:
    return Places(tmp_path, postgres_server)


def received(shop: Shop, delivery: Recorded) -> int:
    """Record a delivery byte for byte, as the receiver does; its id."""
    shop.clock.advance(seconds=1.000001)
    with shop.context.ledger.write() as connection:
        return record_bytes(connection, shop.store_id, delivery.body, delivery.topic, now=shop.clock.now())


def has_a_past(shop: Shop) -> None:
    """Real deliveries, of which came documents in every state, attempts, and things that operators did."""
    life = signed("life-of-a-store")
    for delivery in life[: len(life) // 2]:
        process_deliveries(shop.context, [received(shop, delivery)])
    ledger = shop.context.ledger
    with ledger.read() as connection:
        due = [one.id for one in issuances.listed(connection, state="due")]
    assert len(due) > 8
    for one in due[:3]:
        forward_issuance(shop.context, one)
    now = shop.clock.now()
    for one, state in zip(due[3:6], ["held", "failed", "sending"], strict=True):
        attempt = shop.claim(one, lease=60)
        with ledger.write() as connection:
            if state == "held":
                assert issuances.mark_held(connection, attempt, error="nobody knows: č", now=now)
            if state == "failed":
                assert issuances.mark_failed(connection, attempt, error="refused", now=now)
    assert operate.withdraw(ledger, due[6], who="maja", now=now).has_changed
    assert operate.mark_issued(ledger, due[7], who="maja", now=now).has_changed
    received(shop, life[-1])  # which nobody has processed yet
    with ledger.write() as connection:
        has_asked_its_shop(connection, shop)
    # More than a batch.
    with ledger.write() as connection:
        for number in range(2 * BATCH + 17):
            body = life[number % len(life)].body + b" " * number
            insert_delivery(
                connection, **delivery_of(shop.store_id, body, state="ignored", reason="of no use")
            )


from_one_kind_to_the_other = pytest.mark.parametrize(
    ("database_url", "backend"), [BACKENDS, BACKENDS[::-1]], indirect=["database_url"]
)


def has_asked_its_shop(connection: Connection, shop: Shop) -> None:
    """A connection with all that follows from one."""
    store_id, now = shop.store_id, shop.clock.now()
    connect_shop(connection, shop.context.vault, store_id, now)
    shop_approvals.begin(connection, store_id, "https://shop.example", "a-state", who="maja", now=now)
    seen = {"webhook_id": 7, "status": "active", "modified": now, "now": now}
    shop_webhooks.save(connection, store_id, "order.created", **seen)  # type: ignore[arg-type]
    finds.add(connection, [Find(store_id, 1, finds.MISSING, "never tried", None, now, now)])
    for minutes in (0, 9):
        absences.beat(connection, now + timedelta(minutes=minutes))


@pytest.fixture
def shop_with_a_past(shop: Shop) -> Shop:
    has_a_past(shop)
    return shop


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_copy_is_equal_to_the_last_byte_and_microsecond(
    shop_with_a_past: Shop, places: Places, backend: str
) -> None:
    source = shop_with_a_past.context.ledger
    before = rows(source)
    assert all(before.values())
    assert {row[4] for row in before["issuances"]} == {
        *("due", "sending", "issued"),
        "failed",
        "held",
        "withdrawn",
    }
    with opened(places.new(backend, "copy").url) as target:
        copied = copy(source, target, report=lambda _table, _rows: None)
        assert rows(target) == before == rows(source)
        assert {name: one.rows for name, one in copied.items()} == {
            name: len(found) for name, found in before.items()
        }
        # The next ids are after those that were copied, in every table.
        with target.write() as connection:
            assert next_ids(connection) == {name: found[-1][0] + 1 for name, found in before.items()}


def next_ids(connection: Connection) -> Mapping[str, int]:
    """The ids that new rows get, of which there is one in each table then."""
    found: dict[str, int] = {}
    for table in metadata.sorted_tables:
        row = dict(connection.execute(select(table).order_by(table.c.id).limit(1)).mappings().one())
        del row["id"]
        new = {
            "name": "another",
            "woocommerce_id": "another",
            "digest": b"another",
            "order_key": "another",
            "kind": "another",
            "state_digest": b"another",
            "topic": "another",
        }
        row |= {name: value for name, value in new.items() if name in row}
        if table.name == "shops":
            row["store_id"] = found["stores"]
        found[table.name] = connection.execute(insert(table).values(row).returning(table.c.id)).scalar_one()
    return found


def test_a_bridge_goes_on_over_the_copy_both_ways_round(
    redis_server: RedisServer, places: Places, tmp_path: Path
) -> None:
    life = signed("life-of-a-store")
    third = len(life) // 3
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()

    with RunningBridge(tmp_path / "one", broker_url=redis_server.new_url()) as one:
        woocommerce = one.add_store("shop")
        one.wait_for_config("shop")
        play(one, life[:third])
        stop_all_but_the_sandbox(one)
        there = places.new("postgresql", "there")
        before = rows(one.ledger)
        copied = run_command(tmp_path, "db", "copy", *there.options, "--json", **one.environment)
        assert copied.returncode == 0, copied.stderr
        said = json.loads(copied.stdout)
        assert said["key_fits"] is True
        assert said["rows"] == {name: len(found) for name, found in before.items()}
        assert "SPACEBRIDGE_SECRET_KEY decrypts them" in copied.stderr

        with RunningBridge(
            tmp_path / "two",
            database_url=there.url,
            broker_url=redis_server.new_url(),
            SPACEBRIDGE_SECRET_KEY=one.environment["SPACEBRIDGE_SECRET_KEY"],
            SPACEBRIDGE_API_URL=one.environment["SPACEBRIDGE_API_URL"],  # one Space Invoices for all
        ) as two:
            assert rows(two.ledger)["issuances"] == before["issuances"]
            play(two, life[:third], again=True)
            play(two, life[third : 2 * third])
            stop_all_but_the_sandbox(two)
            before = rows(two.ledger)
            two.ledger.close()
            back = places.new("sqlite", "back")
            copied = run_command(tmp_path, "db", "copy", *back.options, **two.environment)
            assert copied.returncode == 0, copied.stderr
            assert f"equal: {sum(len(found) for found in before.values())} rows" in copied.stdout

        with RunningBridge(
            tmp_path / "three",
            broker_url=redis_server.new_url(),
            SPACEBRIDGE_DATA_DIR=str(tmp_path / "back"),
            SPACEBRIDGE_SECRET_KEY=one.environment["SPACEBRIDGE_SECRET_KEY"],
            SPACEBRIDGE_API_URL=one.environment["SPACEBRIDGE_API_URL"],
        ) as three:
            assert rows(three.ledger)["issuances"] == before["issuances"]
            play(three, life[: 2 * third], again=True)
            play(three, life[2 * third :])
        assert one.issued(woocommerce) == BOTH_OFF
        assert one.sandbox()["counts"]["duplicates"] == 0


def play(bridge: RunningBridge, life: Sequence[Recorded], *, again: bool = False) -> None:
    """Deliver, with each of them having its effect before the next; `again`: all of it is known already."""
    for delivery in life:
        answer = bridge.deliver("shop", delivery.body, delivery.headers)
        assert answer.status_code == 200, answer.text
        assert not again or answer.json()["status"] == "duplicate"
        bridge.wait_until_settled()


def stop_all_but_the_sandbox(bridge: RunningBridge) -> None:
    for name, part in bridge.parts.items():
        if name != "sandbox":
            part.stop()


# Each point once, and each way once: what is copied is in one transaction, whatever it is copied into.
@pytest.mark.parametrize(
    ("database_url", "backend", "batch"),
    [
        ("sqlite", "postgresql", 1),
        ("postgresql", "sqlite", 2),
        ("sqlite", "sqlite", 4),
        ("postgresql", "postgresql", 7),
    ],
    indirect=["database_url"],
)
def test_a_copy_that_is_killed_leaves_an_empty_ledger_and_can_be_made_again(
    shop_with_a_past: Shop, database_url: str, places: Places, backend: str, batch: int
) -> None:
    url = places.new(backend, "killed").url
    assert run_copy(database_url, url, batch) == -signal.SIGKILL
    with opened(url) as target:
        assert not any(rows(target).values())
        assert run_copy(database_url, url, 1000) == 0
        assert rows(target) == rows(shop_with_a_past.context.ledger)


def run_copy(source: str, target: str, until: int | str) -> int | None:
    """The exit status of a process that copies until then, and is killed."""
    process = forked.context.Process(target=killed_copy.run, args=(source, target, str(until)))
    process.start()
    process.join(60)
    return process.exitcode


@from_one_kind_to_the_other
def test_nobody_writes_to_the_source_until_the_copy_is_committed(
    shop_with_a_past: Shop, database_url: str, places: Places, backend: str
) -> None:
    impatient = Ledger(database_url, lock_timeout=0.05)
    tried: list[str] = []

    def report(table: str, _rows: int) -> None:
        # As the receiver does, which answers 503 then.
        with pytest.raises(LedgerUnavailableError), impatient.write() as connection:
            insert_delivery(connection, **delivery_of(shop_with_a_past.store_id, b"{}"))
        with impatient.read() as connection:
            assert connection.execute(select(func.count()).select_from(store_table)).scalar_one() == 1
        tried.append(table)

    with opened(places.new(backend, "copy").url) as target:
        copy(shop_with_a_past.context.ledger, target, report=report)
    assert set(tried) == metadata.tables.keys()
    with pytest.raises(LedgerMovedError), impatient.write() as connection:
        insert_delivery(connection, **delivery_of(shop_with_a_past.store_id, b"{}"))
    impatient.close()


@from_one_kind_to_the_other
def test_after_a_copy_the_old_ledger_takes_no_change_and_the_new_one_does(
    shop_with_a_past: Shop, places: Places, backend: str
) -> None:
    source = shop_with_a_past.context.ledger
    due = shop_with_a_past.paid(4711)
    with opened(places.new(backend, "copy").url) as target:
        copy(source, target, report=lambda _table, _rows: None)
        before, sent = rows(source), shop_with_a_past.requests()
        with pytest.raises(LedgerUnavailableError, match="is closed"):
            forward_issuance(shop_with_a_past.context, due)  # by a worker that was left running
        for table in metadata.sorted_tables:
            for change in (insert(table).values(**dict.fromkeys(table.columns.keys(), None)), delete(table)):
                with pytest.raises(LedgerMovedError), source.write() as connection:
                    connection.execute(change)
            with pytest.raises(LedgerMovedError), source.write() as connection:
                connection.execute(update(table).values(id=table.c.id))
        with pytest.raises(LedgerMovedError, match=re.escape(f"was copied to {target.place} on ")):
            source.check()
        with pytest.raises(LedgerMovedError):
            source.upgrade()
        assert rows(source) == before
        assert shop_with_a_past.requests() == sent
        target.check()
        with target.write() as connection:
            insert_delivery(connection, **delivery_of(shop_with_a_past.store_id, b"{}"))
        source.reopen()
        source.check()
        with source.write() as connection:
            insert_delivery(connection, **delivery_of(shop_with_a_past.store_id, b"{}"))


def test_every_process_refuses_a_ledger_that_was_copied_and_says_where_it_went(
    tmp_path: Path, places: Places, redis_server: RedisServer
) -> None:
    data = tmp_path / "data"
    assert run_command(data, "db", "upgrade").returncode == 0
    to = places.new("postgresql", "there")
    assert run_command(data, "db", "copy", *to.options).returncode == 0
    for command in (["up", "--port", str(free_port())], ["stores", "list"], ["db", "upgrade"], ["doctor"]):
        refused = run_command(data, *command)
        assert refused.returncode == 1
        said = refused.stdout + refused.stderr
        assert "was copied to PostgreSQL, there at 127.0.0.1" in said, command
        assert "SPACEBRIDGE_DATABASE_URL" in said
        assert "Traceback" not in said
    environment = {
        **os.environ,
        "SPACEBRIDGE_DATA_DIR": str(data),
        "SPACEBRIDGE_BROKER_URL": redis_server.new_url(),
    }
    for module in (
        ["gunicorn", "--config", "python:bridge.gunicorn_config"],
        ["celery", "--app", "worker.app", "worker"],
    ):
        ended = subprocess.run(
            [sys.executable, "-m", *module],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode != 0
        assert "was copied to PostgreSQL, there at 127.0.0.1" in ended.stderr
        assert "Traceback" not in ended.stderr
    asked = run_command(data, "db", "reopen")
    assert asked.returncode == 1
    assert "is issued twice" in asked.stderr
    assert run_command(data, "stores", "list").returncode == 1
    assert run_command(data, "db", "reopen", "--yes").returncode == 0
    assert run_command(data, "stores", "list").returncode == 0


@from_one_kind_to_the_other
@pytest.mark.parametrize("step", ["the source is closed", "the target is opened"])
def test_a_copy_that_is_killed_at_its_end_leaves_one_ledger_to_use_at_most_and_goes_on_when_typed_again(
    shop_with_a_past: Shop, database_url: str, places: Places, backend: str, step: str
) -> None:
    source = shop_with_a_past.context.ledger
    url = places.new(backend, "killed").url
    assert run_copy(database_url, url, step) == -signal.SIGKILL
    with opened(url) as target:
        with pytest.raises(LedgerMovedError, match="not brought to its end"):
            target.check()
        with pytest.raises(LedgerMovedError), target.write() as connection:
            connection.execute(delete(store_table))
        if step == "the source is closed":
            source.check()
            received(shop_with_a_past, signed("life-of-a-store")[-2])  # the bridge goes on over it meanwhile
        else:
            with pytest.raises(LedgerMovedError):
                source.check()
        assert run_copy(database_url, url, 1000) == 0
        target.check()
        assert rows(target) == rows(source)
        with pytest.raises(LedgerMovedError):
            source.check()
        for place in (url, places.new(backend, "third").url):
            with opened(place) as other, pytest.raises(LedgerMovedError, match="was copied to"):
                copy(source, other, report=lambda _table, _rows: None)


def test_what_another_ledger_left_unfinished_is_not_overwritten(
    shop_with_a_past: Shop, database_url: str, places: Places, tmp_path: Path
) -> None:
    url = places.new("sqlite", "killed").url
    assert run_copy(database_url, url, "the target is opened") == -signal.SIGKILL
    with opened(f"sqlite:///{tmp_path / 'other.db'}") as other, opened(url) as target:
        other.upgrade()
        before = rows(target)
        with pytest.raises(RefusedError, match="holds a ledger already"):
            copy(other, target, report=lambda _table, _rows: None)
        assert rows(target) == before == rows(shop_with_a_past.context.ledger)


@pytest.mark.parametrize("backend", BACKENDS)
def test_of_two_copies_into_one_database_the_second_is_refused_and_changes_nothing(
    shop_with_a_past: Shop, database_url: str, places: Places, backend: str, tmp_path: Path
) -> None:
    to = places.new(backend, "copy")
    source = {"SPACEBRIDGE_DATABASE_URL": database_url, "SPACEBRIDGE_SECRET_KEY": make_key()}
    with ThreadPoolExecutor(2) as pool:
        both = list(
            pool.map(lambda _: run_command(tmp_path, "db", "copy", *to.options, "--yes", **source), range(2))
        )
    assert sorted(one.returncode for one in both) == [0, 1], [one.stderr for one in both]
    again = run_command(tmp_path, "db", "copy", *to.options, "--yes", **source)
    assert (again.returncode, again.stdout) == (1, "")
    assert f"was copied to {Ledger(to.url).place}" in again.stderr
    with opened(to.url) as target:
        assert rows(target) == rows(shop_with_a_past.context.ledger)


def test_a_row_that_the_other_database_cannot_hold_is_named_by_its_table_and_ids(
    tmp_path: Path, places: Places
) -> None:
    with opened(f"sqlite:///{tmp_path / 'ledger.db'}") as source:
        source.upgrade()
        with source.write() as connection:
            store_id = add_store(connection)
            for number in range(3):
                insert_delivery(connection, **delivery_of(store_id, f"{number}".encode()))
            # PostgreSQL knows no such character. The receiver keeps it out of what it records.
            connection.execute(
                update(delivery_table).where(delivery_table.c.id == 2).values(topic="geheim\0")
            )
        with opened(places.new("postgresql", "refuses").url) as target:
            with pytest.raises(RefusedError, match="one of the deliveries of ids 1 to 3") as refused:
                copy(source, target, report=lambda _table, _rows: None)
            assert "geheim" not in as_logged(refused.value)
            assert not any(rows(target).values())


def test_a_database_that_changes_what_it_is_given_gets_no_copy(
    shop_with_a_past: Shop, places: Places
) -> None:
    url = places.new("postgresql", "changes").url
    with opened(url) as target:
        target.upgrade()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("""
                CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    NEW.last_received_at := NEW.last_received_at + interval '1 microsecond';
                    RETURN NEW;
                END $$
            """)
            connection.execute(
                "CREATE TRIGGER change BEFORE INSERT ON deliveries FOR EACH ROW WHEN (NEW.id = 250) "
                "EXECUTE FUNCTION change()"
            )
        with pytest.raises(RefusedError, match="deliveries came out otherwise than it went in"):
            copy(shop_with_a_past.context.ledger, target, report=lambda _table, _rows: None)
        assert not any(rows(target).values())


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_copy_whose_source_went_away_at_the_end_is_none(
    shop_with_a_past: Shop, database_url: str, places: Places
) -> None:
    last = metadata.sorted_tables[-1].name

    def report(table: str, _rows: int) -> None:
        if table == last:  # all is read: only what was accepted since could be missing
            with psycopg.connect(database_url, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks "
                    "WHERE relation = 'deliveries'::regclass AND mode = 'ShareRowExclusiveLock'"
                )

    with opened(places.new("sqlite", "copy").url) as target:
        with pytest.raises(LedgerUnavailableError):
            copy(shop_with_a_past.context.ledger, target, report=report)
        assert not any(rows(target).values())


def test_a_source_of_an_older_version_and_a_target_of_a_newer_one_are_refused(
    tmp_path: Path, places: Places
) -> None:
    options = places.new("sqlite", "copy").options
    unmade = run_command(tmp_path / "none", "db", "copy", *options)
    assert unmade.returncode == 1
    assert f"There is no ledger to copy from (SQLite, {tmp_path / 'none' / 'ledger.db'})" in unmade.stderr
    assert run_command(tmp_path / "data", "db", "upgrade").returncode == 0
    to = places.new("postgresql", "newer")
    with psycopg.connect(to.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num text)")
        connection.execute("INSERT INTO alembic_version VALUES ('of-somebody')")
    newer = run_command(tmp_path / "data", "db", "copy", *to.options)
    assert newer.returncode == 1
    assert "newer version, or is another application's" in newer.stderr


def test_tables_of_another_application_are_left_alone(tmp_path: Path, places: Places) -> None:
    assert run_command(tmp_path / "data", "db", "upgrade").returncode == 0
    to = places.new("postgresql", "taken")
    with psycopg.connect(to.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (id int)")
        connection.execute("INSERT INTO orders VALUES (1)")
        refused = run_command(tmp_path / "data", "db", "copy", *to.options)
        assert refused.returncode == 1
        assert "Nothing is copied" in refused.stderr
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert tables == [("orders",)]


def test_the_embedded_ledger_is_not_copied_while_it_is_in_use(tmp_path: Path, places: Places) -> None:
    assert run_command(tmp_path, "db", "upgrade").returncode == 0
    options = places.new("sqlite", "copy").options
    with (tmp_path / UP_LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for source in ([], ["--from-sqlite", str(tmp_path / "ledger.db")]):
            refused = run_command(tmp_path, "db", "copy", *source, *options, "--yes")
            assert refused.returncode == 1
            assert "stop it first" in refused.stderr
    copied = run_command(tmp_path, "db", "copy", *options)
    assert copied.returncode == 0, copied.stderr
    assert f"{tmp_path / KEY_FILE} decrypts them" in copied.stderr
    made = tmp_path / "copy"
    assert stat.S_IMODE((made / "ledger.db").stat().st_mode) == 0o600


def test_who_copies_from_a_server_to_which_others_are_connected_is_asked(
    postgres_server: PostgresServer, places: Places, tmp_path: Path
) -> None:
    url = postgres_server.new_database("source")
    with opened(url) as source:
        source.upgrade()
    settings = {"SPACEBRIDGE_DATABASE_URL": url, "SPACEBRIDGE_SECRET_KEY": make_key()}
    options = places.new("sqlite", "copy").options
    with psycopg.connect(url):
        asked = run_command(tmp_path, "db", "copy", *options, **settings)
        assert asked.returncode == 1
        assert "(1 sessions)" in asked.stderr
        assert "Nothing is copied" in asked.stderr
        assert run_command(tmp_path, "db", "copy", *options, "--yes", **settings).returncode == 0


def test_a_copy_says_whether_the_key_decrypts_it(ledger: Ledger, database_url: str, tmp_path: Path) -> None:
    with ledger.write() as connection:
        add_store(connection)
    source = {"SPACEBRIDGE_DATABASE_URL": database_url}
    for number, key in enumerate([make_key(), ""]):
        to = ["--to-sqlite", str(tmp_path / f"{number}.db"), "--json", "--yes"]
        copied = run_command(tmp_path, "db", "copy", *to, SPACEBRIDGE_SECRET_KEY=key, **source)
        assert json.loads(copied.stdout)["key_fits"] is (False if key else None)
        assert ("does NOT decrypt those of shop" if key else "no key is configured here") in copied.stderr
        ledger.reopen()


def test_a_password_is_read_from_a_file_or_standard_input_and_told_by_nothing(tmp_path: Path) -> None:
    assert run_command(tmp_path, "db", "upgrade").returncode == 0
    url = "postgresql://bridge:geheim@127.0.0.1:1/ledger"
    (tmp_path / "url").write_text(url)
    for options, given in (
        (["--to-url-file", str(tmp_path / "url")], None),
        (["--to-url-file", "-"], url),
        (["--to-url-file", "-"], "geheim"),
        (["--to-sqlite", url], None),
        (["--to-sqlite", str(tmp_path)], None),
        (["--to-sqlite", str(tmp_path / "x.db"), "--from-url-file", str(tmp_path / "url")], None),
    ):
        failed = run_command(tmp_path, "db", "copy", *options, given=given)
        assert (failed.returncode, failed.stdout) == (1, "")
        assert "geheim" not in failed.stderr
        assert "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--to-sqlite", "x", "--to-url-file", "y"],
        ["--to-sqlite", "x", "--from-sqlite", "y", "--from-url-file", "z"],
        ["--to-url-file", "-", "--from-url-file", "-"],
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(tmp_path: Path, options: list[str]) -> None:
    assert run_command(tmp_path, "db", "copy", *options).returncode == 2
    assert list(tmp_path.iterdir()) == []
