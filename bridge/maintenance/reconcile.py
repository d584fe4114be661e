"""Reconcile: each connected shop is compared with the ledger every ten minutes, several at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue

import structlog

from bridge.db import LedgerUnavailableError
from bridge.ledger import shops
from bridge.pipeline.context import Context
from bridge.pipeline.pending_work import PendingWork
from bridge.pipeline.shop_round import NotConnectedError, run_round, take_lease
from bridge.shop import ShopError
from bridge.vault import WrongKeyError

THREADS = 8  # shops at a time: each answers slowly, and is asked one question at a time

log = structlog.get_logger(__name__)


class Reconciliation:
    """Has threads do the rounds that are due. One shop that hangs keeps no other from its round.

    A round may end with the process anywhere: its lease ends, and the next one begins at the watermark.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = 0
        self._has_begun = False
        self._found: SimpleQueue[int] = SimpleQueue()

    def run(self, context: Context) -> PendingWork:
        """Start threads for what is due; returns the deliveries that were recorded since the last run."""
        now = context.now()
        if not self._has_begun:
            with context.ledger.write() as connection:
                shops.hasten(connection, now)  # nobody knows for how long no worker was up
            self._has_begun = True
        with context.ledger.write() as connection:
            shops.hasten_after_absences(connection, now)
        with context.ledger.read() as connection:
            due = shops.count_due(connection, now)
        with self._lock:
            for _ in range(min(due, THREADS - self._threads)):
                threading.Thread(target=self._work, args=(context,), name="reconcile", daemon=True).start()
                self._threads += 1
        return PendingWork(deliveries=list(self._recorded()))

    def _work(self, context: Context) -> None:
        try:
            while ids := take_lease(context):
                for store_id in ids:
                    self._round(context, store_id)
        except LedgerUnavailableError as error:
            log.warning("ledger unavailable; the next round tries again", error=str(error))
        except Exception:
            log.exception("failed; the next round tries again")
        finally:
            with self._lock:
                self._threads -= 1

    def _round(self, context: Context, store_id: int) -> None:
        try:
            comparison = run_round(context, store_id)
        except NotConnectedError:
            return
        except (ShopError, WrongKeyError) as error:
            log.warning("a shop cannot be compared", store=store_id, error=str(error))
            return
        for delivery_id in comparison.delivery_ids:
            self._found.put(delivery_id)
        log.info(
            "compared with the shop",
            store=store_id,
            orders=comparison.compared,
            found=len(comparison.found),
            not_shown=len(comparison.broken),
        )

    def _recorded(self) -> Iterator[int]:
        with suppress(Empty):
            while True:
                yield self._found.get_nowait()
