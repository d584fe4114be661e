"""Counts the receiver's answers to deliveries, and how soon they were acknowledged."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache

from flask import Blueprint, Response, g, request
from prometheus_client import Counter, Histogram

from bridge.telemetry.counts import REGISTRY, SECONDS, harmless

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
# A request's path is whatever its caller made up, and no label.
_OF_NO_STORE = {
    outcome: _DELIVERIES.labels("", outcome) for outcome in ("unknown_store", "unavailable", "cut_off")
}


def count_answers(blueprint: Blueprint) -> None:
    """Count what this blueprint answers to POST requests; its views say which store each is for."""

    @blueprint.before_request
    def begin() -> None:
        g.begun_at = time.perf_counter()

    @blueprint.after_request
    def end(response: Response) -> Response:
        if request.method == "POST":
            _count(response.status_code)
        return response


def of_store(name: str) -> None:
    """The request that is being answered is for this store, which there is."""
    g.store_name = name


def acknowledged_as(outcome: str) -> None:
    """The delivery is recorded, and what it is called in the answer."""
    g.acknowledged_as = outcome


@harmless
def acknowledged(store: str, outcome: str, seconds: float) -> None:
    """A delivery of this store, which there is, was acknowledged in so many seconds."""
    _ACK_SECONDS.observe(seconds)
    _of_store(store)[outcome].inc()


@harmless
def cut_off() -> None:
    """A request did not arrive whole in time: whose it was to be is not known."""
    _OF_NO_STORE["cut_off"].inc()


@harmless
def _count(status: int) -> None:
    if status < 400:
        if (outcome := g.get("acknowledged_as")) is not None:  # and not a ping
            acknowledged(g.store_name, outcome, time.perf_counter() - g.begun_at)
        return
    if status >= 500:
        outcome = "unavailable"
    else:
        outcome = {404: "unknown_store", 413: "too_large"}.get(status, "refused")
    store = g.get("store_name")
    (_OF_NO_STORE if store is None else _of_store(store))[outcome].inc()


@cache
def _of_store(store: str) -> Mapping[str, Counter]:
    """The counters of a store: looked up once, and told from the start as 0."""
    return {outcome: _DELIVERIES.labels(store, outcome) for outcome in OUTCOMES}
