"""The tasks: each takes ids in, calls the pipeline, and announces what follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog

from bridge import broker
from bridge.db import LedgerUnavailableError
from bridge.maintenance.redecide import redecide as redecide_orders
from bridge.maintenance.sweep import BATCH
from bridge.maintenance.sweep import sweep as sweep_the_ledger
from bridge.pipeline import process, store_configs
from bridge.pipeline.pending_work import PendingWork
from bridge.telemetry import counts
from worker.app import app
from worker.runtime import context, publisher, sending

DELIVERIES_A_MESSAGE = 25
STORES_MESSAGES = 100  # at most, of one sweep; so that several workers share them
LONG_BACKLOG = 100  # messages; while so many wait, the sweep's would only be doubles

log = structlog.get_logger(__name__)


@app.task(name=broker.PROCESS_DELIVERIES)
def process_deliveries(ids: Sequence[int]) -> None:
    """Process deliveries, and have forwarded what is due for them."""
    with _logged(deliveries=len(ids)):
        work = process.process_deliveries(context(), ids)
        publisher.configs(work.configs)
        sending.wake(work.due_stores)


@app.task(name=broker.FORWARD_STORES)
def forward_stores(ids: Sequence[int]) -> None:
    """Have the documents issued that are due of these stores."""
    sending.wake(ids)


@app.task(name=broker.REFRESH_CONFIGS)
def refresh_configs(ids: Sequence[int]) -> None:
    """Fetch the configs of stores, and have open orders decided on again where one has changed."""
    for one in ids:
        with _logged(store=one):
            if store_configs.refresh_config(context(), one):
                publisher.redecide()


@app.task(name=broker.REDECIDE)
def redecide() -> None:
    """Decide again on a part of the orders whose rules have changed; the sweep finds what falls due."""
    with _logged():
        if redecide_orders(context()):
            publisher.redecide()  # for the rest, when what was announced meanwhile has been taken


@app.task(name=broker.SWEEP)
def sweep() -> None:
    """Find what no message is under way for."""
    with _logged():
        _publish(sweep_the_ledger(context()))
        counts.sweep_ended()


def _publish(found: PendingWork) -> None:
    if found.has_rules_changed:
        publisher.redecide()
    if publisher.backlog() >= LONG_BACKLOG:
        return
    for store_id in found.configs:  # one a message: an API that hangs holds each up by itself
        publisher.configs([store_id])
    for start in range(0, len(found.deliveries), DELIVERIES_A_MESSAGE):
        publisher.deliveries(found.deliveries[start : start + DELIVERIES_A_MESSAGE])
    number = min(len(found.due_stores), STORES_MESSAGES)
    for start in range(number):
        publisher.due_stores(found.due_stores[start::number])
    if len(found.deliveries) >= BATCH:
        publisher.sweep()  # for the rest, when these have been taken


@contextmanager
def _logged(**about: int) -> Iterator[None]:
    """What fails is logged and left for the sweep, and keeps nothing else from being done."""
    try:
        yield
    except LedgerUnavailableError as error:
        log.warning("ledger unavailable; the sweep tries again", **about, error=str(error))
    except Exception:
        log.exception("failed; the sweep tries again", **about)
