"""What the processes count as they work, in labels that hold no values but stores' names.

A count never fails: whatever happens to it, an order may be under way just then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from typing import ParamSpec

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from bridge.telemetry import multiprocess

multiprocess.take_part()  # before the first metric is made

REGISTRY = CollectorRegistry()
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ATTEMPT_OUTCOMES = ("issued", "refused", "account_refused", "not_taken", "unknown")

_P = ParamSpec("_P")

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


def harmless(counting: Callable[_P, None]) -> Callable[_P, None]:
    """Make of a function that counts one that never raises."""

    @wraps(counting)
    def counted(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            counting(*args, **kwargs)
        except Exception as error:
            log.warning("could not be counted", what=counting.__name__, error=type(error).__name__)

    return counted


@harmless
def decided(decision: str, rule: str) -> None:
    """An order was decided on, by this rule."""
    _decisions(decision, rule).inc()


@harmless
def attempt_ended(store: str, outcome: str, number: int) -> None:
    """An order was handed over; `outcome` as the ledger has it, `number` counts attempts from 1."""
    by_outcome, retries = _of_store(store)
    by_outcome[outcome].inc()
    if number > 1:
        retries.inc()


@harmless
def api_answered(method: str, path: Sequence[str], status: int | None, seconds: float) -> None:
    """Space Invoices answered a request, or did not (None)."""
    request = "other"
    if path[-1] == "order":
        request = "order"
    elif method == "GET" and path[-1] == "woocommerce":
        request = "config"
    _api_seconds(request).observe(seconds)
    _api_answers(request, status).inc()


@harmless
def sweep_ended() -> None:
    """A sweep has come to its end."""
    _last_sweep().set_to_current_time()


# Looked up once, for that takes as long as to count. What happens but rarely is told from the start as 0:
# Prometheus sees no rise in what was not there before.


@cache
def _of_store(store: str) -> tuple[Mapping[str, Counter], Counter]:
    by_outcome = {outcome: _ATTEMPTS.labels(store, outcome) for outcome in ATTEMPT_OUTCOMES}
    words = {outcome.replace("_", " "): counter for outcome, counter in by_outcome.items()}
    return words, _RETRIES.labels(store)


@cache
def _decisions(decision: str, rule: str) -> Counter:
    return _DECISIONS.labels(decision, rule)


@cache
def _api_seconds(request: str) -> Histogram:
    return _API_SECONDS.labels(request)


@cache
def _api_answers(request: str, status: int | None) -> Counter:
    return _API_ANSWERS.labels(request, "none" if status is None else str(status))


@cache
def _last_sweep() -> Gauge:
    # Made by whoever sweeps: the others would tell that the last one was in 1970.
    return Gauge(
        "spacebridge_last_sweep_timestamp_seconds",
        "When the last sweep ended.",
        multiprocess_mode="max",
        registry=REGISTRY,
    )
