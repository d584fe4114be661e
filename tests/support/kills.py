"""Runs `spacebridge` in forks of this process, each killed at the step that standard input asks for.

A step is whatever touches a file of the data folder, or takes or leaves a lock: it is killed just before.
`python -m tests.support.kills FOLDER COMMAND...` reads a number a line, and answers each with `killed` or the
exit status.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from typing import Any

import bridge.cli.command
import bridge.cli.keys  # noqa: F401 - imported once here, instead of in each fork
from bridge.cli import main

STEPS = {"open", "os.rename", "os.remove", "os.link", "os.chown", "fcntl.flock"}


def kill_at(step: int, folder: str) -> None:
    """Have this process killed, as by a power cut, as it begins its step of this number, counted from 1."""
    steps = itertools.count(1)

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        is_here = event != "open" or str(arguments[0]).startswith(folder)
        if event in STEPS and is_here and next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def run(folder: str, command: list[str], step: int) -> str:
    """Run the command to its end or to this step."""
    child = os.fork()
    if child == 0:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        sys.argv = ["spacebridge", *command]
        kill_at(step, folder)
        status = 0
        try:
            main()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 1
        finally:
            os._exit(status)
    _, waited = os.waitpid(child, 0)
    return "killed" if os.WIFSIGNALED(waited) else str(os.waitstatus_to_exitcode(waited))


if __name__ == "__main__":
    for line in sys.stdin:
        print(run(sys.argv[1], sys.argv[2:], int(line)), flush=True)
