"""The keys of a shop are read from a file or standard input, in the forms in which people have them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from bridge.admin import RefusedError
from bridge.cli.secret_input import read_shop_keys

KEY, SECRET = "ck_" + "0123456789abcdef" * 2, "cs_" + "fedcba9876543210" * 2


@pytest.mark.parametrize(
    "text",
    [
        f"{KEY}\n{SECRET}\n",
        f"{KEY}\r\n{SECRET}\r\n",
        f"\ufeff{KEY}\n{SECRET}",
        f"  {KEY}  \n\n  {SECRET}  \n",
        f"{SECRET}\n{KEY}\n",
        f"Consumer key {KEY}\nConsumer secret {SECRET}\n",
        json.dumps({"consumer_key": KEY, "consumer_secret": SECRET}),
        json.dumps({"key_id": 1, "consumer_key": KEY, "consumer_secret": SECRET, "key_permissions": "read"}),
    ],
)
def test_both_keys_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text, encoding="utf-8", newline="")
    found = read_shop_keys(str(file))
    assert (found.consumer_key, found.consumer_secret) == (KEY, SECRET)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))
    assert read_shop_keys("-") == found
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2\nhunter3\n",
        KEY,
        f"{KEY}\n{KEY}",
        f"{SECRET}\n{SECRET}",
        f"{KEY}\n{SECRET}\n{KEY}0\n{SECRET}0\n",
        f"x{KEY}\nx{SECRET}",
        json.dumps({"consumer_key": "", "consumer_secret": ""}),
        "<html>" * 10**6,
    ],
)
def test_what_holds_no_pair_of_keys_is_refused_and_not_quoted(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(RefusedError) as caught:
        read_shop_keys(str(file))
    said = str(caught.value)
    assert "consumer key (ck_...)" in said
    assert not any(secret in said for secret in (KEY, SECRET, "hunter2", "<html>"))
