"""Copies a ledger, and is killed at a point of it, as by a power cut."""

from __future__ import annotations

import itertools
import os
import signal
from typing import Any

from sqlalchemy import Connection

from bridge.admin.copying import copy
from bridge.db import Ledger, closing
from bridge.db.closing import Closed, State


def run(source: str, target: str, point: str) -> None:
    """Copy between these URLs, up to this point, in a process that this is all of.

    The point is a number of batches of rows that were copied (without so many, the copy comes to its end), or
    what would be done next: "the source is closed", or "the target is opened".
    """
    counted = itertools.count(1)

    def report(_table: str, _rows: int) -> None:
        if str(next(counted)) == point:
            die()

    close, reopen = closing.close, closing.reopen

    def close_or_die(connection: Connection, note: Closed) -> None:
        if point == "the source is closed" and note.state is State.MOVED:
            die()
        close(connection, note)

    def reopen_or_die(connection: Connection) -> None:
        if point == "the target is opened":
            die()
        reopen(connection)

    hooks: dict[str, Any] = {"close": close_or_die, "reopen": reopen_or_die}
    for name, hook in hooks.items():
        setattr(closing, name, hook)
    copy(Ledger(source), Ledger(target), report=report)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
