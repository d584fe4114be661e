"""The counters of all processes. The only values from outside in labels are names of stores.

Counting never raises: it must not stop an order that is being processed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from typing import ParamSpec, TypeVar

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from bridge.telemetry import multiprocess

multiprocess.choose_storage()  # before the first metric is made

REGISTRY = CollectorRegistry()
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ATTEMPT_OUTCOMES = ("issued", "refused", "account_refused", "not_taken", "unknown")

_P = ParamSpec("_P")
_Metric = TypeVar("_Metric", Counter, Histogram)

log = structlog.get_logger(__name__)

_DECISIONS = Counter(
    "spacebridge_decisions_total",
    "Decisions on orders, by the rule that decided.",
    ["decision", "reason"],
    registry=REGISTRY,
)
_ATTEMPTS = Counter(
    "spacebridge_attempts_total",
    "Orders handed to Space Invoices, by what became of it.",
    ["store", "outcome"],
    registry=REGISTRY,
)
_RETRIES = Counter(
    "spacebridge_retries_total", "Attempts that were not the first.", ["store"], registry=REGISTRY
)
_API_SECONDS = Histogram(
    "spacebridge_api_seconds",
    "Time that Space Invoices took to answer.",
    ["request"],
    buckets=(*SECONDS, 30.0, 60.0),
    registry=REGISTRY,
)
_API_ANSWERS = Counter(
    "spacebridge_api_answers_total",
    "Answers of Space Invoices, by their status.",
    ["request", "status"],
    registry=REGISTRY,
)


def never_raises(counting: Callable[_P, None]) -> Callable[_P, None]:
    """Decorate a function that counts, so that it logs its errors instead of raising them."""

    @wraps(counting)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            counting(*args, **kwargs)
        except Exception as error:
            log.warning("could not be counted", what=counting.__name__, error=type(error).__name__)

    return wrapper


@never_raises
def decided(decision: str, rule: str) -> None:
    """Count a decision on an order, by this rule."""
    _labelled(_DECISIONS, decision, rule).inc()


@never_raises
def attempt_ended(store: str, outcome: str, number: int) -> None:
    """Count an attempt; `outcome` as in the ledger, `number` counts the attempts for an issuance from 1."""
    of_store(_ATTEMPTS, store, ATTEMPT_OUTCOMES)[outcome.replace(" ", "_")].inc()
    retries = _labelled(_RETRIES, store)
    if number > 1:
        retries.inc()


@never_raises
def api_answered(method: str, path: Sequence[str], status: int | None, seconds: float) -> None:
    """Count a request to Space Invoices; `status` is None if there was no answer."""
    request = "other"
    if path[-1] == "order":
        request = "order"
    elif method == "GET" and path[-1] == "woocommerce":
        request = "config"
    _labelled(_API_SECONDS, request).observe(seconds)
    _labelled(_API_ANSWERS, request, "none" if status is None else str(status)).inc()


@never_raises
def sweep_ended() -> None:
    """Record that a sweep ended now."""
    _last_sweep().set_to_current_time()


# Metrics with labels are cached, since looking one up takes as long as counting. A store's are exported from
# the start, as 0: Prometheus sees no increase in a series that was not there before.


@cache
def of_store(counter: Counter, store: str, outcomes: Sequence[str]) -> Mapping[str, Counter]:
    """A store's series of a counter by outcome, all of which are exported from now on."""
    return {outcome: counter.labels(store, outcome) for outcome in outcomes}


@cache
def _labelled(metric: _Metric, *labels: str) -> _Metric:
    return metric.labels(*labels)


@cache
def _last_sweep() -> Gauge:
    # Made by the process that sweeps: any other would export that the last sweep was in 1970.
    return Gauge(
        "spacebridge_last_sweep_timestamp_seconds",
        "When the last sweep ended.",
        multiprocess_mode="max",
        registry=REGISTRY,
    )
