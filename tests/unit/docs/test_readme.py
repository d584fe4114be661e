"""The README's map shows the code as it is, and `make` knows the targets that the documents name."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests import ROOT
from tests.support.documents import DOCUMENTS

README = (ROOT / "README.md").read_text()
MAP = re.findall(r"^    (\S+)  ", README.partition("## Map of the code\n")[2], re.MULTILINE)
HELP = subprocess.run(
    ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout
TARGETS = dict(re.findall(r"^(\w+) +(\S.*)$", HELP, re.MULTILINE))


@pytest.mark.parametrize("path", MAP)
def test_a_path_of_the_map_exists(path: str) -> None:
    assert (ROOT / path).exists()
    assert (ROOT / path).is_dir() == path.endswith("/")


def test_every_room_is_on_the_map() -> None:
    rooms = {path.parent.relative_to(ROOT) for path in (ROOT / "bridge").glob("*/__init__.py")}
    assert rooms <= {Path(path) for path in MAP}


def test_make_help_has_a_sentence_for_each_target() -> None:
    [phony] = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert TARGETS.keys() == set(phony.split())
    assert all(sentence.endswith(".") for sentence in TARGETS.values())


def test_make_knows_the_targets_that_the_documents_name() -> None:
    typed = r"(?:`|^    )make (\w+)"
    named = {name for path in DOCUMENTS for name in re.findall(typed, path.read_text(), re.MULTILINE)}
    assert {"demo", "test"} <= named <= TARGETS.keys()


def test_tests_mirror_the_rooms() -> None:
    """Beside them, only what is no code of the bridge has tests: files for deployment, documents, tools."""
    rooms = {path.parent.name for path in (ROOT / "bridge").glob("*/__init__.py")} | {"bridge", "worker"}
    tested = {
        path.parent
        for kind in ("unit", "integration")
        for path in (ROOT / "tests" / kind).glob("**/test_*.py")
    }
    assert {folder.parent.name for folder in tested} <= {"unit", "integration"}
    assert {folder.name for folder in tested} - rooms <= {"bench", "deploy", "docs", "tests"}
