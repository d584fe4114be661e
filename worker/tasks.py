"""The tasks: each takes ids in, calls the pipeline, and announces what follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TypeVar

import structlog

from bridge import broker, pipeline
from bridge.broker import Announcer
from bridge.ledger import Ledger, LedgerUnavailableError
from bridge.pipeline import Context, Work
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
    )


announcer = Announcer(app)


@app.task(name=broker.PROCESS_DELIVERIES)
def process_deliveries(ids: Sequence[int]) -> None:
    """Process deliveries; have forwarded what is due for them."""
    for work in _each(ids, "delivery", lambda one: pipeline.process_delivery(context(), one)):
        announcer.stores(work.stores)
        _announce_issuances(work.issuances)


@app.task(name=broker.FORWARD_ISSUANCES)
def forward_issuances(ids: Sequence[int]) -> None:
    """Have documents issued, one after the other."""
    for due in _each(ids, "issuance", lambda one: pipeline.forward_issuance(context(), one)):
        _announce_issuances(due)


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
    announcer.stores(found.stores)
    if announcer.backlog() >= LONG_BACKLOG:
        return
    for start in range(0, len(found.deliveries), DELIVERIES_A_MESSAGE):
        announcer.deliveries(found.deliveries[start : start + DELIVERIES_A_MESSAGE])
    _announce_issuances(found.issuances)


def _announce_issuances(ids: Iterable[int]) -> None:
    for issuance_id in ids:  # one a message, so that idle threads share them
        announcer.issuances([issuance_id])


def _each(ids: Sequence[int], what: str, handle: Callable[[int], _Result]) -> Iterable[_Result]:
    """Handle each id. One that fails is logged, left for the sweep, and keeps none of the others from it."""
    for one in ids:
        try:
            yield handle(one)
        except LedgerUnavailableError as error:
            log.warning("ledger unavailable; the sweep tries again", **{what: one}, error=str(error))
        except Exception:
            log.exception("failed; the sweep tries again", **{what: one})
