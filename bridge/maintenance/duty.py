"""What a duty is, and how one goes through what it has found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog

from bridge.db import LedgerUnavailableError
from bridge.db.errors import LedgerBusyError
from bridge.pipeline.context import Context
from bridge.pipeline.pending_work import PendingWork

AT_ONCE = 500  # rows that a duty takes up in a run

_Found = TypeVar("_Found")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Duty:
    """Something that one process at a time does again and again.

    `interval`: seconds from the end of a run to the next. `run`: returns what it has found for the workers to
    do. It may be called by two processes at once, and may end with its process at any moment: the leader lock
    only keeps that from being usual.
    """

    name: str
    interval: float
    run: Callable[[Context], PendingWork]


def mend_each(found: Sequence[_Found], mend: Callable[[_Found], object]) -> None:
    """Mend one after the other. One that fails, or is locked, keeps no other from being mended."""
    for one in found:
        try:
            mend(one)
        except LedgerBusyError as error:
            log.warning("locked by another transaction; the next sweep tries again", error=str(error))
        except LedgerUnavailableError as error:
            log.warning("ledger unavailable; the next sweep tries again", error=str(error))
            return  # each would wait as long
        except Exception:
            log.exception("failed; the next sweep tries again")
