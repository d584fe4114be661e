"""Runs `spacebridge` in processes forked from one that has imported it.

Starting Python and importing takes most of the time of a short command, and the tests run a thousand of them.
What such a process does from there on is what `python -m bridge` does. Those that read the locale's encoding,
a terminal or what is imported are started in earnest.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

# Its processes can run any other function of a module, too.
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    ["bridge.cli.command"]
    + [
        f"bridge.cli.{name}"
        for name in ("db", "deliveries", "doctor", "issuances", "keys", "orders", "stores", "woocommerce")
    ]
)


def run(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    folder: Path | None = None,
    given: str | None = None,
    timeout: float = 60.0,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as `subprocess.run` does with text and captured output.

    `folder`: where it runs, this process's own if None; `given`: its standard input; `timeout`: seconds.
    """
    with tempfile.TemporaryDirectory(prefix="spacebridge-command-") as name:
        streams = [Path(name) / stream for stream in ("stdin", "stdout", "stderr")]
        streams[0].write_text(given or "")
        # Not a pipe's end of ours: what the command starts may live on, and would keep it open.
        process = context.Process(
            target=_become_command,
            args=(list(arguments), dict(environment), folder or Path.cwd(), _umask(), streams),
        )
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["spacebridge", *arguments], timeout)
        output, errors = (stream.read_text() for stream in streams[1:])
        return subprocess.CompletedProcess(["spacebridge", *arguments], process.exitcode, output, errors)


def _become_command(
    arguments: list[str], environment: dict[str, str], folder: Path, umask: int, streams: Sequence[Path]
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(folder)
    os.umask(umask)
    for number, stream in enumerate(streams):
        file = os.open(stream, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(file, number)
        os.close(file)
    # As where the locale's encoding is UTF-8; they are open for as long as the process lives.
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.argv = ["spacebridge", *arguments]
    from bridge.cli import main  # noqa: PLC0415 - imported in the process that forks

    main()


def _umask() -> int:
    umask = os.umask(0o077)  # it is told only as it is set
    os.umask(umask)
    return umask
