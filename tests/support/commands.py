"""The `spacebridge` command in the test's own process."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import pytest

from bridge.cli import main
from tests.support.counter import Counter


class Here:
    """Runs the command in this process, with what a process is given."""

    def __init__(
        self, counter: Counter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._patch = monkeypatch
        self._printed = capsys
        for name, value in counter.environment.items():
            monkeypatch.setenv(name, value)

    def run(self, *arguments: str, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        for name, value in environment.items():
            self._patch.setenv(name, value)
        self._patch.setattr(sys, "argv", ["spacebridge", *arguments])
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode()), encoding="utf-8"))
        status: object = 0
        try:
            main()
        except SystemExit as exit_:
            status = exit_.code or 0
        printed = self._printed.readouterr()
        assert isinstance(status, int)
        return subprocess.CompletedProcess([], status, printed.out, printed.err)


def done(here: Here, *arguments: str, given: str = "", **environment: str) -> str:
    """What a command prints that has to succeed."""
    ended = here.run(*arguments, given=given, **environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def listed(here: Here, *arguments: str) -> Any:
    return json.loads(done(here, *arguments, "--json"))
