"""What reaches a terminal of text that others sent."""

from __future__ import annotations

import io
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.printable import guard_standard_streams, printable, printable_in_line, unguarded

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\x7f\u202eevil\u2066\u200f\x00\x85\u2028"


def is_harmless(character: str) -> bool:
    return unicodedata.category(character) != "Cc" and unicodedata.bidirectional(character) not in {
        *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"),
        "B",
    }


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(max_size=60) | st.text(st.sampled_from(HOSTILE + "až\n\t"), max_size=60))
def test_no_control_character_is_left_and_nothing_else_is_changed(text: str) -> None:
    assert all(is_harmless(character) for character in printable_in_line(text))
    assert all(is_harmless(character) for character in printable(text) if character not in "\n\t")
    if text.isprintable() and not set(text) & set(HOSTILE):
        assert printable(text) == printable_in_line(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Žiga Ürün 日本 😀", "Žiga Ürün 日本 😀"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[31mred", "\\u001b[31mred"),
        ("a\rb\x9bc\x7f", "a\\u000db\\u009bc\\u007f"),
        ("\u202ereversed", "\\u202ereversed"),
    ],
)
def test_a_control_character_is_shown_as_json_has_it(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_line_stays_one_line() -> None:
    assert printable_in_line("paid\nissued\t\u2028now") == "paid\\u000aissued\\u0009\\u2028now"


def test_whatever_is_printed_passes_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    written = {name: io.BytesIO() for name in ("stdout", "stderr")}
    for name, raw in written.items():
        monkeypatch.setattr(
            sys, name, io.TextIOWrapper(raw, encoding="ascii" if name == "stdout" else "utf-8")
        )
    guard_standard_streams()
    print(HOSTILE, "ž", "\udc80")
    print(HOSTILE, file=sys.stderr)
    print("\x1b[1mbold\x1b[0m", file=unguarded(sys.stdout), flush=True)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    printed, complained = (written[name].getvalue().decode() for name in ("stdout", "stderr"))
    assert printed == f"{printable(HOSTILE)} ž \\udc80\n\x1b[1mbold\x1b[0m\n"
    assert complained == f"{printable(HOSTILE)}\n"
