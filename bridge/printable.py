"""Text as a terminal may be given it: nothing that a shop sent moves its cursor, hides or turns text."""

from __future__ import annotations

import codecs
import io
import re
import sys
from typing import TextIO

# C0 but for tab and newline, DEL, C1 (some of which a terminal takes for ESC and a letter), separators of
# lines, and what turns the direction of writing.
_ELSE = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_IN_TEXT, _IN_LINE = re.compile(f"[{_ELSE}]"), re.compile(f"[{_ELSE}\n\t]")


def printable(text: str) -> str:
    r"""The text with each control character but tab and newline as `\u001b`, which JSON understands, too."""
    return _IN_TEXT.sub(_escape, text)


def printable_in_line(text: str) -> str:
    """The same for what is not to end a line."""
    return _IN_LINE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


class _PrintableStream(io.TextIOWrapper):
    """A standard stream that is written nothing but printable text."""

    raw_stream: TextIO

    def write(self, text: str, /) -> int:
        super().write(printable(text))
        return len(text)


def guard_standard_streams() -> None:
    """Have all that this process prints be printable, whoever prints it: commands, prompts, tracebacks."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper):  # closed, or a test's
            continue
        is_ascii = codecs.lookup(stream.encoding).name == "ascii"
        guarded = _PrintableStream(
            stream.buffer,
            encoding="utf-8" if is_ascii else stream.encoding,  # as click has it, past this stream
            errors="backslashreplace",
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        guarded.raw_stream = stream
        setattr(sys, name, guarded)


def unguarded(stream: TextIO | None) -> TextIO:
    """What is beneath such a stream: for styles, around text that was made printable by itself.

    What is printed to a stream that was closed goes nowhere.
    """
    if stream is None:
        return io.StringIO()
    stream.flush()
    return stream.raw_stream if isinstance(stream, _PrintableStream) else stream
