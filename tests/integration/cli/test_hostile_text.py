"""What a shop or Space Invoices sent is shown without any character that a terminal obeys."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bridge.db import Ledger
from bridge.issuance import content_digest
from tests.support.books import add_store, delivery_of, insert_delivery
from tests.support.running import run_command

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\x7f\u202eevil\u2066"
CONTROLS = [chr(code) for code in (*range(32), *range(0x7F, 0xA0)) if chr(code) not in "\n"] + [
    *"\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with a delivery, an order and a document that are full of control characters."""
    folder = tmp_path / "data"
    assert run_command(folder, "db", "upgrade").returncode == 0
    ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
    body = json.dumps({"id": 7, "status": HOSTILE, "number": HOSTILE, "note": HOSTILE}, ensure_ascii=False)
    raw = body.replace("\\u001b", "\x1b").replace("\\u0007", "\x07").replace("\\r", "\r").encode()
    with ledger.write() as connection:
        store = add_store(connection)
        insert_delivery(
            connection,
            **delivery_of(
                store, raw, topic=f"order.{HOSTILE}", digest=content_digest("x", raw), resource_id=7
            ),
        )
        insert_delivery(connection, **delivery_of(store, b"x", state="ignored", reason=HOSTILE))
    ledger.close()
    return folder


def assert_harmless(shown: subprocess.CompletedProcess[str]) -> None:
    assert shown.returncode == 0, shown.stderr
    found = {repr(one) for one in CONTROLS if one in shown.stdout + shown.stderr}
    assert found == set()


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    "command", [["deliveries", "list"], ["deliveries", "show", "1"], ["deliveries", "show", "2"]]
)
def test_a_delivery_is_shown_without_control_characters(
    data: Path, command: list[str], as_json: bool
) -> None:
    shown = run_command(data, *command, *(["--json"] if as_json else []))
    assert_harmless(shown)
    assert "evil" in shown.stdout
    if as_json and "show" in command and "1" in command:
        assert HOSTILE in json.loads(shown.stdout)["body"]  # a script has it as it came
