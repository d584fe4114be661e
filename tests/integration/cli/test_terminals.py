"""Commands on terminals of every kind: what an encoding lacks is told by its code, never by a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.running import run_command

IDS = ["--organization", "64b7e0c0a1b2c3d4e5f60718", "--woocommerce", "64b7e0c0a1b2c3d4e5f60719"]
REASON = "čaka žig"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a store of which something is said in no ASCII."""
    folder = tmp_path_factory.mktemp("terminal")
    for arguments in (
        ["db", "upgrade"],
        ["stores", "add", "shop", *IDS, "--offline", "--token-file", "-"],
        ["stores", "set", "shop", "status_map=žig:completed"],
        ["stores", "pause", "shop", "--reason", REASON],
    ):
        ended = run_command(folder, *arguments, given="token\n")
        assert ended.returncode == 0, ended.stderr
    return folder


SHOWN: list[str | bytes] = ["stores", "show", "shop"]
OF_BYTES: list[str | bytes] = ["orders", "list", "--store", b"\xff"]
NARROWEST = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

# Each command where least can be written, and each locale with what is shown and with what is given.
COMMANDS: list[tuple[list[str | bytes], int]] = [
    (SHOWN, 0),
    (["stores", "list"], 0),
    (["stores", "show", "trgovina-žš"], 1),
    (OF_BYTES, 1),
    (["stores", "set", "shop", "žig=1"], 2),
    (["up", "--host", "žig"], 1),
]
LOCALES = [
    {"LC_ALL": "C"},
    {"LC_ALL": "C.UTF-8"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1:strict"},
]


@pytest.mark.parametrize(
    ("arguments", "status", "locale"),
    [(*command, NARROWEST) for command in COMMANDS]
    + [(*command, locale) for locale in LOCALES for command in [(SHOWN, 0), (OF_BYTES, 1)]],
    ids=str,
)
def test_no_locale_makes_a_traceback(
    folder: Path, arguments: list[str | bytes], status: int, locale: dict[str, str]
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "bridge", *arguments],
        env={**os.environ, "SPACEBRIDGE_DATA_DIR": str(folder), **locale},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == status, ended.stderr
    assert b"Traceback" not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("redirected", "option"),
    [(">&-", ""), (">&- 2>&-", "--json"), (">/dev/full", ""), (">/dev/full", "--json"), ("| true", "--json")],
)
def test_output_that_goes_nowhere_makes_no_traceback(folder: Path, redirected: str, option: str) -> None:
    ended = subprocess.run(
        ["sh", "-c", f'"$0" -m bridge stores list {option} {redirected}', sys.executable],
        env={**os.environ, "SPACEBRIDGE_DATA_DIR": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert b"Traceback" not in ended.stderr
    assert b"Exception" not in ended.stderr
