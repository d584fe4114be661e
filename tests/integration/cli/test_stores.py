"""The commands on stores in real processes, on both databases: what they print, change and record."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from bridge.db import Ledger, tables
from bridge.ledger import store_pauses
from tests.integration.cli.test_operator import Terminal
from tests.support.counter import AWAY, IDS, OTHER_WOOCOMMERCE, Counter, open_counter
from tests.support.shop import ORGANIZATION, TOKEN, WOOCOMMERCE


@pytest.fixture
def counter(ledger: Ledger, database_url: str, tmp_path: Path) -> Iterator[Counter]:
    with open_counter(ledger, database_url, tmp_path) as counter:
        yield counter


def test_a_store_is_added_with_the_config_that_its_check_has_fetched(counter: Counter) -> None:
    added = counter.run("stores", "add", "shop", *IDS, "--token-file", "-", given=f"{TOKEN}\n")
    assert added.returncode == 0, added.stderr
    assert "its orders go to 'Shop'" in added.stdout
    assert "https://<this bridge>/webhooks/shop" in added.stdout
    assert "Order restored" in added.stderr
    store = counter.store()
    assert store.webhook_secret(counter.vault) in added.stdout  # it was made, and is shown this once
    assert store.api_token(counter.vault) == TOKEN
    assert store.state == "active"
    assert (store.config or {})["name"] == "Shop"
    assert store.config_fetched_at is not None
    assert counter.actions() == ["add"]
    again = counter.run("stores", "add", "shop", *IDS, "--token-file", "-", given=TOKEN)
    assert (again.returncode, again.stdout) == (1, "")
    assert "a store named shop already" in again.stderr
    assert counter.store() == store


def test_delivery_urls_are_complete_where_the_public_address_is_known(counter: Counter) -> None:
    public = {"SPACEBRIDGE_PUBLIC_URL": "https://bridge.example/"}
    added = counter.run("stores", "add", "shop", *IDS, "--token-file", "-", given=TOKEN, **public)
    shown = counter.run("stores", "show", "shop", **public)
    for printed in (added.stdout, shown.stdout):
        assert "https://bridge.example/webhooks/shop\n" in printed


def test_a_store_is_shown_and_listed_without_its_secrets(counter: Counter) -> None:
    secret = counter.add()["webhook_secret"]
    shown, listed = counter.run("stores", "show", "shop"), counter.run("stores", "list")
    assert shown.stdout.startswith("Store shop is active.\n")
    for said in ("An unpaid order by bank payment gets an estimate", "'Shop'", "Last ping", "never", "add"):
        assert said in shown.stdout
    document = counter.json("stores", "show", "shop")
    assert document["state"] == "active"
    assert document["actions"][0]["verb"] == "add"
    assert document["bank_payment_methods"] == ["bacs"]
    (row,) = counter.json("stores", "list")
    assert {key: row[key] for key in ("name", "state", "organization", "woocommerce", "delivery_path")} == {
        "name": "shop",
        "state": "active",
        "organization": ORGANIZATION,
        "woocommerce": WOOCOMMERCE,
        "delivery_path": "/webhooks/shop",
    }
    for printed in (shown.stdout, listed.stdout, json.dumps(document), json.dumps(row)):
        assert secret not in printed
        assert TOKEN not in printed


def test_choices_are_set_once_however_often_they_are_typed(counter: Counter) -> None:
    counter.add()
    version = counter.store().decision_version
    first = counter.json(
        *("stores", "set", "shop", "issue_pending=true", "status_map=shipped:completed", "zero_total=skip")
    )
    assert first["changes"] == [
        "issue_pending: false -> true",
        "status_map: none -> shipped:completed",
        "zero_total: issue -> skip",
    ]
    store = counter.store()
    assert (store.options.issue_pending, store.options.status_map) == (True, {"shipped": "completed"})
    assert (store.options.zero_total, store.decision_version) == ("skip", version + 1)
    assert store.deciding_anew_since is not None
    again = counter.run("stores", "set", "shop", "issue_pending=true", "zero_total=skip")
    assert (again.returncode, again.stdout) == (0, "Nothing has changed.\n")
    assert counter.store() == store
    # What decides nothing has nothing decided anew.
    assert counter.json("stores", "set", "shop", "unknown_outcome=resend")["decided_anew"] == 0
    assert counter.store().decision_version == store.decision_version
    assert counter.actions() == ["set", "set", "add"]


def test_a_pause_lasts_until_it_is_resumed_and_both_can_be_typed_twice(counter: Counter) -> None:
    counter.add()
    paused = counter.json("stores", "pause", "shop", "--reason", "stock count <b>žš</b>", "--as", "Anna")
    assert paused["state"] == "paused"
    assert paused["pause_reason"].startswith("paused by Anna (")
    assert paused["pause_reason"].endswith("): stock count <b>žš</b>")
    before = counter.store()
    again = counter.run("stores", "pause", "shop")
    assert "Nothing is changed" in again.stdout
    assert counter.store() == before
    assert "stock count <b>žš</b>" in counter.run("stores", "show", "shop").stdout
    assert counter.json("stores", "resume", "shop") == {
        "name": "shop",
        "state": "active",
        "pause_reason": None,
    }
    assert "Nothing is changed" in counter.run("stores", "resume", "shop").stdout
    assert counter.actions() == ["resume", "pause", "add"]


def test_a_store_that_paused_itself_is_told_apart_and_can_be_resumed(counter: Counter) -> None:
    counter.add()
    soon = datetime.now(UTC) + timedelta(hours=2)
    with counter.ledger.write() as connection:
        store_pauses.pause(
            connection,
            counter.store().id,
            reason="Space Invoices answered 401",
            now=datetime.now(UTC),
            next_probe_at=soon,
        )
    shown = counter.run("stores", "show", "shop").stdout
    assert "Space Invoices answered 401. It is tried again in 1 hour" in shown
    resumed = counter.run("stores", "resume", "shop")
    assert resumed.returncode == 0
    assert "had been paused by itself (Space Invoices answered 401)" in resumed.stderr
    assert counter.store().state == "active"


def test_a_new_token_is_checked_and_has_a_paused_store_tried_at_once(counter: Counter) -> None:
    counter.add()
    later = datetime.now(UTC) + timedelta(minutes=1)
    with counter.ledger.write() as connection:
        store_pauses.pause(connection, counter.store().id, reason="401", now=later, next_probe_at=later)
    before = counter.store()
    refused = counter.run("stores", "set-token", "shop", "--token-file", "-", given="another")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "does not accept the token (401)" in refused.stderr
    assert counter.store() == before
    unchecked = counter.json("stores", "set-token", "shop", "--token-file", "-", "--offline", given="another")
    assert unchecked == {"name": "shop", "changed": True, "checked": False}
    assert counter.store().api_token(counter.vault) == "another"
    started = datetime.now(UTC)
    mended = counter.run("stores", "set-token", "shop", "--token-file", "-", given=TOKEN)
    assert "which Space Invoices accepts" in mended.stdout
    store = counter.store()
    assert store.api_token(counter.vault) == TOKEN
    assert store.next_probe_at is not None
    assert started <= store.next_probe_at <= datetime.now(UTC)
    assert counter.json("stores", "set-token", "shop", "--token-file", "-", given=TOKEN)["changed"] is False
    assert counter.actions() == ["set-token", "set-token", "add"]


def test_sync_shows_what_changed_in_the_config(counter: Counter) -> None:
    counter.add()
    assert counter.run("stores", "sync", "shop").stdout == "Nothing has changed.\n"
    counter.patch(issueInvoiceOnComplete=True, locale="sl")
    synced = counter.json("stores", "sync", "shop")
    assert set(synced["changes"]) == {"issueInvoiceOnComplete: false -> true", 'locale: null -> "sl"'}
    assert "An invoice is issued when its order is completed." in counter.run("stores", "show", "shop").stdout
    counter.patch(active=False)
    inactive = counter.run("stores", "sync", "shop")
    assert inactive.returncode == 0
    assert "active: true -> false" in inactive.stdout
    assert "Activate it there" in inactive.stderr
    assert counter.store().state == "inactive"
    failed = counter.run("stores", "sync", "shop", SPACEBRIDGE_API_URL=AWAY)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "The config that was fetched before goes on serving" in failed.stderr


def test_sync_says_that_the_object_is_not_listed_and_believes_it_the_second_time(counter: Counter) -> None:
    counter.add()
    url = f"/v1/Woocommerce/{WOOCOMMERCE}"
    assert counter.sandbox.test_client().delete(url, headers={"Authorization": TOKEN}).status_code == 200
    first = counter.run("stores", "sync", "shop")
    assert (first.returncode, first.stdout) == (1, "")
    assert f"lists no Woocommerce object {WOOCOMMERCE}" in first.stderr
    assert "The config that was fetched before goes on serving" in first.stderr
    assert counter.store().state == "active"
    assert "does not list its Woocommerce object" in counter.run("stores", "show", "shop").stdout
    with counter.ledger.write() as connection:
        four_minutes_ago = datetime.now(UTC) - timedelta(minutes=4)
        connection.execute(update(tables.stores).values(config_missing_since=four_minutes_ago))
    second = counter.run("stores", "sync", "shop")
    assert (second.returncode, second.stdout) == (0, "_isDeleted: false -> true\n")
    assert "is not in Space Invoices any more" in second.stderr
    assert counter.store().state == "inactive"


def test_a_store_added_offline_is_new_until_its_config_is_fetched(counter: Counter) -> None:
    added = counter.json(
        *("stores", "add", "shop", *IDS, "--token-file", "-", "--offline"),
        given=TOKEN,
        SPACEBRIDGE_API_URL=AWAY,
    )
    assert (added["checked"], counter.store().state) == (False, "new")
    assert "its config has not been fetched yet" in counter.run("stores", "show", "shop").stdout
    assert "is known now" in counter.run("stores", "sync", "shop").stdout
    assert counter.store().state == "active"


def test_no_two_stores_have_their_orders_issued_in_one_object(counter: Counter) -> None:
    counter.add()
    other = counter.run("stores", "add", "other", *IDS, "--token-file", "-", given=TOKEN)
    assert (other.returncode, other.stdout) == (1, "")
    assert "The orders of store shop go to this Woocommerce object already" in other.stderr
    own = ["--organization", ORGANIZATION, "--woocommerce", OTHER_WOOCOMMERCE.upper()]
    assert counter.run("stores", "add", "other", *own, "--token-file", "-", given=TOKEN).returncode == 0


def test_a_ledger_whose_key_is_lost_says_so_and_takes_new_secrets(counter: Counter) -> None:
    counter.add()
    lost = counter.without("SPACEBRIDGE_SECRET_KEY")
    another = {"SPACEBRIDGE_SECRET_KEY": "c" * 43 + "="}
    assert "SPACEBRIDGE_SECRET_KEY is not set" in lost.run("stores", "pause", "shop").stderr
    refused = counter.run("keys", "rotate", **another)
    assert refused.returncode == 1
    assert "no key reads the secrets of shop" in refused.stderr
    for command in (["set-token", "shop", "--token-file", "-"], ["rotate-secret", "shop"]):
        ended = counter.run("stores", *command, given=TOKEN, **another)
        assert ended.returncode == 0, ended.stderr
    assert counter.json("keys", "rotate", **another) == {"secrets": 2, "encrypted_anew": 0}


def test_a_reader_that_went_away_is_no_traceback_and_what_was_done_is_done(counter: Counter) -> None:
    counter.add()
    reader, writer = os.pipe()
    os.close(reader)
    arguments = ["stores", "pause", "shop", "--json"]
    ended = counter.run_with(*arguments, stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, b"")
    assert counter.store().state == "paused"


def test_a_token_is_asked_for_at_a_terminal_and_does_not_appear_there(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in counter.environment.items():
        monkeypatch.setenv(name, value)
    with Terminal(counter.folder, "stores", "add", "shop", *IDS) as terminal:
        terminal.wait_for(b"access token")
        status, stdout, stderr = terminal.answer(f"{TOKEN}\n".encode())
    assert status == 0, stderr
    assert TOKEN.encode() not in stdout + stderr
    assert counter.store().api_token(counter.vault) == TOKEN


def test_a_removal_is_confirmed_at_a_terminal(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    counter.add()
    for name, value in counter.environment.items():
        monkeypatch.setenv(name, value)
    with Terminal(counter.folder, "stores", "remove", "shop") as terminal:
        terminal.wait_for(b"Remove store shop? [y/N]")
        status, stdout, _ = terminal.answer(b"y\n")
    assert status == 0
    assert b"Store shop is removed." in stdout
    assert counter.find() is None


def test_a_token_that_is_applied_again_leaves_the_next_probe_where_it_is(counter: Counter) -> None:
    counter.add()
    later = datetime.now(UTC) + timedelta(minutes=1)
    with counter.ledger.write() as connection:
        store_pauses.pause(connection, counter.store().id, reason="503", now=later, next_probe_at=later)
    text = f"""[stores.shop]
    organization = "{ORGANIZATION}"
    woocommerce = "{WOOCOMMERCE}"
    token_env = "T"
    """
    applied = counter.json("stores", "apply", "-", given=text, T=TOKEN)
    assert applied["stores"][0]["action"] == "unchanged"
    assert counter.store().next_probe_at == later
