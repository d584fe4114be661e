"""What the bridge rests on: ledger, key, broker and mounts, broken one at a time, and what to type then."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from bridge.db import Ledger
from bridge.db.tables import deliveries as delivery_table
from bridge.db.tables import issuances as issuance_table
from bridge.doctor import Level
from bridge.settings import KEY_FILE, SettingsError, load_settings
from bridge.vault.encryption import make_key
from tests.integration.doctor.patient import (
    NOWHERE,
    ON_SQLITE,
    Patient,
    hours_ago,
    look,
    names,
    the,
)
from tests.support.servers import PostgresServer, RedisServer, free_port


def test_where_all_is_well_nothing_is_to_be_mended(patient: Patient) -> None:
    found = patient.look()
    assert [one for one in found if one.level is not Level.OK or one.mend is not None] == []
    checks = ["ledger", "migrations", "key", "broker", "api", "clock", "worker"]
    checks += [f"shop {check}" for check in ("token", "config", "issuances", "deliveries")]
    assert names(found, Level.OK) == checks


def test_before_the_first_start_there_is_one_thing_to_do(tmp_path: Path) -> None:
    (found,) = look(load_settings({"data_dir": tmp_path}))
    assert (found.check, found.level) == ("ledger", Level.WRONG)
    assert str(tmp_path) in found.message
    assert (found.mend or "").startswith("spacebridge up")


def test_a_key_without_its_ledger_is_no_new_bridge(folder: Path) -> None:
    (folder / "ledger.db").unlink()
    (found,) = look(load_settings({"data_dir": folder}))
    assert "a key and no ledger" in found.message
    assert "back-up" in (found.mend or "")


@pytest.mark.parametrize(
    ("revision", "mend"), [("0001", "spacebridge db upgrade"), ("9999", "which -a spacebridge")]
)
def test_a_schema_of_another_version_is_told_from_one_to_be_migrated(
    database_url: str, tmp_path: Path, revision: str, mend: str
) -> None:
    ledger = Ledger(database_url)
    ledger.upgrade()
    with ledger.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})
    ledger.close()
    found = look(load_settings({"data_dir": tmp_path, "database_url": database_url, "api_url": NOWHERE}))
    assert mend in (the("migrations", found).mend or "")


def test_an_empty_database_is_to_be_upgraded(postgres_server: PostgresServer, tmp_path: Path) -> None:
    url = postgres_server.new_database("empty")
    found = look(load_settings({"data_dir": tmp_path, "database_url": url, "api_url": NOWHERE}))
    assert the("migrations", found).mend == "spacebridge db upgrade"


def test_a_database_that_is_away_is_told_without_its_password(tmp_path: Path) -> None:
    url = f"postgresql://spacebridge:geheim@127.0.0.1:{free_port()}/bridge"
    found = look(load_settings({"data_dir": tmp_path, "database_url": url, "api_url": NOWHERE}))
    ledger = the("ledger", found)
    assert "PostgreSQL, bridge at 127.0.0.1" in ledger.message
    assert "Connection refused" in ledger.message
    assert "SPACEBRIDGE_DATABASE_URL" in (ledger.mend or "")
    assert "worker" not in names(found, Level.OK)


def test_a_password_that_would_be_taken_for_the_host_is_refused() -> None:
    with pytest.raises(SettingsError, match="%40") as refused:
        load_settings({"database_url": "postgresql://spacebridge:ge@heim@127.0.0.1/bridge"})
    assert "heim" not in str(refused.value)


def test_a_ledger_that_cannot_be_read_is_told_from_one_that_is_away(folder: Path) -> None:
    (folder / "ledger.db").write_bytes(b"of something else entirely" * 100)
    assert "ls -l" in (
        the("ledger", look(load_settings({"data_dir": folder, "api_url": NOWHERE}))).mend or ""
    )


def test_a_folder_that_cannot_be_looked_into_is_told_with_the_reason(tmp_path: Path) -> None:
    found = the("ledger", look(load_settings({"data_dir": tmp_path / ("x" * 300), "api_url": NOWHERE})))
    assert found.message.endswith("cannot be reached: File name too long")


@pytest.mark.parametrize("kind", ["missing", "empty", "unreadable"])
def test_an_embedded_key_that_is_no_more_is_to_be_put_back(folder: Path, kind: str) -> None:
    key = folder / KEY_FILE
    key.unlink()
    if kind == "empty":
        key.touch()
    elif kind == "unreadable":
        key.mkdir()  # what root cannot read either
    found = the("key", look(load_settings({"data_dir": folder, "api_url": NOWHERE})))
    assert found.level is Level.WRONG
    assert str(key) in (found.mend or "")


@ON_SQLITE
def test_secrets_of_another_key_are_told_once_for_all_stores(patient: Patient) -> None:
    patient.add_store("second", patient.new_config())
    patient.change(issuance_table, state="due", next_attempt_at=hours_ago(1))
    found = patient.look(secret_key=(SecretStr(make_key()),))
    key = the("key", found)
    assert "second, shop" in key.message
    assert the("issuances", found, "shop").level is Level.WARNING  # which no worker can send either
    assert "SPACEBRIDGE_SECRET_KEY=" in (key.mend or "")
    assert names(found, Level.WRONG) == ["key"]


@ON_SQLITE
def test_a_broker_that_is_away_is_to_blame_for_what_waits(patient: Patient) -> None:
    patient.change(delivery_table, state="received", last_received_at=hours_ago(1))
    patient.change(issuance_table, state="due", next_attempt_at=hours_ago(2))
    found = patient.look(broker_url=SecretStr(f"redis://:geheim@127.0.0.1:{free_port()}/0"))
    assert names(found, Level.WRONG) == ["broker"]
    assert "redis-cli -h 127.0.0.1" in (the("broker", found).mend or "")
    assert names(found, Level.WARNING) == ["worker", "shop issuances"]
    assert "the broker is mended" in (the("worker", found).mend or "")


@ON_SQLITE
def test_a_broker_that_is_full_takes_no_messages(patient: Patient, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.config_set("maxmemory", "1")
        try:
            found = the("broker", patient.look())
        finally:
            client.config_set("maxmemory", "0")
    assert "maxmemory" in found.message


@pytest.mark.parametrize("url", ["sentinel://127.0.0.1:1", "redis://127.0.0.1:1/no-number"])
def test_a_broker_that_cannot_be_spoken_to_is_told_by_its_setting(folder: Path, url: str) -> None:
    found = the("broker", look(load_settings({"data_dir": folder, "broker_url": url, "api_url": NOWHERE})))
    assert "SPACEBRIDGE_BROKER_URL" in (found.mend or "")
