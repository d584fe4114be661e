"""The tasks: each takes ids in, calls the pipeline, and announces what follows."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import structlog
from celery.signals import worker_ready, worker_shutting_down

from bridge import broker
from bridge.broker import TaskPublisher
from bridge.db import Ledger, LedgerUnavailableError
from bridge.maintenance.redecide import redecide as redecide_orders
from bridge.maintenance.sweep import BATCH
from bridge.maintenance.sweep import sweep as sweep_the_ledger
from bridge.pipeline import dispatch, process, store_configs
from bridge.pipeline.context import Context
from bridge.pipeline.pending_work import PendingWork
from bridge.pipeline.rate_limiter import RateLimiter
from bridge.pipeline.store_queues import TURN, Lanes
from bridge.telemetry import counts
from worker.app import app, settings
from worker.thread_pool import Crew, parts

DELIVERIES_A_MESSAGE = 25
ROW_TIMEOUT = 2.0  # seconds
STORES_MESSAGES = 100  # at most, of one sweep; so that idle threads share them
LONG_BACKLOG = 100  # messages; while so many wait, the sweep's would only be doubles

log = structlog.get_logger(__name__)


@cache
def context() -> Context:
    """This process' ledger and API access."""
    return Context(
        # What waits for a row holds a thread, and the sweep tries again.
        ledger=Ledger(settings.ledger_url, pool_size=20, row_timeout=ROW_TIMEOUT),
        vault=settings.vault(),
        api_url=settings.api_url,
        api_timeout=settings.api_timeout,
        config_ttl=settings.config_ttl,
        rate_limiter=RateLimiter(settings.request_rate, broker_url=settings.broker_url.get_secret_value()),
    )


announcer = TaskPublisher(app)
lanes = Lanes(1)
crew = Crew()


@worker_ready.connect(weak=False)
def _open_lanes(sender: Any, **_: object) -> None:
    """A store may have most of this process' threads, but never all.

    The children of a pool of processes have one task at a time each, and no crew.
    """
    global crew  # noqa: PLW0603 - it is this process', and there is no pool before
    if (executor := getattr(sender.pool, "executor", None)) is not None:
        crew = Crew(sender.controller.concurrency, executor)
        lanes.per_store = max(1, crew.size * 3 // 4)
    # What is there by now stays. Of what comes and goes with each order, next to nothing is in a circle.
    gc.freeze()
    gc.set_threshold(20_000)


@worker_shutting_down.connect(weak=False)
def _close_lanes(**_: object) -> None:
    """What is under way ends; what is due beyond that is another worker's, or the next one's."""
    crew.stop()


@app.task(name=broker.PROCESS_DELIVERIES)
def process_deliveries(ids: Sequence[int]) -> None:
    """Process deliveries, and have forwarded what is due for them."""
    with _logged(deliveries=len(ids)):
        work = process.process_deliveries(context(), ids)
        announcer.configs(work.configs)
        _forward(work.due_stores, work.due_issuances)


@app.task(name=broker.FORWARD_STORES)
def forward_stores(ids: Sequence[int]) -> None:
    """Have the documents issued that are due of these stores."""
    _forward(ids, {})


def _forward(store_ids: Sequence[int], just_due: Mapping[int, Sequence[int]]) -> None:
    """Forward what is due of these stores: a part here, and a part for each thread that has nothing to do."""
    mine, *others = crew.share(store_ids)
    for part in others:
        if not crew.hand(partial(_forward_each, part, just_due)):
            announcer.due_stores(part)
    _forward_each(mine, just_due)


def _forward_each(store_ids: Sequence[int], just_due: Mapping[int, Sequence[int]]) -> None:
    """Forward what is due of these stores, in this thread and for a turn."""
    until = time.monotonic() + TURN
    for number, store_id in enumerate(store_ids):
        if crew.is_stopping or (time.monotonic() >= until and crew.is_awaited()):
            announcer.due_stores(store_ids[number:])
            return
        with _logged(store=store_id):
            dispatch.drain_store(
                context(),
                lanes,
                store_id,
                call=partial(_call, store_id),
                idle=crew.idle,
                others_wait=crew.is_awaited,
                is_stopping=lambda: crew.is_stopping,
                just_due=just_due.get(store_id, ()),
            )


def _call(store_id: int, lanes_wanted: int) -> None:
    for _ in range(lanes_wanted):
        if not crew.hand(partial(_forward_each, [store_id], {})):
            announcer.due_stores([store_id])


@app.task(name=broker.REFRESH_CONFIGS)
def refresh_configs(ids: Sequence[int]) -> None:
    """Fetch the configs of stores, and have open orders decided on again where one has changed."""
    for one in ids:
        with _logged(store=one):
            if store_configs.refresh_config(context(), one):
                announcer.redecide()


@app.task(name=broker.REDECIDE)
def redecide() -> None:
    """Decide again on a part of the orders whose rules have changed; the sweep finds what falls due."""
    with _logged():
        if redecide_orders(context()):
            announcer.redecide()  # for the rest, when what was announced meanwhile has been taken


@app.task(name=broker.SWEEP)
def sweep() -> None:
    """Find what no message is under way for."""
    with _logged():
        _announce(sweep_the_ledger(context()))
        counts.sweep_ended()


def _announce(found: PendingWork) -> None:
    if found.has_rules_changed:
        announcer.redecide()
    if announcer.backlog() >= LONG_BACKLOG:
        return
    for store_id in found.configs:  # one a message: an API that hangs holds each up by itself
        announcer.configs([store_id])
    for start in range(0, len(found.deliveries), DELIVERIES_A_MESSAGE):
        announcer.deliveries(found.deliveries[start : start + DELIVERIES_A_MESSAGE])
    for part in parts(found.due_stores, most=STORES_MESSAGES):
        announcer.due_stores(part)
    if len(found.deliveries) >= BATCH:
        announcer.sweep()  # for the rest, when these have been taken


@contextmanager
def _logged(**about: int) -> Iterator[None]:
    """What fails is logged and left for the sweep, and keeps nothing else from being done."""
    try:
        yield
    except LedgerUnavailableError as error:
        log.warning("ledger unavailable; the sweep tries again", **about, error=str(error))
    except Exception:
        log.exception("failed; the sweep tries again", **about)
