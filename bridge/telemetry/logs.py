"""Logs: one line for each event, as text for people or as JSON for machines, each written at once.

The bridge's own lines do not go through the standard library's logging, since those of a hot path must cost
next to nothing. Lines of libraries come from there, and have the same format.
"""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo

from bridge.printable import printable, printable_in_line

STDOUT, STDERR = 1, 2
# Characters kept of a traceback's beginning, and of its end, which names the error. So a line has at most
# 4096 bytes, which Linux writes to a pipe atomically; longer lines of two processes could mix.
_FIRST, _LAST = 900, 1800
_LONGEST_MESSAGE = 1000  # characters of a library's message
_LIBRARIES = ("alembic", "celery", "kombu", "urllib3")  # which log warnings and errors only

_Render = Callable[["_Output", str, EventDict], bytes]


def configure_logging(
    log_format: Literal["text", "json"] | None = None, *, to: int = STDERR, level: int = logging.INFO
) -> None:
    """Send the logs of this process, and of the libraries in it, to a file descriptor.

    `log_format`: None for text on a terminal, and JSON elsewhere. It must be called before the first line is
    logged: a logger that has logged before keeps its configuration.
    """
    is_terminal = os.isatty(to)
    as_text = log_format == "text" or (log_format is None and is_terminal)
    render = _text(colors=is_terminal) if as_text else _json
    structlog.configure(
        processors=[render],
        logger_factory=lambda name="": _Output(name, to),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_LibraryHandler(render, to)]
    root.setLevel(level)
    logging.captureWarnings(True)
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)


class _Output:
    """Writes the lines of one logger."""

    __slots__ = ("_descriptor", "name")

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self._descriptor = descriptor

    def write(self, line: bytes) -> None:
        """Write a line, without a lock: the kernel does not mix lines of several threads and processes."""
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError:
            # Nobody reads the log, or the disk is full: logging must not end the work.
            return

    debug = info = warning = error = critical = write


class _LibraryHandler(logging.Handler):
    """Writes what libraries log through the standard library."""

    def __init__(self, render: _Render, descriptor: int) -> None:
        super().__init__()
        self._render = render
        self._descriptor = descriptor

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event: EventDict = {"event": record.getMessage()[:_LONGEST_MESSAGE]}
            if record.exc_info:
                event["exc_info"] = record.exc_info
            if record.stack_info:
                event["stack"] = record.stack_info
            output = _Output(record.name, self._descriptor)
            output.write(self._render(output, record.levelname.lower(), event))
        except Exception:  # the library is not to blame
            self.handleError(record)


_encode = json.JSONEncoder(default=str).encode


def _json(output: _Output, level: str, event: EventDict) -> bytes:
    line = {"timestamp": _now(), "level": level, "event": event.pop("event")}
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(output, level, event)
        if traceback := event.get("exception"):
            event["exception"] = _shortened(traceback)
    line.update(event)
    line["logger"] = output.name
    return _encode(line).encode() + b"\n"


def _text(*, colors: bool) -> _Render:
    # Tracebacks without the values of local variables, which hold orders and tokens.
    console = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=_traceback)

    def render(output: _Output, level: str, event: EventDict) -> bytes:
        for name, value in event.items():
            if isinstance(value, str):
                # Only the stack has several lines.
                event[name] = printable(value) if name == "stack" else printable_in_line(value)
        event.update(timestamp=_now(), level=level, logger=output.name)
        return console(output, level, event).encode("utf-8", "backslashreplace") + b"\n"

    return render


def _traceback(to: TextIO, error: ExcInfo) -> None:
    text = io.StringIO()
    structlog.dev.plain_traceback(text, error)
    to.write(printable(text.getvalue()))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _shortened(traceback: str) -> str:
    if len(traceback) <= _FIRST + _LAST:
        return traceback
    return f"{traceback[:_FIRST]}\n[...]\n{traceback[-_LAST:]}"
