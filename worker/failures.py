"""What becomes of a task or a duty that fails: it is logged, and the ledger still has its work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from bridge.db import LedgerUnavailableError

log = structlog.get_logger(__name__)


@contextmanager
def left_to_the_sweep(**about: object) -> Iterator[None]:
    """Log what fails in the block, and go on: it keeps nothing else from being done."""
    try:
        yield
    except LedgerUnavailableError as error:
        log.warning("ledger unavailable; the sweep tries again", **about, error=str(error))
    except Exception:
        log.exception("failed; the sweep tries again", **about)
