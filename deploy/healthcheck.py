"""Checks the health of the container's process, whichever part it is: status 0, or 1 and a sentence.

The receiver, like everything that answers HTTP, must answer. The worker serves no requests, so the check is
that its main loop has run since the last time: the kernel counts how often it has slept, and it wakes every
few seconds. That detects a stopped or stuck process. /metrics shows whether work gets done, as the age of
what waits.
"""

from __future__ import annotations

import os
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

TIMEOUT = 4  # seconds
RECEIVER = "http://127.0.0.1:8080/healthz"


def main(arguments: list[str]) -> str | None:
    """What is wrong, or None. The argument is the address of a part that answers HTTP."""
    if arguments:
        return _no_answer(arguments[0])
    pid = _part(int(os.environ.get("HEALTHCHECK_PID", "1")))
    command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    if any(Path(os.fsdecode(word)).name == "celery" for word in command[:4]):
        return _standing_still(pid, Path(tempfile.gettempdir()) / f"healthcheck-{pid}")
    return _no_answer(RECEIVER)


def _part(pid: int) -> int:
    """The process that works: the init's child, or the process itself where there is no init."""
    if Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() not in {"tini", "docker-init"}:
        return pid
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()[0])


def _no_answer(url: str) -> str | None:
    # No proxy: the address is in this container.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=TIMEOUT):
            return None
    except OSError as error:  # including every answer but 2xx
        return f"{url}: {error}"


def _standing_still(pid: int, notes: Path) -> str | None:
    """Whether a process' main thread has not slept and woken again since the last time."""
    status = Path(f"/proc/{pid}/task/{pid}/status").read_text(encoding="ascii")
    seen = next(line for line in status.splitlines() if line.startswith("voluntary_ctxt_switches"))
    last = notes.read_text(encoding="ascii") if notes.exists() else ""
    notes.write_text(seen, encoding="ascii")
    return (
        f"the process has not woken since the last time ({seen.split()[1]} times so far)"
        if seen == last
        else None
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
