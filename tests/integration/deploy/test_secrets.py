"""deploy/make-secrets.sh makes secrets that the bridge takes, once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from bridge.settings import load_settings
from tests import ROOT

SCRIPT = ROOT / "deploy" / "make-secrets.sh"


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A folder of secrets that the script has made."""
    folder = tmp_path / "secrets"
    subprocess.run([SCRIPT, folder], check=True, capture_output=True)
    return folder


def test_the_bridge_takes_them(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("database_url", "broker_url", "secret_key"):
        monkeypatch.setenv(f"SPACEBRIDGE_{name.upper()}_FILE", str(secrets / name))
    settings = load_settings()
    settings.vault()
    assert make_url(settings.ledger_url).password == (secrets / "postgres_password").read_text()
    password = make_url(settings.broker_url.get_secret_value()).password
    assert (secrets / "redis_conf").read_text() == f"requirepass {password}\n"


def test_no_other_user_may_enter_the_folder_and_the_containers_may_read_its_files(secrets: Path) -> None:
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in secrets.iterdir()} == {0o444}


def test_each_password_is_another_one_each_time(secrets: Path, tmp_path: Path) -> None:
    subprocess.run([SCRIPT, tmp_path / "others"], check=True, capture_output=True)
    made = [path.read_text() for folder in (secrets, tmp_path / "others") for path in folder.iterdir()]
    assert len(made) == len(set(made)) == 12


def test_what_is_there_is_never_replaced(secrets: Path) -> None:
    before = {path.name: path.read_text() for path in secrets.iterdir()}
    result = subprocess.run([SCRIPT, secrets], check=True, capture_output=True, text=True)
    assert {path.name: path.read_text() for path in secrets.iterdir()} == before
    assert result.stderr.count("is there, and stays.") == len(before)
    assert not any(value.strip() in result.stdout + result.stderr for value in before.values())


def test_one_that_is_missing_fits_those_that_are_there(secrets: Path) -> None:
    before = (secrets / "broker_url").read_text()
    (secrets / "broker_url").unlink()
    subprocess.run([SCRIPT, secrets], check=True, capture_output=True)
    assert (secrets / "broker_url").read_text() == before
