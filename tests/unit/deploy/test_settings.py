"""Every setting that a file for deployment names is one that the bridge reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.settings import Settings
from tests import ROOT

# Named by the files before the bridge reads them.
FILES = [
    ROOT / "docker-compose.yml",
    ROOT / ".env.example",
    *(path for path in sorted((ROOT / "deploy").rglob("*")) if path.is_file()),
]


def test_settings_are_named_in_them() -> None:
    assert sum("SPACEBRIDGE_DATABASE_URL_FILE" in path.read_text() for path in FILES) > 3


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_names_settings_that_there_are(path: Path) -> None:
    known = {f"SPACEBRIDGE_{name.upper()}" for name in Settings.model_fields}
    named = {name.removesuffix("_FILE") for name in re.findall(r"SPACEBRIDGE_[A-Z_]+", path.read_text())}
    assert named <= known
