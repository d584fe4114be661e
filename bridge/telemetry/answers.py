"""Counts the receiver's answers to deliveries, and measures how soon it acknowledged them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache

from flask import Blueprint, Response, g, request
from prometheus_client import Counter, Histogram

from bridge.telemetry.counts import REGISTRY, SECONDS, never_raises

OUTCOMES = ("accepted", "duplicate", "ignored", "refused", "too_large", "unavailable")

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
# A store name that is not known to exist is no label: strangers choose it.
_NO_STORE = {
    outcome: _DELIVERIES.labels("", outcome) for outcome in ("unknown_store", "unavailable", "cut_off")
}


def count_answers(blueprint: Blueprint) -> None:
    """Count this blueprint's answers to POST requests. Its views call `set_store` and `set_outcome`."""

    @blueprint.before_request
    def begin() -> None:
        g.begun_at = time.perf_counter()

    @blueprint.after_request
    def end(response: Response) -> Response:
        if request.method == "POST":
            _count(response.status_code)
        return response


def set_store(name: str) -> None:
    """Count the current request for this store, which exists."""
    g.store_name = name


def set_outcome(outcome: str) -> None:
    """Count the current request as a delivery that is recorded, with the outcome in its answer."""
    g.outcome = outcome


@never_raises
def acknowledged(store: str, outcome: str, seconds: float) -> None:
    """Count a delivery of this store, which exists, that was acknowledged after `seconds`."""
    _ACK_SECONDS.observe(seconds)
    _store_counters(store)[outcome].inc()


@never_raises
def cut_off() -> None:
    """Count a request that did not arrive completely in time; its store is not known."""
    _NO_STORE["cut_off"].inc()


@never_raises
def _count(status: int) -> None:
    if status < 400:
        if (outcome := g.get("outcome")) is not None:  # else it is a ping
            acknowledged(g.store_name, outcome, time.perf_counter() - g.begun_at)
        return
    if status >= 500:
        outcome = "unavailable"
    else:
        outcome = {404: "unknown_store", 413: "too_large"}.get(status, "refused")
    store = g.get("store_name")
    (_NO_STORE if store is None else _store_counters(store))[outcome].inc()


@cache
def _store_counters(store: str) -> Mapping[str, Counter]:
    """The counters of a store by outcome: cached, and all exported from the start, as 0."""
    return {outcome: _DELIVERIES.labels(store, outcome) for outcome in OUTCOMES}
