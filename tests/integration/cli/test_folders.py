"""Which ledger a command works on: the folder is named, looked at and told; only `up` makes one unasked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.vault.encryption import make_key
from tests.integration.embedded.test_up import STORE_IDS, running_up
from tests.support import forked
from tests.support.running import answers, run_command
from tests.support.servers import free_port, wait_until

AT_A_LEDGER = [
    ["stores", "list"],
    ["stores", "show", "shop"],
    ["stores", "set", "shop", "order_body=bare"],
    ["stores", "remove", "shop", "--yes"],
    ["deliveries", "list"],
    ["deliveries", "send", "shop", "--sample"],
    ["orders", "list"],
    ["issuances", "resend", "1"],
    ["keys", "rotate"],
    ["db", "after-restore"],
    ["db", "backup", "b.db"],
    ["db", "copy", "--to-sqlite", "c.db"],
    ["db", "upgrade"],
    ["woocommerce", "count", "64b7e0c0a1b2c3d4e5f60718", "--store", "shop"],
    ["doctor"],
]


def typed_in(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `spacebridge` in a folder, with no setting but these."""
    without = {name: value for name, value in os.environ.items() if not name.startswith("SPACEBRIDGE_")}
    return forked.run(arguments, {**without, **environment}, folder=folder)


@pytest.mark.parametrize("arguments", AT_A_LEDGER, ids=" ".join)
def test_in_a_folder_without_a_ledger_a_command_names_it_and_makes_nothing(
    tmp_path: Path, arguments: list[str]
) -> None:
    ended = typed_in(tmp_path, *arguments)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1
    assert str(tmp_path / "var") in said
    assert re.search("no ledger", said)
    assert "--data-dir" in said
    assert "db upgrade" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_is_made_by_hand_only_in_a_folder_that_is_named(tmp_path: Path) -> None:
    made = typed_in(tmp_path, "db", "upgrade", "--data-dir", "here")
    assert made.returncode == 0
    assert f"A new ledger is made: SQLite, {tmp_path / 'here' / 'ledger.db'}" in made.stderr
    again = typed_in(tmp_path, "db", "upgrade", SPACEBRIDGE_DATA_DIR="here")
    assert again.returncode == 0
    assert "new ledger" not in again.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["here"]


def test_the_folder_of_the_option_goes_before_that_of_the_environment(tmp_path: Path) -> None:
    assert run_command(tmp_path / "there", "db", "upgrade").returncode == 0
    given = ["stores", "list", "--json", "--data-dir", str(tmp_path / "there")]
    ended = typed_in(tmp_path, *given, SPACEBRIDGE_DATA_DIR=str(tmp_path / "nowhere"))
    assert (ended.returncode, ended.stdout) == (0, "[]\n")


@pytest.mark.parametrize(
    ("value", "said"), [("", "it is empty"), (__file__, "is a file"), ("\udcff", "not text in UTF-8")]
)
def test_what_is_no_folder_is_wrong_usage(tmp_path: Path, value: str, said: str) -> None:
    ended = typed_in(tmp_path, "stores", "list", "--data-dir", value)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr


def test_a_folder_beside_a_database_url_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ended = typed_in(tmp_path, "stores", "list", "--data-dir", "x", SPACEBRIDGE_DATABASE_URL=url)
    assert ended.returncode == 2
    assert "leave one of the two out" in ended.stderr


@pytest.mark.parametrize("command", [["db", "upgrade"], ["up", "--port", str(free_port())]])
def test_a_ledger_whose_key_is_missing_gets_no_other_key(tmp_path: Path, command: list[str]) -> None:
    assert run_command(tmp_path, "db", "upgrade").returncode == 0
    (tmp_path / "secret.key").unlink()
    refused = run_command(tmp_path, *command)
    assert refused.returncode == 1
    assert f"{tmp_path / 'secret.key'} is missing" in refused.stderr
    assert not (tmp_path / "secret.key").exists()
    assert run_command(tmp_path, "db", "upgrade", SPACEBRIDGE_SECRET_KEY=make_key()).returncode == 0


def test_a_key_without_its_ledger_is_told_apart_from_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text(make_key())
    ended = run_command(tmp_path, "orders", "list")
    assert ended.returncode == 1
    assert "there is a key and no ledger: put the ledger back from its back-up" in ended.stderr


def test_an_up_that_finds_its_port_taken_makes_no_folder(tmp_path: Path) -> None:
    with running_up(tmp_path) as up:
        wait_until(lambda: answers(f"{up.url}/readyz"), "a ready bridge")
        port = up.url.rpartition(":")[2]
        refused = run_command(tmp_path, "up", "--port", port, "--data-dir", str(tmp_path / "other"))
        assert "There was no ledger yet, and a new one is made" in up.text()
    assert refused.returncode == 1
    assert not (tmp_path / "other").exists()


def test_a_store_is_added_to_the_ledger_of_an_up_that_is_started_after_it(tmp_path: Path) -> None:
    add = subprocess.Popen(
        [
            *(sys.executable, "-m", "bridge", "stores", "add", "shop", *STORE_IDS, "--offline"),
            *("--token-file", "-", "--data-dir", str(tmp_path / "data")),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with running_up(tmp_path):
        printed, errors = add.communicate(b"token\n", timeout=120)
        assert add.returncode == 0, errors
        assert b"Store shop is added" in printed
