"""Text that is safe for a terminal: it cannot move the cursor, hide text, or change its direction."""

from __future__ import annotations

import codecs
import io
import re
import sys
from typing import TextIO

# C0 except tab and newline, DEL, C1 (a terminal reads some of it as ESC and a letter), line separators, and
# characters that change the direction of writing.
_CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_IN_TEXT, _IN_LINE = re.compile(f"[{_CONTROL}]"), re.compile(f"[{_CONTROL}\n\t]")


def printable(text: str) -> str:
    r"""The text with control characters except tab and newline escaped, like `\u001b`, as JSON does."""
    return _IN_TEXT.sub(_escape, text)


def printable_in_line(text: str) -> str:
    """The text with all control characters escaped, for a single line."""
    return _IN_LINE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


class _PrintableStream(io.TextIOWrapper):
    """A standard stream that makes all text printable."""

    raw_stream: TextIO

    def write(self, text: str, /) -> int:
        super().write(printable(text))
        return len(text)


def guard_standard_streams() -> None:
    """Make everything printable that this process prints: commands, prompts, tracebacks."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper):  # closed, or a test's
            continue
        is_ascii = codecs.lookup(stream.encoding).name == "ascii"
        guarded = _PrintableStream(
            stream.buffer,
            encoding="utf-8" if is_ascii else stream.encoding,  # as click does when it writes to the buffer
            errors="backslashreplace",
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        guarded.raw_stream = stream
        setattr(sys, name, guarded)


def unguarded(stream: TextIO | None) -> TextIO:
    """The stream beneath a guarded one, for styled text whose parts are printable already.

    For a stream that is closed (None), a buffer that is thrown away.
    """
    if stream is None:
        return io.StringIO()
    stream.flush()
    return stream.raw_stream if isinstance(stream, _PrintableStream) else stream
