"""Checks a store's orders: those that wait for too long, and those that need a person."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.doctor.finding import Finding, Level, format_duration
from bridge.doctor.observation import StoreObservation
from bridge.ledger.waiting import PENDING, PENDING_PAID, UNKNOWN_STATUS


def check_orders(observation: StoreObservation) -> Iterator[Finding]:
    """Yield a finding for each kind of order that waits for a person."""
    store = observation.store.name
    listing = f"spacebridge orders list --store {store}"
    setting = f"spacebridge stores set {store}"
    yield from _waiting(
        observation,
        PENDING_PAID,
        Level.WRONG,
        "Orders that are pending, although the shop says that they are paid",
        f"{listing} --rule pending; set each to processing in the shop, or, if pending orders are to have "
        f"documents: {setting} issue_pending=true",
    )
    yield from _waiting(
        observation,
        UNKNOWN_STATUS,
        Level.WRONG,
        "Orders of a status that is not WooCommerce's own, so that nothing is issued for them",
        f"{listing} --rule unknown_status; say what the status means: {setting} status_map=CUSTOM:STANDARD",
    )
    yield from _waiting(
        observation,
        PENDING,
        Level.WARNING,
        "Orders that are pending and unpaid",
        f"{listing} --rule pending; cancel in the shop what was abandoned, or, if pending orders are to "
        f"have documents: {setting} issue_pending=true",
    )
    attention = observation.backlog.attention
    if attention.orders:
        message = f"Orders that need a person: {attention.orders}"
        if attention.newest_at is not None:
            message += f", the last since {format_duration(observation.now - attention.newest_at)} ago"
        mend = f"{listing} --decision attention; the reason of each says what is to be done"
        yield observation.finding("orders", Level.WARNING, f"{message}.", mend)


def _waiting(
    observation: StoreObservation, reason: str, level: Level, orders: str, mend: str
) -> Iterator[Finding]:
    waiting = observation.backlog.waiting.get(reason)
    if waiting is not None:
        message = (
            f"{orders}: {waiting.orders}, the first for {format_duration(observation.now - waiting.since)}."
        )
        yield observation.finding("orders", level, message, mend)
