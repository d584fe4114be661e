"""The tasks: each takes ids in, calls the pipeline, and announces what follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, TypeVar

import structlog
from celery.signals import worker_ready

from bridge import broker, pipeline
from bridge.broker import Announcer
from bridge.ledger import Ledger, LedgerUnavailableError
from bridge.pipeline import Context, Lanes, Pace, Work
from worker.app import app, settings

_Result = TypeVar("_Result")

DELIVERIES_A_MESSAGE = 25
LONG_BACKLOG = 100  # messages; while so many wait, the sweep's would only be doubles

log = structlog.get_logger(__name__)


@cache
def context() -> Context:
    """This process' ledger and API access."""
    return Context(
        ledger=Ledger(settings.ledger_url, pool_size=20),
        vault=settings.vault(),
        api_url=settings.api_url,
        api_timeout=settings.api_timeout,
        config_ttl=settings.config_ttl,
        pace=Pace(settings.request_rate, broker_url=settings.broker_url.get_secret_value()),
    )


announcer = Announcer(app)
lanes = Lanes(1)


@worker_ready.connect(weak=False)
def _open_lanes(sender: Any, **_: object) -> None:
    """A store may have most of this process' threads, but never all.

    Not called in the children of a pool of processes, of which each has one task at a time.
    """
    lanes.per_store = max(1, sender.controller.concurrency * 3 // 4)


@app.task(name=broker.PROCESS_DELIVERIES)
def process_deliveries(ids: Sequence[int]) -> None:
    """Process deliveries; have forwarded what is due for them."""
    announced: set[int] = set()
    due_since: set[int] = set()
    for work in _each(ids, "delivery", lambda one: pipeline.process_delivery(context(), one)):
        announcer.configs(work.configs)
        for store_id in work.due_stores:
            if store_id in announced:
                due_since.add(store_id)
            else:  # so that the first order of many does not wait for the others
                announced.add(store_id)
                _announce_due([store_id])
    _announce_due(due_since)


@app.task(name=broker.FORWARD_STORES)
def forward_stores(ids: Sequence[int]) -> None:
    """Have the documents issued that are due of these stores."""

    def drain(store_id: int) -> None:
        pipeline.drain_store(
            context(), lanes, store_id, call=lambda wanted: _announce_due([store_id] * wanted)
        )

    for _ in _each(ids, "store", drain):
        pass


@app.task(name=broker.REFRESH_CONFIGS)
def refresh_configs(ids: Sequence[int]) -> None:
    """Fetch the configs of stores, and decide anew where one has changed."""
    for _ in _each(ids, "store", lambda one: pipeline.refresh_config(context(), one)):
        pass
    sweep()


@app.task(name=broker.SWEEP)
def sweep() -> None:
    """Find what no message is under way for."""
    try:
        _announce(pipeline.sweep(context()))
    except LedgerUnavailableError as error:
        log.warning("ledger unavailable; the next sweep tries again", error=str(error))


def _announce(found: Work) -> None:
    if announcer.backlog() >= LONG_BACKLOG:
        return
    for store_id in found.configs:  # one a message: an API that hangs holds each up by itself
        announcer.configs([store_id])
    for start in range(0, len(found.deliveries), DELIVERIES_A_MESSAGE):
        announcer.deliveries(found.deliveries[start : start + DELIVERIES_A_MESSAGE])
    _announce_due(found.due_stores)


def _announce_due(store_ids: Iterable[int]) -> None:
    for store_id in store_ids:  # one a message, so that idle threads share them
        announcer.due_stores([store_id])


def _each(ids: Sequence[int], what: str, handle: Callable[[int], _Result]) -> Iterable[_Result]:
    """Handle each id. One that fails is logged, left for the sweep, and keeps none of the others from it."""
    for one in ids:
        try:
            yield handle(one)
        except LedgerUnavailableError as error:
            log.warning("ledger unavailable; the sweep tries again", **{what: one}, error=str(error))
        except Exception:
            log.exception("failed; the sweep tries again", **{what: one})
