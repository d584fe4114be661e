"""`spacebridge doctor`: real things broken one at a time, and what it says to type or to click."""

from __future__ import annotations

import fcntl
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
from pydantic import SecretStr
from sqlalchemy import Connection, Table, text, update

from bridge.admin import operate
from bridge.data_folder import UP_LOCK
from bridge.db import Ledger
from bridge.db.tables import actions as action_table
from bridge.db.tables import deliveries as delivery_table
from bridge.db.tables import issuances as issuance_table
from bridge.db.tables import orders as order_table
from bridge.db.tables import stores as store_table
from bridge.doctor import Finding, Level, examine
from bridge.doctor.clocks import POSTGRESQL, SPACE_INVOICES, check_clocks
from bridge.issuance import StoreOptions
from bridge.ledger import issuances, store_configs, stores
from bridge.pipeline.context import Clients
from bridge.settings import KEY_FILE, Settings, SettingsError, load_settings
from bridge.vault import Vault
from bridge.vault.encryption import make_key
from tests.integration.embedded.test_up import running_up
from tests.support.misbehaving import Behaviour, MisbehavingServer, Visit
from tests.support.running import Process, answers, run_command, sign
from tests.support.servers import PostgresServer, RedisServer, free_port, wait_until
from tests.support.shop import ORGANIZATION, TOKEN, WOOCOMMERCE, Clock, Shop, at, forward_issuance, open_shop

SECRETS = (TOKEN, "s3cr3t", "geheim")  # of the store, and of addresses
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # which database has no part
NOWHERE = "http://127.0.0.1:1/v1"  # an API that nobody reaches


def hours_ago(number: float) -> datetime:
    return datetime.now(UTC) - timedelta(hours=number)


def answering(status: int, header: str = "Server: test") -> Behaviour:
    """Answers a request with this status and header."""

    def answer(visit: Visit) -> None:
        visit.receive_head()
        visit.say(f"HTTP/1.1 {status} Said\r\n{header}\r\nConnection: close\r\n\r\n".encode())

    return answer


def look(settings: Settings, now: datetime | None = None) -> list[Finding]:
    """All findings; none of them tells a secret."""
    found = list(examine(settings, now or datetime.now(UTC)))
    told = json.dumps([asdict(one) for one in found])
    keys = [key.get_secret_value() for key in settings.secret_key]
    assert [secret for secret in (*SECRETS, *keys) if secret in told] == []
    return found


def names(findings: Sequence[Finding], level: Level) -> list[str]:
    """What the checks of this level are about, the store's first if it is one's."""
    return [f"{one.store} {one.check}" if one.store else one.check for one in findings if one.level is level]


def the(check: str, findings: Sequence[Finding], store: str | None = None) -> Finding:
    """The only finding of a check that is not well, of the store if one is named."""
    (found,) = [
        one
        for one in findings
        if one.check == check and one.level is not Level.OK and (store is None or one.store == store)
    ]
    assert found.mend
    return found


@contextmanager
def sandbox_process(folder: Path) -> Iterator[str]:
    """A sandbox in a process of its own; the address of its API."""
    port = free_port()
    ids = ["--organization", ORGANIZATION, "--woocommerce", WOOCOMMERCE]
    sandbox = Process(
        ["bridge", "sandbox", "--port", str(port), *ids],
        {"SPACEBRIDGE_SANDBOX_TOKEN": TOKEN},
        folder / "sandbox.log",
    )
    sandbox.start()
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/sandbox/documents"), "a ready sandbox")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        sandbox.stop()


def deliver(url: str, number: int) -> None:
    """Have the shop deliver an order of this number that is paid for."""
    body = json.dumps({**at(number, status="processing"), "id": number, "order_key": f"wc_{number}"}).encode()
    headers = {"X-WC-Webhook-Topic": "order.updated", "X-WC-Webhook-Signature": sign(body, "s3cr3t")}
    assert requests.post(f"{url}/webhooks/shop", data=body, headers=headers, timeout=10).status_code == 200


