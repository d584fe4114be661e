"""What is told of a transaction, to the log and the counters: once it is committed, or never."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import Connection

_TOLD = "spacebridge: told after the commit"  # in the notes that SQLAlchemy keeps with a connection

Tell = Callable[[], object]


def after_commit(connection: Connection, tell: Tell) -> None:
    """Have `tell` called when this transaction of `Ledger.write` is committed; not at all if it is undone."""
    connection.info[_TOLD].append(tell)


def collect(connection: Connection) -> list[Tell]:
    """What will be told of the transaction that begins: empty, and filled by `after_commit`."""
    told: list[Tell] = []
    connection.info[_TOLD] = told
    return told


def tell_all(told: list[Tell]) -> None:
    """Tell all of it. What is committed stays so, and is no failure, if a line cannot be written."""
    for tell in told:
        with suppress(Exception):
            tell()
