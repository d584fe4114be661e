"""The commands that read and change the ledger: what they print, and how they fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.running import run_command

IDS = ["--organization", "64b7e0c0a1b2c3d4e5f60718", "--woocommerce", "64b7e0c0a1b2c3d4e5f60719"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with an empty ledger."""
    assert run_command(tmp_path, "db", "upgrade").returncode == 0
    return tmp_path


def test_a_store_is_added_with_a_made_secret_that_is_shown_once(folder: Path) -> None:
    added = run_command(
        folder,
        *("stores", "add", "shop", *IDS, "--token-file", "-", "--offline", "--json"),
        given="the-token\n",
    )
    document = json.loads(added.stdout)
    assert document["delivery_path"] == "/webhooks/shop"
    assert len(document["webhook_secret"]) == 48
    shown = run_command(folder, "stores", "show", "shop", "--json").stdout
    assert json.loads(shown)["config"] is None
    assert document["webhook_secret"] not in shown
    assert "the-token" not in shown


def test_the_key_is_made_once_and_only_its_owner_reads_it(folder: Path) -> None:
    key = (folder / "secret.key").read_bytes()
    assert run_command(folder, "db", "upgrade").returncode == 0
    assert (folder / "secret.key").read_bytes() == key
    assert (folder / "secret.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["stores", "show", "nobody"], 1, "no store named nobody"),
        (["stores", "add", "Shop", *IDS, "--token-file", "-"], 1, "cannot be a store's name"),
        (["stores", "add", "s", *IDS[:3], "7", "--token-file", "-"], 1, "24 hexadecimal digits"),
        (["stores", "add", "s", *IDS, "--token-file", "/nowhere"], 1, "/nowhere"),
        (["stores", "add", "s", *IDS], 1, "--token-file"),  # no terminal to ask at
        (["stores", "add", "s", *IDS, *("--token-file", "-", "--webhook-secret-file", "-")], 1, "not both"),
        (["stores", "add", "s", "--token-file", "-"], 2, "--organization"),
        (["deliveries", "show", "1"], 1, "no delivery 1"),
        (["deliveries", "show", "9" * 30], 2, "range"),
        (["deliveries", "replay", "1"], 1, "cannot be replayed"),
        (["deliveries", "list", "--store", "nobody"], 1, "no store named nobody"),
        (["deliveries", "list", "--state", "x"], 2, "--state"),
        (["orders", "explain", "nobody", "1"], 1, "no store named nobody"),
        (["issuances", "list", "--limit", "0"], 2, "--limit"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    folder: Path, arguments: list[str], status: int, said: str
) -> None:
    tried = run_command(folder, *arguments, given="the-token\n")
    assert (tried.returncode, tried.stdout) == (status, "")
    assert said in tried.stderr
    assert "Traceback" not in tried.stderr


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    tried = run_command(tmp_path / "file" / "data", "db", "upgrade")
    assert tried.returncode == 1
    assert str(tmp_path / "file") in tried.stderr
    assert "Traceback" not in tried.stderr


@pytest.mark.parametrize("token", ["", "   ", "to ken", "žeton", "\ufeff"])
def test_a_token_that_no_header_can_carry_is_refused(folder: Path, token: str) -> None:
    tried = run_command(folder, "stores", "add", "shop", *IDS, "--token-file", "-", given=f"{token}\n")
    assert tried.returncode == 1
    assert "token" in tried.stderr


def test_lists_are_json_for_scripts_even_when_empty(folder: Path) -> None:
    for command in ("stores", "deliveries", "orders", "issuances"):
        assert json.loads(run_command(folder, command, "list", "--json").stdout) == []