def states(ledger: Ledger) -> list[str]:
    with ledger.read() as connection:
        return [one.state for one in issuances.listed(connection)]


def paused(ledger: Ledger) -> bool:
    with ledger.read() as connection:
        return all(store.paused_at is not None for store in stores.every(connection))


def add_store(connection: Connection, vault: Vault, name: str, woocommerce_id: str) -> int:
    return stores.add(
        connection,
        vault=vault,
        name=name,
        organization_id=ORGANIZATION,
        woocommerce_id=woocommerce_id,
        api_token=TOKEN,
        webhook_secret="s3cr3t",
        options=StoreOptions(),
        now=datetime.now(UTC),
    )


@dataclass
class Patient:
    """A store that is well, over a ledger and a broker, with a sandbox as Space Invoices. It is now."""

    shop: Shop
    settings: Settings

    def look(self, **changes: Any) -> list[Finding]:
        return look(self.settings.model_copy(update=changes))

    def change(self, table: Table, **values: object) -> None:
        """Change every row of a table."""
        with self.shop.context.ledger.write() as connection:
            connection.execute(update(table).values(**values))

    def new_config(self) -> Mapping[str, Any]:
        """One more Woocommerce object in Space Invoices."""
        created = self.shop.sandbox.test_client().post(
            f"/v1/Organizations/{ORGANIZATION}/woocommerce",
            json={
                "name": "Shop",
                "active": True,
                "sendInvoiceAutomatically": True,
                "sendEstimateAutomatically": True,
            },
            headers={"Authorization": TOKEN},
        )
        config: Mapping[str, Any] = created.json
        return config

    def add_store(self, name: str, config: Mapping[str, Any]) -> None:
        """A store of the account that all have in common, whose config was fetched."""
        with self.shop.context.ledger.write() as connection:
            store_id = add_store(connection, self.shop.context.vault, name, config["id"])
            store_configs.save(connection, stores.get(connection, store_id), config, datetime.now(UTC))


@pytest.fixture(scope="module")
def neighbour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop with a ledger of its own, whose sandbox serves the others, too."""
    ledger = Ledger(f"sqlite:///{tmp_path_factory.mktemp('neighbour') / 'ledger.db'}")
    ledger.upgrade()
    with open_shop(ledger) as shop:
        yield shop
    ledger.close()


@pytest.fixture
def patient(
    neighbour: Shop, ledger: Ledger, database_url: str, tmp_path: Path, redis_server: RedisServer
) -> Iterator[Patient]:
    """A store that was pinged, and whose only order has its invoice."""
    settings = load_settings(
        {
            "data_dir": tmp_path / "data",
            "database_url": "" if database_url.startswith("sqlite") else database_url,
            "broker_url": redis_server.new_url(),
            "secret_key": make_key(),
            "api_url": neighbour.context.api_url,
        }
    )
    clock = Clock(datetime.now(UTC))
    context = replace(
        neighbour.context,
        ledger=ledger,
        vault=settings.vault(),
        now=clock.now,
        _clients=Clients(),
    )
    patient = Patient(Shop(context, clock, 1, neighbour.sandbox), settings)
    patient.add_store("shop", patient.new_config())
    forward_issuance(context, patient.shop.paid(1))
    with ledger.write() as connection:
        stores.record_ping(connection, patient.shop.store_id, clock.now())
    yield patient
    context.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An embedded bridge's data folder, with a ledger that is empty, and a key."""
    settings = load_settings({"data_dir": tmp_path})
    settings.make_key_file()
    ledger = Ledger(settings.ledger_url)
    ledger.upgrade()
    ledger.close()
    return tmp_path


def test_where_all_is_well_nothing_is_to_be_mended(patient: Patient) -> None:
    found = patient.look()
    assert [one for one in found if one.level is not Level.OK or one.mend is not None] == []
    checks = ["ledger", "migrations", "key", "broker", "api", "clock", "worker"]
    checks += [f"shop {check}" for check in ("token", "config", "issuances", "deliveries")]
    assert names(found, Level.OK) == checks


