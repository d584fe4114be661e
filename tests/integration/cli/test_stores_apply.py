"""The stores as a file describes them: applied once, and changing nothing when applied again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bridge.db import Ledger
from tests import ROOT
from tests.support.counter import AWAY, OTHER_WOOCOMMERCE, Counter, open_counter
from tests.support.shop import ORGANIZATION, TOKEN, WOOCOMMERCE

EXAMPLE = ROOT / "deploy" / "stores.example.toml"
ENVIRONMENT = {"MY_SHOP_TOKEN": TOKEN, "MY_SHOP_WEBHOOK_SECRET": "secret-of-my-shop"}
SHOP = f"""
[stores.shop]
organization = "{ORGANIZATION}"
woocommerce = "{WOOCOMMERCE}"
token_env = "TOKEN"
webhook_secret_env = "SECRET"
"""
GIVEN = {"TOKEN": TOKEN, "SECRET": "<b>&amp;žš</b>"}


@pytest.fixture
def counter(ledger: Ledger, database_url: str, tmp_path: Path) -> Iterator[Counter]:
    with open_counter(ledger, database_url, tmp_path) as counter:
        yield counter


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file that is shipped, with the secrets that it names."""
    folder = tmp_path / "described"
    (folder / "secrets").mkdir(parents=True)
    (folder / "secrets" / "second-shop-token").write_text(f"{TOKEN}\n")
    (folder / "secrets" / "second-shop-webhook-secret").write_text("secret-of-second-shop\n")
    return Path(shutil.copy(EXAMPLE, folder / "stores.toml"))


def actions(document: Any) -> dict[str, str]:
    return {one["name"]: one["action"] for one in document["stores"]}


def test_the_example_is_applied_and_applied_again(counter: Counter, file: Path) -> None:
    dry = counter.json("stores", "apply", str(file), "--dry-run", **ENVIRONMENT)
    assert (actions(dry), dry["dry_run"]) == ({"my-shop": "added", "second-shop": "added"}, True)
    assert counter.json("stores", "list") == []
    applied = counter.json("stores", "apply", str(file), **ENVIRONMENT)
    assert applied == dry | {"dry_run": False}
    first, second = counter.store("my-shop"), counter.store("second-shop")
    assert (first.state, second.state) == ("active", "active")
    assert first.webhook_secret(counter.vault) == "secret-of-my-shop"
    assert second.webhook_secret(counter.vault) == "secret-of-second-shop"
    assert second.api_token(counter.vault) == TOKEN
    assert (second.options.issue_pending, second.options.status_map) == (True, {"shipped": "completed"})
    assert (second.options.order_body, second.options.unknown_outcome) == ("merged", "resend")
    assert (second.options.sub_orders, second.options.shop_urls) == ("ask", ("second-shop.example",))
    assert second.options.issue_from == datetime(2026, 1, 1, tzinfo=UTC)
    assert (second.config or {})["name"] == "Other"
    # Again, and with Space Invoices away: there is nothing to ask it.
    again = counter.json("stores", "apply", str(file), **ENVIRONMENT, SPACEBRIDGE_API_URL=AWAY)
    assert actions(again) == {"my-shop": "unchanged", "second-shop": "unchanged"}
    assert (counter.store("my-shop"), counter.store("second-shop")) == (first, second)
    assert counter.actions("second-shop") == ["add"]


def test_changes_are_printed_and_recorded_and_a_dry_run_changes_nothing(counter: Counter) -> None:
    apply = ["stores", "apply", "-", "--as", "CI"]
    assert counter.run(*apply, given=SHOP, **GIVEN).returncode == 0
    before = counter.store()
    changed = SHOP + 'order_body = "bare"\nissue_pending = true\n'
    secrets = GIVEN | {"SECRET": "another"}
    dry = counter.run(*apply, "--dry-run", given=changed, **secrets)
    assert "Nothing is changed." in dry.stderr
    assert counter.store() == before
    done = counter.run(*apply, given=changed, **secrets)
    assert done.stdout == dry.stdout
    assert done.stdout.splitlines()[:3] == [
        "shop: changed",
        "  issue_pending: false -> true",
        "  order_body: merged -> bare",
    ]
    assert "another" not in done.stdout + done.stderr
    after = counter.store()
    assert after.webhook_secret(counter.vault) == "another"
    assert [counter.vault.decrypt(one) for one in after.encrypted_previous_secrets] == ["<b>&amp;žš</b>"]
    assert after.decision_version == before.decision_version + 1
    assert counter.actions() == ["rotate-secret", "set", "add"]
    # What is not chosen any more is as by default.
    assert counter.run(*apply, given=SHOP, **secrets).stdout.splitlines() == [
        "shop: changed",
        "  issue_pending: true -> false",
        "  order_body: bare -> merged",
    ]


