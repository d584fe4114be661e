"""Counts the receiver's answers to deliveries, and measures how soon it acknowledged them."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from bridge.telemetry.counts import REGISTRY, SECONDS, never_raises, of_store

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


@never_raises
def count(store: str, outcome: str, seconds: float) -> None:
    """Count a delivery by the outcome in its answer, which took `seconds`.

    `store` is the name of a store that exists, or empty: a name that strangers choose must not be a label.
    """
    if outcome in _ACKNOWLEDGED:
        _ACK_SECONDS.observe(seconds)
    of_store(_DELIVERIES, store, _OF_A_STORE if store else _OF_NO_STORE)[outcome].inc()


@never_raises
def cut_off() -> None:
    """Count a request that did not arrive completely in time; its store is not known."""
    of_store(_DELIVERIES, "", _OF_NO_STORE)["cut_off"].inc()


of_store(_DELIVERIES, "", _OF_NO_STORE)
