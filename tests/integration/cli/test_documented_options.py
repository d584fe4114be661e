"""docs/stores.md lists every option of a store, with the default that a new store has."""

from __future__ import annotations

import re
from pathlib import Path

from tests import ROOT
from tests.support.documents import table
from tests.support.running import run_command
from tests.support.shop import ORGANIZATION, TOKEN, WOOCOMMERCE

OPTIONS = {row[0].strip("`"): row[1] for row in table(ROOT / "docs" / "stores.md", "Options")}
LEARNED = {"issue_from", "shop_urls"}  # by a new store: words say when and from where
DEFAULTS = [f"{name}={default.strip('`')}" for name, default in OPTIONS.items() if name not in LEARNED]


def test_the_documented_options_are_those_that_can_be_set(tmp_path: Path) -> None:
    said = run_command(tmp_path, "stores", "set", "--help").stdout
    assert set(re.findall(r"^  ([a-z_]+)=", said, re.MULTILINE)) == OPTIONS.keys()


def test_a_new_store_has_the_documented_defaults(tmp_path: Path) -> None:
    assert run_command(tmp_path, "db", "upgrade", "--data-dir", str(tmp_path)).returncode == 0
    ids = ["--organization", ORGANIZATION, "--woocommerce", WOOCOMMERCE]
    added = run_command(
        tmp_path, "stores", "add", "shop", *ids, "--token-file", "-", "--offline", given=TOKEN
    )
    assert added.returncode == 0, added.stderr
    changed = run_command(tmp_path, "stores", "set", "shop", *DEFAULTS)
    assert (changed.returncode, changed.stdout) == (0, "Nothing has changed.\n"), changed.stderr
