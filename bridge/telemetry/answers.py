"""Counts the receiver's answers to deliveries, and how soon they were acknowledged."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from prometheus_client import Counter, Histogram

from bridge.telemetry.counts import REGISTRY, SECONDS, harmless

_ACKNOWLEDGED = ("accepted", "duplicate", "ignored", "quarantined", "unreadable")
_OF_A_STORE = (*_ACKNOWLEDGED, "refused", "too_large", "unavailable")
_OF_NO_STORE = ("unknown_store", "unavailable", "cut_off")

_DELIVERIES = Counter(
    "spacebridge_deliveries_total",
    "Deliveries, by what they were answered.",
    ["store", "outcome"],
    registry=REGISTRY,
)
_ACK_SECONDS = Histogram(
    "spacebridge_ack_seconds",
    "Time from a delivery's request to its answer, of those that were acknowledged.",
    buckets=SECONDS,
    registry=REGISTRY,
)


@harmless
def count(store: str, outcome: str, seconds: float) -> None:
    """Count a delivery that was answered so in so many seconds.

    `store` is the name of a store that exists, or nothing: a request's path is whatever its caller made up,
    and no label.
    """
    if outcome in _ACKNOWLEDGED:
        _ACK_SECONDS.observe(seconds)
    _counters(store)[outcome].inc()


@harmless
def cut_off() -> None:
    """Count a request that did not arrive whole in time, for whichever store."""
    _counters("")["cut_off"].inc()


@cache
def _counters(store: str) -> Mapping[str, Counter]:
    """The counters of a store: looked up once, and exported as 0 from the start."""
    return {
        outcome: _DELIVERIES.labels(store, outcome) for outcome in (_OF_A_STORE if store else _OF_NO_STORE)
    }


_counters("")
