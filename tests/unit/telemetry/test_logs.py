"""Logs: what a line says, where it goes, and that it goes there whole."""

from __future__ import annotations

import json
import logging
import os
import select
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from bridge.telemetry import configure_logging

PIPE_BUF = select.PIPE_BUF  # bytes that are written to a pipe in one piece


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, config = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.configure(**config)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """A file that can be logged to, by its descriptor, and read by `lines`."""
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in path.read_text().splitlines()]

    yield SimpleNamespace(descriptor=descriptor, path=path, lines=lines)
    os.close(descriptor)


def fail_deep(depth: int) -> None:
    if depth:
        fail_deep(depth - 1)
    else:
        raise ValueError("what was wrong")


def fail_by_turns(depth: int) -> None:
    """The same by two functions in turn, since Python tells of the same line only once."""
    if depth:
        fail_by_turns_too(depth - 1)
    fail_deep(0)


def fail_by_turns_too(depth: int) -> None:
    fail_by_turns(depth)


def test_a_line_is_one_json_object_with_the_event_and_what_it_is_about(file: SimpleNamespace) -> None:
    configure_logging("json", to=file.descriptor)
    structlog.get_logger("bridge.part").info("delivery recorded", store="shop", delivery=7, order=None)
    (line,) = file.lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info",
        "event": "delivery recorded",
        "store": "shop",
        "delivery": 7,
        "order": None,
        "logger": "bridge.part",
    }


def test_what_a_library_logs_looks_the_same(file: SimpleNamespace) -> None:
    configure_logging("json", to=file.descriptor)
    logging.getLogger("gunicorn.error").info("Booting worker with pid: %s", 7)
    (line,) = file.lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {"level": "info", "event": "Booting worker with pid: 7", "logger": "gunicorn.error"}


@pytest.mark.filterwarnings("default")
def test_what_python_warns_of_is_a_line_too(file: SimpleNamespace) -> None:
    configure_logging("json", to=file.descriptor)
    warnings.warn("run by root", stacklevel=1)
    (line,) = file.lines()
    assert "run by root" in line["event"]
    assert line["level"] == "warning"


@pytest.mark.parametrize("kind", ["ours", "a library's"])
def test_a_failure_has_its_traceback_and_no_values_of_variables(file: SimpleNamespace, kind: str) -> None:
    configure_logging("json", to=file.descriptor)
    token = "t0ken-of-an-account"
    try:
        fail_deep(len(token) and 1)
    except ValueError:
        log = structlog.get_logger("here") if kind == "ours" else logging.getLogger("here")
        log.exception("failed")
    (line,) = file.lines()
    assert line["event"] == "failed"
    assert line["level"] == "error"
    assert "in fail_deep" in line["exception"]
    assert line["exception"].endswith("ValueError: what was wrong")
    assert token not in file.path.read_text()


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_whatever_stands_in_a_value_it_is_one_line_of_plain_bytes(
    file: SimpleNamespace, log_format: Any
) -> None:
    configure_logging(log_format, to=file.descriptor)
    structlog.get_logger("here").info("seen", value="two\nlines, half a pair \ud800, žluťoučký, \x1b[31m")
    assert file.path.read_bytes().count(b"\n") == 1
    assert b"\x1b" not in file.path.read_bytes()


def test_what_is_below_the_level_is_not_written(file: SimpleNamespace) -> None:
    configure_logging("json", to=file.descriptor, level=logging.WARNING)
    for log in (structlog.get_logger("ours"), logging.getLogger("theirs")):
        log.info("told")
        log.warning("warned")
    assert [line["event"] for line in file.lines()] == ["warned", "warned"]


def test_it_is_json_where_nobody_has_chosen_and_no_terminal_reads(file: SimpleNamespace) -> None:
    configure_logging(to=file.descriptor)
    structlog.get_logger("here").info("seen")
    assert file.lines()[0]["event"] == "seen"


def test_it_is_text_on_a_terminal_unless_somebody_has_chosen() -> None:
    reader, terminal = os.openpty()
    try:
        configure_logging(to=terminal)
        structlog.get_logger("here").info("seen", number=7)
        as_text = os.read(reader, 1000)
        configure_logging("json", to=terminal)
        structlog.get_logger("here").info("seen", number=7)
        as_json = os.read(reader, 1000)
    finally:
        os.close(reader)
        os.close(terminal)
    assert b"seen" in as_text
    assert b'"event"' not in as_text
    assert json.loads(as_json)["number"] == 7


def test_a_reader_that_has_gone_fails_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    configure_logging("json", to=writer)
    structlog.get_logger("ours").info("told")
    logging.getLogger("theirs").info("told")
    os.close(writer)
    structlog.get_logger("ours").info("told")


@pytest.mark.parametrize("kind", ["ours", "a library's"])
def test_the_longest_traceback_still_goes_into_a_pipe_in_one_piece(file: SimpleNamespace, kind: str) -> None:
    configure_logging("json", to=file.descriptor)
    try:
        fail_by_turns(200)
    except ValueError:
        if kind == "ours":
            structlog.get_logger("here").exception("failed", store="s" * 63, delivery=2**63, order=2**63)
        else:
            logging.getLogger("here").exception("Message Error: %s", "x" * 5000)
    assert 2700 < file.path.stat().st_size <= PIPE_BUF
    (line,) = file.lines()
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: what was wrong")


LOG_MANY = """
import sys
import structlog
from bridge.telemetry import configure_logging
configure_logging("json", to=1)
log = structlog.get_logger(sys.argv[1])
for number in range(int(sys.argv[2])):
    log.info("told", number=number, text="x" * (number % 3000))
"""


def test_the_lines_of_several_processes_do_not_mix() -> None:
    lines, names = 500, ["one", "two", "three"]
    reader, writer = os.pipe()
    processes = [
        subprocess.Popen([sys.executable, "-c", LOG_MANY, name, str(lines)], stdout=writer) for name in names
    ]
    os.close(writer)
    with open(reader, "rb") as pipe:
        read = [json.loads(line) for line in pipe]
    for process in processes:
        assert process.wait(60) == 0
    for name in names:
        assert [line["number"] for line in read if line["logger"] == name] == list(range(lines))