# Before the first start, and after an upgrade


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


# What the bridge rests on


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


# Whether anyone works


def test_deliveries_that_wait_for_an_hour_tell_that_no_worker_runs(patient: Patient) -> None:
    patient.change(delivery_table, state="received", last_received_at=hours_ago(1))
    found = the("worker", patient.look())
    assert "wait to be processed: 1, the oldest for 60 minutes" in found.message
    assert "No message is in the broker" in found.message
    assert (found.mend or "").startswith("celery --app worker.app worker")
    with redis.Redis.from_url(patient.settings.broker_url.get_secret_value()) as client:
        client.lpush("spacebridge", "a message that nobody takes")
    found = the("worker", patient.look())
    assert "Messages in the broker: 1, which no worker takes" in found.message
    assert (found.mend or "").startswith("celery --app worker.app worker")


@ON_SQLITE
def test_where_up_runs_it_is_what_has_to_be_started_again(patient: Patient) -> None:
    patient.change(delivery_table, state="received", last_received_at=hours_ago(1))
    with (patient.settings.data_dir / UP_LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = the("worker", patient.look())
    assert (found.mend or "").startswith(
        "systemctl restart spacebridge; or Ctrl-C, and again: spacebridge up"
    )


@ON_SQLITE
def test_without_any_order_the_configs_tell_that_nobody_works(patient: Patient) -> None:
    patient.change(store_table, config_tried_at=hours_ago(3))
    assert "config of shop was not asked for in the last 3 hours" in the("worker", patient.look()).message
    # While Space Invoices does not answer, they tell nothing.
    found = patient.look(api_url=NOWHERE)
    assert names(found, Level.WRONG) == ["api"]


@ON_SQLITE
def test_a_store_that_was_never_looked_after_tells_it_too(patient: Patient) -> None:
    patient.change(store_table, config=None, config_tried_at=None, created_at=hours_ago(1))
    found = patient.look()
    assert names(found, Level.WRONG) == ["worker"]
    assert the("config", found).level is Level.WARNING
    patient.change(store_table, created_at=datetime.now(UTC))
    assert names(patient.look(), Level.WRONG) == []  # it is too young to tell


def test_a_delivery_that_was_just_replayed_does_not_wait_since_it_came(patient: Patient) -> None:
    patient.change(delivery_table, state="failed", last_received_at=hours_ago(3))
    replayed = operate.replay(patient.shop.context.ledger, 1, who="me", now=datetime.now(UTC))
    assert replayed.has_changed
    assert names(patient.look(), Level.WRONG) == []
    patient.change(action_table, at=hours_ago(2))
    assert "the oldest for 2 hours" in the("worker", patient.look()).message


# Space Invoices and the clocks


@ON_SQLITE
def test_while_space_invoices_is_away_no_store_is_to_blame(patient: Patient) -> None:
    patient.change(
        store_table, paused_at=hours_ago(3), pause_reason="5 failed", next_probe_at=datetime.now(UTC)
    )
    found = patient.look(api_url=f"http://spacebridge:geheim@127.0.0.1:{free_port()}/v1")
    assert names(found, Level.WRONG) == ["api"]
    assert "curl -sSI http://127.0.0.1:" in (the("api", found).mend or "")
    assert names(found, Level.WARNING)[-1:] == ["shop pause"]


@ON_SQLITE
def test_an_api_that_fails_for_every_store_is_told_once(patient: Patient) -> None:
    patient.add_store("second", patient.new_config())
    with MisbehavingServer(answering(404), answering(503)) as api:
        found = patient.look(api_url=api.url)
    assert names(found, Level.WRONG) == ["api"]
    assert "second, shop" in the("api", found).message
    assert "503" in the("api", found).message


@pytest.mark.parametrize(("by", "how"), [(timedelta(hours=3), "behind"), (timedelta(hours=-3), "ahead of")])
def test_a_clock_that_differs_from_that_of_the_api_is_to_be_set(
    folder: Path, by: timedelta, how: str
) -> None:
    date = format_datetime(datetime.now(UTC) + by, usegmt=True)
    with MisbehavingServer(answering(404, f"Date: {date}")) as api:
        clock = the("clock", look(load_settings({"data_dir": folder, "api_url": api.url})))
    assert clock.message == f"This machine's clock is 3 hours {how} that of Space Invoices."
    assert clock.mend == "On this machine: timedatectl set-ntp true"


@pytest.mark.parametrize("header", ["Age: 1", "Date: today", "Date: Mon, 99 Nov 2026 99:00:00 GMT"])
def test_an_api_that_tells_no_time_leaves_the_clock_to_a_person(folder: Path, header: str) -> None:
    with MisbehavingServer(answering(404, header)) as api:
        found = look(load_settings({"data_dir": folder, "api_url": api.url}))
    assert names(found, Level.OK)[-2:] == ["api", "worker"]
    assert the("clock", found).level is Level.WARNING


def test_an_api_that_never_ends_an_answer_has_answered(folder: Path) -> None:
    def begin(visit: Visit) -> None:
        visit.receive_head()
        visit.say(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n{")
        visit.wait()

    with MisbehavingServer(begin) as api:
        found = look(load_settings({"data_dir": folder, "api_url": api.url, "api_timeout": 0.5}))
    assert "api" in names(found, Level.OK)


def test_an_api_that_says_nothing_is_not_waited_for_without_end(folder: Path) -> None:
    with MisbehavingServer(Visit.wait) as api:
        found = look(load_settings({"data_dir": folder, "api_url": api.url, "api_timeout": 0.1}))
    assert "ReadTimeout" in the("api", found).message


def test_the_clock_is_compared_with_that_of_the_database(patient: Patient) -> None:
    found = look(
        patient.settings.model_copy(update={"api_url": NOWHERE}), datetime.now(UTC) + timedelta(hours=3)
    )
    clock = the("clock", found)
    if patient.settings.is_embedded:
        assert clock.level is Level.WARNING
    else:
        assert "is 3 hours ahead of that of PostgreSQL" in clock.message


def test_a_database_whose_clock_alone_differs_is_the_one_to_be_set() -> None:
    found = check_clocks({SPACE_INVOICES: timedelta(0), POSTGRESQL: timedelta(minutes=-5)})
    assert found.message == "This machine's clock is 5 minutes ahead of that of PostgreSQL."
    assert found.mend == "On PostgreSQL's machine: timedatectl set-ntp true"


# Each store


@ON_SQLITE
def test_one_store_of_which_nothing_was_learned_excuses_no_other(patient: Patient) -> None:
    """Two accounts: of the first one that is asked, nothing is learned."""
    patient.add_store("second", patient.new_config())
    vault = patient.shop.context.vault
    patient.change(store_table, api_token=vault.encrypt("geheim"), config=None, config_error="It failed.")
    patient.shop.set_token(TOKEN)
    config = json.dumps([{"id": patient.shop.store().woocommerce_id}])

    def by_token(visit: Visit) -> None:
        is_of_shop = f"Authorization: {TOKEN}".encode() in visit.receive_head().head
        visit.say(f"HTTP/1.1 {200 if is_of_shop else 503} Said\r\nConnection: close\r\n\r\n{config}".encode())

    with MisbehavingServer(answering(404), by_token, by_token) as api:
        found = patient.look(api_url=api.url)
    assert names(found, Level.WRONG) == ["api", "shop config"]
    assert the("config", found, "second").level is Level.WARNING


@ON_SQLITE
def test_a_refused_token_is_to_be_set_anew(patient: Patient) -> None:
    patient.shop.set_token("geheim")
    found = patient.look()
    assert names(found, Level.WRONG) == ["shop token"]
    assert "401" in the("token", found).message
    assert the("token", found).mend == "spacebridge stores set-token shop"


@ON_SQLITE
def test_a_pause_by_a_refused_token_is_told_once_with_what_waits(patient: Patient) -> None:
    patient.shop.set_token("geheim")
    patient.shop.clock.at = datetime.now(UTC) - timedelta(minutes=30)
    forward_issuance(patient.shop.context, patient.shop.paid(2))
    for settings in ({}, {"api_url": NOWHERE}):  # also by what Space Invoices said when it was there
        found = patient.look(**settings)
        assert names(found, Level.WRONG)[-1:] == ["shop pause"]
        pause = the("pause", found)
        assert "Paused for 30 minutes: Space Invoices answered 401" in pause.message
        assert "Documents that wait: 1" in pause.message
        assert pause.mend == "spacebridge stores set-token shop"
        assert "shop token" not in names(found, Level.WRONG)


@ON_SQLITE
def test_a_pause_whose_token_is_accepted_by_now_goes_on_by_itself(patient: Patient) -> None:
    patient.change(
        store_table,
        paused_at=hours_ago(3),
        pause_reason="Space Invoices answered 401",
        next_probe_at=datetime.now(UTC),
    )
    found = patient.look()
    assert "spacebridge stores resume shop" in (the("pause", found).mend or "")
    assert "shop token" in names(found, Level.OK)


@ON_SQLITE
def test_an_operators_pause_is_a_note_with_its_reason(patient: Patient) -> None:
    patient.shop.paid(2)
    patient.change(issuance_table, next_attempt_at=hours_ago(3))
    patient.change(store_table, paused_at=hours_ago(3), pause_reason="stock-taking")
    found = patient.look()
    assert names(found, Level.WRONG) == []
    assert the("pause", found).message.startswith("Paused for 3 hours: stock-taking. Documents that wait: 1")
    assert the("pause", found).mend == "spacebridge stores resume shop"


@ON_SQLITE
def test_a_config_that_is_gone_holds_everything_up(patient: Patient) -> None:
    patient.change(store_table, woocommerce_id="f" * 24)
    found = patient.look()
    assert names(found, Level.WRONG) == ["shop config"]
    assert "f" * 24 in the("config", found).message
    assert (the("config", found).mend or "").startswith("spacebridge stores remove shop")


@ON_SQLITE
def test_an_organization_that_is_not_known_is_to_be_compared(patient: Patient) -> None:
    with MisbehavingServer(answering(404), answering(404)) as api:
        found = patient.look(api_url=api.url)
    assert names(found, Level.WRONG) == ["shop token"]
    assert ORGANIZATION in the("token", found).message
    assert "SPACEBRIDGE_API_URL" in (the("token", found).mend or "")


@ON_SQLITE
def test_an_inactive_config_is_a_note_whether_space_invoices_answers_or_not(patient: Patient) -> None:
    changed = patient.shop.sandbox.test_client().patch(
        f"/v1/Woocommerce/{patient.shop.store().woocommerce_id}",
        json={"active": False},
        headers={"Authorization": TOKEN},
    )
    assert changed.status_code == 200
    asked = the("config", patient.look())
    patient.change(store_table, config={"active": False})
    remembered = the("config", patient.look(api_url=NOWHERE))
    assert asked == remembered
    assert asked.level is Level.WARNING
    assert patient.shop.store().woocommerce_id in (asked.mend or "")


@ON_SQLITE
def test_a_config_that_was_never_fetched_is_to_be_fetched(patient: Patient) -> None:
    patient.change(store_table, config=None, config_error="Space Invoices answered 503.")
    found = patient.look()
    assert names(found, Level.WRONG) == ["shop config"]
    assert "503" in the("config", found).message
    assert the("config", found).mend == "spacebridge stores sync shop"


@ON_SQLITE
def test_a_shop_that_never_came_is_a_note_on_its_webhooks(patient: Patient) -> None:
    patient.add_store("second", patient.new_config())
    found = patient.look()
    assert names(found, Level.WARNING) == ["second deliveries"]
    note = the("deliveries", found)
    assert note.message == "No delivery ever came; no ping ever came."
    assert "/webhooks/second" in (note.mend or "")


@ON_SQLITE
def test_a_shop_that_was_silent_for_a_week_is_a_note(patient: Patient) -> None:
    patient.change(delivery_table, last_received_at=hours_ago(8 * 24))
    found = the("deliveries", patient.look())
    assert found.level is Level.WARNING
    assert "8 days ago" in found.message
    assert "Active" in (found.mend or "")


@pytest.mark.parametrize(
    ("state", "mend"),
    [("held", "spacebridge issuances mark-issued ID"), ("failed", "spacebridge issuances resend ID")],
)
def test_issuances_that_wait_for_an_operator_are_counted(patient: Patient, state: str, mend: str) -> None:
    patient.change(issuance_table, state=state)
    found = patient.look()
    assert names(found, Level.WRONG) == ["shop issuances"]
    mended = the("issuances", found).mend or ""
    assert mended.startswith(f"spacebridge issuances list --store shop --state {state}")
    assert mend in mended


def test_what_is_due_for_long_is_told_if_nothing_else_explains_it(patient: Patient) -> None:
    for number in (2, 3):
        patient.shop.paid(number)
    patient.change(issuance_table, next_attempt_at=hours_ago(3))
    found = patient.look()
    assert names(found, Level.WRONG) == ["shop issuances"]
    assert the("issuances", found).message == "Documents that are due: 2, the oldest for 3 hours."
    patient.change(issuance_table, next_attempt_at=datetime.now(UTC) + timedelta(minutes=50))
    assert names(patient.look(), Level.WRONG) == []


def test_deliveries_that_could_not_be_processed_are_to_be_replayed(patient: Patient) -> None:
    patient.change(delivery_table, state="failed")
    found = patient.look()
    assert names(found, Level.WRONG) == ["shop deliveries"]
    assert "spacebridge deliveries replay ID" in (the("deliveries", found).mend or "")


@pytest.mark.parametrize(
    ("state", "ways_out"),
    [
        (
            "quarantined",
            ["spacebridge stores set shop shop_urls=OLD,NEW", "spacebridge deliveries ignore ID"],
        ),
        (
            "unreadable",
            ["save it there", "spacebridge deliveries replay ID", "spacebridge deliveries ignore ID"],
        ),
    ],
)
def test_deliveries_that_are_kept_for_a_person_are_told_with_the_ways_out(
    patient: Patient, state: str, ways_out: Sequence[str]
) -> None:
    patient.change(delivery_table, state=state)
    found = patient.look()
    assert names(found, Level.WRONG) == ["shop deliveries"]
    mend = the("deliveries", found).mend or ""
    assert mend.startswith(f"spacebridge deliveries list --store shop --state {state}; ")
    assert [one for one in ways_out if one not in mend] == []


def test_refused_deliveries_after_which_no_good_one_came_are_told(patient: Patient) -> None:
    patient.change(store_table, refused_deliveries=3, last_refused_at=hours_ago(5))
    assert names(patient.look(), Level.WRONG) == []  # a good one has come since
    patient.change(delivery_table, last_received_at=hours_ago(6))
    found = patient.look()
    assert names(found, Level.WRONG) == ["shop deliveries"]
    assert "3 so far, the last 5 hours ago" in the("deliveries", found).message
    assert "spacebridge stores rotate-secret shop" in (the("deliveries", found).mend or "")
    patient.change(store_table, last_refused_at=hours_ago(25))
    patient.change(delivery_table, last_received_at=hours_ago(26))
    assert names(patient.look(), Level.WRONG) == []  # whoever it was, they have stopped


@pytest.mark.parametrize(
    ("rule", "is_paid", "hours", "level", "mend"),
    [
        ("pending", False, 49, Level.WARNING, "issue_pending=true"),
        ("pending", True, 2, Level.WRONG, "issue_pending=true"),
        ("unknown_status", False, 49, Level.WRONG, "status_map=CUSTOM:STANDARD"),
    ],
)
def test_orders_that_wait_for_too_long_are_told_with_what_to_type(
    patient: Patient, rule: str, is_paid: bool, hours: int, level: Level, mend: str
) -> None:
    since = hours_ago(hours)
    patient.change(order_table, decision="wait", rule=rule, rule_since=since, has_date_paid=is_paid)
    found = the("orders", patient.look())
    assert found.level is level
    assert ": 1, the first for " in found.message
    assert (found.mend or "").startswith(f"spacebridge orders list --store shop --rule {rule}; ")
    assert f"spacebridge stores set shop {mend}" in (found.mend or "")
    patient.change(order_table, rule_since=datetime.now(UTC) - timedelta(minutes=50))
    assert [one for one in patient.look() if one.check == "orders"] == []


def test_orders_for_attention_are_a_note(patient: Patient) -> None:
    patient.change(order_table, decision="attention", rule="refunded_after_invoice", rule_since=hours_ago(3))
    found = the("orders", patient.look())
    assert (found.level, found.message) == (
        Level.WARNING,
        "Orders that need a person: 1, the last since 3 hours ago.",
    )
    assert (found.mend or "").startswith("spacebridge orders list --store shop --decision attention")


def test_orders_that_come_in_for_an_inactive_store_are_told(patient: Patient) -> None:
    inactive = {**patient.new_config(), "active": False}
    with patient.shop.context.ledger.write() as connection:
        store_configs.save(connection, patient.shop.store(), inactive, hours_ago(3))
    found = the("config", patient.look(api_url=NOWHERE))
    assert found.level is Level.WARNING
    patient.shop.process(patient.shop.receive(at(1, status="processing", id=2, order_key="wc_order_2")))
    found = the("config", patient.look(api_url=NOWHERE))
    assert found.level is Level.WRONG
    assert "inactive in Space Invoices for 3 hours" in found.message
    assert "nothing is issued: 1, the last" in found.message
    assert "spacebridge stores remove shop" in (found.mend or "")


@ON_SQLITE
def test_a_config_that_is_missing_from_one_answer_is_told_as_what_it_is(patient: Patient) -> None:
    patient.change(store_table, woocommerce_id="f" * 24, config_missing_since=hours_ago(1 / 30))
    message = the("config", patient.look()).message
    assert "when a second look, minutes later, confirms this" in message
    assert "The bridge first saw this 2 minutes ago." in message
    patient.change(store_table, config={"_isDeleted": True})
    assert the("config", patient.look()).message.endswith("(any more): nothing is forwarded.")


def test_a_document_that_is_only_tried_again_is_a_note_and_one_that_is_deferred_is_not(
    patient: Patient,
) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=4)
    patient.change(issuance_table, state="due", due_since=hours_ago(3), attempts=4, next_attempt_at=soon)
    found = the("issuances", patient.look())
    assert found.level is Level.WARNING
    assert found.message == (
        "Documents that are due: 1, the oldest for 3 hours. They are tried again by themselves."
    )
    patient.change(issuance_table, attempts=0)
    assert the("issuances", patient.look()).level is Level.WRONG


@ON_SQLITE
def test_all_stores_of_an_account_are_asked_about_in_one_request(patient: Patient) -> None:
    for number in range(40):
        patient.add_store(f"shop-{number:02}", patient.new_config())
    before = patient.shop.requests()
    found = patient.look()
    assert patient.shop.requests() - before == 1
    assert names(found, Level.WRONG) == []
    about = [one.store for one in found if one.store]
    assert about == sorted(about)  # each store's are together
    patient.add_store("shop-gone", {"id": "f" * 24})  # not listed, so asked for by itself
    before = patient.shop.requests()
    assert names(patient.look(), Level.WRONG) == ["shop-gone config"]
    assert patient.shop.requests() - before == 2


@ON_SQLITE
def test_an_api_that_lists_nothing_by_several_ids_is_asked_for_each(patient: Patient) -> None:
    patient.add_store("second", patient.new_config())
    with MisbehavingServer(*map(answering, (404, 400, 401, 401))) as api:
        found = patient.look(api_url=api.url)
    assert names(found, Level.WRONG) == ["second token", "shop token"]
    assert "401" in the("token", found, "second").message


# The command


def test_the_command_tells_a_newcomer_what_to_type(tmp_path: Path) -> None:
    told = run_command(tmp_path, "doctor")
    assert (told.returncode, told.stderr) == (1, "")
    assert "-> spacebridge up" in told.stdout
    assert told.stdout.endswith("Things to mend: 1.\n")


def test_a_wrong_setting_is_a_finding_and_tells_no_value(tmp_path: Path) -> None:
    told = run_command(tmp_path, "doctor", "--json", SPACEBRIDGE_SECRET_KEY="geheim")
    assert (told.returncode, told.stderr) == (1, "")
    (finding,) = json.loads(told.stdout)["findings"]
    assert finding["check"] == "settings"
    assert "SPACEBRIDGE_SECRET_KEY" in finding["message"]
    assert "32 random bytes" in finding["mend"]
    assert "geheim" not in told.stdout


def test_the_command_tells_how_a_bridge_is_while_it_runs_and_after(tmp_path: Path) -> None:
    with sandbox_process(tmp_path) as api_url, running_up(tmp_path, SPACEBRIDGE_API_URL=api_url) as up:
        wait_until(lambda: answers(f"{up.url}/readyz"), "a ready bridge")

        def doctor(*options: str) -> subprocess.CompletedProcess[str]:
            return run_command(tmp_path / "data", "doctor", *options, SPACEBRIDGE_API_URL=api_url)

        settings = load_settings({"data_dir": tmp_path / "data"})
        ledger = Ledger(settings.ledger_url)
        with ledger.write() as connection:
            add_store(connection, settings.vault(), "shop", WOOCOMMERCE)
        deliver(up.url, 1)
        wait_until(lambda: "issued" in states(ledger), "an invoice")
        well = doctor()
        assert well.returncode == 0, well.stdout
        assert "ok     store shop: Space Invoices accepts the token. Its config is active." in well.stdout
        assert well.stdout.endswith("Nothing is wrong.\n")

        with ledger.write() as connection:
            connection.execute(update(store_table).values(api_token=settings.vault().encrypt("geheim")))
        deliver(up.url, 2)
        wait_until(lambda: paused(ledger), "a pause")
        refused = doctor()
        assert refused.returncode == 1
        assert "WRONG  store shop, pause: Paused for" in refused.stdout
        assert "       -> spacebridge stores set-token shop\n" in refused.stdout
        assert refused.stdout.endswith("Things to mend: 1.\n")

        up.process.terminate()
        up.process.wait(60)
        stopped = doctor("--json")
        assert (stopped.returncode, stopped.stderr) == (1, "")
        document = json.loads(stopped.stdout)
        assert list(document) == ["findings", "wrong"]
        assert list(document["findings"][0]) == ["check", "level", "message", "mend", "store"]
        wrong = [one for one in document["findings"] if one["level"] == "wrong"]
        assert document["wrong"] == len(wrong)
        assert [(one["check"], one["store"]) for one in wrong] == [("broker", None), ("pause", "shop")]
        assert "No `spacebridge up` is running" in wrong[0]["message"]
        told = "".join(one.stdout + one.stderr for one in (well, refused, stopped))
        assert [secret for secret in SECRETS if secret in told] == []
        ledger.close()