def test_a_store_is_changed_as_a_whole_or_not_at_all_and_the_others_all_the_same(counter: Counter) -> None:
    counter.json("stores", "apply", "-", given=SHOP, **GIVEN)
    before = counter.store()
    text = f"""{SHOP}order_body = "bare"
    [stores.other]
    organization = "{ORGANIZATION}"
    woocommerce = "{OTHER_WOOCOMMERCE}"
    token_env = "OTHER_TOKEN"
    webhook_secret_env = "SECRET"
    """
    done = counter.run("stores", "apply", "-", given=text, **GIVEN | {"TOKEN": "wrong", "OTHER_TOKEN": TOKEN})
    assert done.returncode == 1
    assert done.stdout.splitlines()[:2] == ["shop: failed", "other: added"]
    assert "does not accept the token (401)" in done.stderr
    assert counter.store() == before
    assert counter.store("other").state == "active"


def test_stores_that_are_not_described_are_left_alone_and_mentioned(counter: Counter) -> None:
    counter.add("by-hand")
    before = counter.store("by-hand")
    done = counter.run("stores", "apply", "-", given="[stores]\n")
    assert (done.returncode, done.stdout) == (0, "Not described, and left alone: by-hand\n")
    assert counter.json("stores", "apply", "-", given="")["left_alone"] == ["by-hand"]
    assert counter.store("by-hand") == before


def test_a_store_that_was_paused_by_hand_stays_paused(counter: Counter) -> None:
    counter.json("stores", "apply", "-", given=SHOP, **GIVEN)
    counter.json("stores", "pause", "shop")
    assert actions(counter.json("stores", "apply", "-", given=SHOP, **GIVEN)) == {"shop": "unchanged"}
    assert counter.store().state == "paused"


def test_secrets_that_are_not_given_stay_as_they_are(counter: Counter) -> None:
    counter.json("stores", "apply", "-", given=SHOP, **GIVEN)
    before = counter.store()
    bare = "\n".join(line for line in SHOP.splitlines() if "_env" not in line)
    assert actions(counter.json("stores", "apply", "-", given=bare)) == {"shop": "unchanged"}
    assert counter.store() == before


@pytest.mark.parametrize(
    ("old", "new", "environment", "said"),
    [
        ('token_env = "TOKEN"', "", GIVEN, "add token_env or token_file to it"),
        ('webhook_secret_env = "SECRET"', "", GIVEN, "add webhook_secret_env or webhook_secret_file to it"),
        ("", "", {"TOKEN": TOKEN}, "stores.shop.webhook_secret_env: there is no such variable"),
        ("", "", GIVEN | {"SECRET": "  "}, "The webhook secret is empty"),
        ("", "", GIVEN | {"TOKEN": "to ken"}, "The access token is not one"),
        ("", "", GIVEN | {"TOKEN": "wrong"}, "does not accept the token (401)"),
        ("60719", "60799", GIVEN, "has no Woocommerce object"),
        ("60718", "60799", GIVEN, "knows no organization"),
        (
            "[stores.shop]",
            "[stores.other]",
            GIVEN,
            "The orders of store by-hand go to this Woocommerce object",
        ),
        ("[stores.shop]", "[stores.by-hand]", GIVEN, ""),
    ],
)
def test_a_store_that_cannot_be_so_is_told_with_the_mend(
    counter: Counter, old: str, new: str, environment: dict[str, str], said: str
) -> None:
    if "stores" in new:
        counter.add("by-hand")
    text = SHOP.replace(old, new)
    if not said:
        text, said = (
            text.replace(WOOCOMMERCE, OTHER_WOOCOMMERCE),
            f"its woocommerce is {WOOCOMMERCE}, and cannot",
        )
    before = counter.json("stores", "list")
    ended = counter.run("stores", "apply", "-", given=text, **environment)
    assert ended.returncode == 1
    assert ended.stdout.splitlines()[0].endswith(": failed")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert counter.json("stores", "list") == before


def test_a_file_that_is_wrong_changes_nothing(counter: Counter, tmp_path: Path) -> None:
    wrong = SHOP + "isue_pending = true\n"
    ended = counter.run("stores", "apply", "-", given=wrong, **GIVEN)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "stores.shop.isue_pending: there is no such key" in ended.stderr
    gone = counter.run("stores", "apply", str(tmp_path / "gone.toml"))
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "gone.toml: No such file or directory" in gone.stderr
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    assert "it is not UTF-8 text" in counter.run("stores", "apply", str(tmp_path / "binary.toml")).stderr
    assert counter.run("stores", "apply").returncode == 2
    assert counter.json("stores", "list") == []
