"""The keys are changed while the bridge runs, and a kill at any step of it costs no secret."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.db import Ledger
from bridge.ledger import shops, stores
from bridge.settings import KEY_FILE, Settings
from bridge.vault import Vault
from bridge.vault.encryption import make_key
from bridge.vault.key_file import KeyFile
from tests.support.connected import CONSUMER_SECRET, KEY, connect_shop
from tests.support.counter import Counter, open_counter
from tests.support.recorded import load
from tests.support.running import ORGANIZATION, RunningBridge, run_command
from tests.support.servers import RedisServer

ORDER = load("life-of-a-store")[4].order()
IDS = ["--organization", ORGANIZATION, "--woocommerce"]
SECRETS = {"one": "s3cr3t-of-one", "two": "<b>&amp;žš</b>", "three": "s3cr3t-of-three"}


def test_a_key_that_is_made_is_printed_alone_and_kept_nowhere(tmp_path: Path) -> None:
    made = run_command(tmp_path, "keys", "make")
    assert (made.returncode, made.stderr) == (0, "")
    Vault([made.stdout.strip()])
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def counter(ledger: Ledger, database_url: str, tmp_path: Path) -> Iterator[Counter]:
    with open_counter(ledger, database_url, tmp_path) as counter:
        yield counter


def test_secrets_are_encrypted_with_the_first_key_of_the_settings_once(counter: Counter) -> None:
    counter.add()
    for _ in range(2):  # which leaves two previous ones
        counter.json("stores", "rotate-secret", "shop")
    before = counter.store()
    old, new = counter.environment["SPACEBRIDGE_SECRET_KEY"], make_key()
    assert counter.json("keys", "rotate") == {"secrets": 4, "encrypted_anew": 0}
    both = {"SPACEBRIDGE_SECRET_KEY": f"{new},{old}"}
    assert counter.json("keys", "rotate", **both) == {"secrets": 4, "encrypted_anew": 4}
    again = counter.run("keys", "rotate", **both)
    assert again.stdout == "Secrets that were encrypted again: 0 of 4.\n"
    assert "remove the others" in again.stderr
    after = counter.store()
    assert secrets_of(after, Vault([new])) == secrets_of(before, Vault([old]))


def test_the_keys_of_a_shop_are_among_the_secrets(counter: Counter) -> None:
    counter.add()
    with counter.ledger.write() as connection:
        connect_shop(connection, counter.vault, counter.store().id, datetime.now(UTC))
    old, new = counter.environment["SPACEBRIDGE_SECRET_KEY"], make_key()
    both = {"SPACEBRIDGE_SECRET_KEY": f"{new},{old}"}
    for changed in (4, 0):
        assert counter.json("keys", "rotate", **both) == {"secrets": 4, "encrypted_anew": changed}
    with counter.ledger.write() as connection:
        shop = shops.of_store(connection, counter.store().id)
        assert shop is not None
        assert shop.keys(Vault([new])) == (KEY, CONSUMER_SECRET)
        # Nobody has the key to these two any more.
        connect_shop(connection, Vault([make_key()]), counter.store().id, datetime.now(UTC))
    refused = counter.run("keys", "rotate", **both)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "no key reads the secrets of shop" in refused.stderr
    assert "spacebridge stores connect" in refused.stderr


def secrets_of(store: stores.Store, vault: Vault) -> list[str]:
    tokens = [store.encrypted_api_token, store.encrypted_webhook_secret, *store.encrypted_previous_secrets]
    return [vault.decrypt(token) for token in tokens]


@pytest.fixture
def embedded(tmp_path: Path) -> Path:
    """A data folder with an embedded ledger, and three stores in it."""
    folder = tmp_path / "data"
    assert run_command(folder, "db", "upgrade").returncode == 0
    for number, (name, secret) in enumerate(SECRETS.items()):
        (tmp_path / "secret").write_text(secret)
        ids = [*IDS, f"64b7e0c0a1b2c3d4e5f6071{number}", "--webhook-secret-file", str(tmp_path / "secret")]
        added = run_command(
            folder, "stores", "add", name, *ids, "--token-file", "-", "--offline", given=f"token-of-{name}"
        )
        assert added.returncode == 0, added.stderr
    settings = Settings(data_dir=folder)
    with closing(Ledger(settings.ledger_url)) as ledger, ledger.write() as connection:
        two = stores.find(connection, "two")
        assert two is not None
        connect_shop(connection, settings.vault(), two.id, datetime.now(UTC))
    return folder


def readable(folder: Path) -> Mapping[str, list[str]]:
    """The secrets of each store, read with what a process that starts now finds."""
    settings = Settings(data_dir=folder)
    vault = settings.vault()
    with closing(Ledger(settings.ledger_url)) as ledger, ledger.read() as connection:
        connected = shops.every(connection)
        return {
            store.name: [
                *secrets_of(store, vault),
                *(connected[store.id].keys(vault) if store.id in connected else ()),
            ]
            for store in stores.every(connection)
        }


ALL = {name: [f"token-of-{name}", secret] for name, secret in SECRETS.items()}
ALL["two"] += [KEY, CONSUMER_SECRET]


def test_the_embedded_ledgers_key_is_made_anew(embedded: Path) -> None:
    before = (embedded / KEY_FILE).read_text()
    rotated = run_command(embedded, "keys", "rotate", "--json")
    assert json.loads(rotated.stdout) == {"secrets": 8, "encrypted_anew": 8}
    after = (embedded / KEY_FILE).read_text()
    assert len(after.split()) == 1
    assert after != before
    assert stat.S_IMODE((embedded / KEY_FILE).stat().st_mode) == 0o600
    assert readable(embedded) == ALL
    assert sorted(path.name for path in embedded.glob(f"{KEY_FILE}*")) == [KEY_FILE]


def test_two_cannot_change_the_key_at_once(embedded: Path) -> None:
    with KeyFile(embedded / KEY_FILE).exclusive():
        second = run_command(embedded, "keys", "rotate")
    assert (second.returncode, second.stdout) == (1, "")
    assert "being changed by another command" in second.stderr
    assert run_command(embedded, "keys", "rotate").returncode == 0


def test_a_change_that_was_broken_off_goes_on_with_the_key_that_was_begun(embedded: Path) -> None:
    (old,) = KeyFile(embedded / KEY_FILE).read()
    begun = make_key()
    KeyFile(embedded / KEY_FILE).replace([begun, old])
    assert run_command(embedded, "keys", "rotate").returncode == 0
    assert list(KeyFile(embedded / KEY_FILE).read()) == [begun]
    assert readable(embedded) == ALL


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can change the key of a service that runs as another"
)
def test_a_key_that_root_changes_stays_its_owners(embedded: Path) -> None:
    os.chown(embedded / KEY_FILE, 65534, 65534)
    assert run_command(embedded, "keys", "rotate").returncode == 0
    found = (embedded / KEY_FILE).stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (65534, 65534, 0o600)


@contextmanager
def killing(folder: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    """A process that runs the command over the folder, killed at the step it is told."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.kills", str(folder), *command],
        env={**os.environ, "SPACEBRIDGE_DATA_DIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def told(process: subprocess.Popen[str], step: int) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{step}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def test_a_kill_at_any_step_leaves_every_secret_readable_and_the_next_try_ends_it(
    embedded: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(embedded, kept)
    (before,) = KeyFile(kept / KEY_FILE).read()
    seen: list[int] = []
    with killing(embedded, "keys", "rotate") as process:
        for step in itertools.count(1):
            shutil.rmtree(embedded)
            shutil.copytree(kept, embedded)
            ended = told(process, step)
            assert readable(embedded) == ALL, step
            seen.append(len(KeyFile(embedded / KEY_FILE).read()))
            if ended != "killed":
                assert ended == "0"
                break
            assert told(process, 10**9) == "0", step
            assert readable(embedded) == ALL, step
            (after,) = KeyFile(embedded / KEY_FILE).read()
            assert after != before
    # It was killed while the file had the old key alone, then while it had both, and then the new one.
    assert [keys for keys, _ in itertools.groupby(seen)] == [1, 2, 1]
    assert seen.count(2) >= 3 * len(SECRETS)


def test_keys_are_changed_while_the_bridge_runs_and_no_delivery_is_refused(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    data = tmp_path / "data"
    assert run_command(data, "db", "upgrade").returncode == 0  # makes the key
    # The shop delivers as fast as it is answered, so the account's rate must not be what is waited for.
    with RunningBridge(
        tmp_path,
        broker_url=redis_server.new_url(),
        SPACEBRIDGE_SECRET_KEY="",
        SPACEBRIDGE_REQUEST_RATE="1000",
    ) as bridge:
        woocommerce = bridge.add_config("shop")
        (tmp_path / "secret").write_text("s3cr3t")
        added = run_command(
            data,
            *("stores", "add", "shop", *IDS, woocommerce, "--token-file", "-"),
            *("--webhook-secret-file", str(tmp_path / "secret"), "--issue-from", "all"),
            given=bridge.token,
            SPACEBRIDGE_API_URL=f"{bridge.sandbox_url}/v1",
        )
        assert added.returncode == 0, added.stderr
        bridge.wait_for_config("shop")
        answers: list[int] = []
        is_over = threading.Event()

        def deliver() -> None:
            for number in itertools.count(1):
                body = json.dumps({**ORDER, "id": number, "payment_method": "cod", "status": "processing"})
                answers.append(bridge.deliver("shop", body.encode(), secret="s3cr3t").status_code)
                if is_over.is_set():
                    return

        shop = threading.Thread(target=deliver)
        shop.start()
        try:
            for _ in range(3):
                rotated = run_command(data, "keys", "rotate")
                assert rotated.returncode == 0, rotated.stderr
        finally:
            is_over.set()
            shop.join()
        assert set(answers) == {200}
        bridge.wait_until_settled()
        assert bridge.issued(woocommerce) == {number: ["invoice"] for number in range(1, len(answers) + 1)}
