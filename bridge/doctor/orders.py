"""What is found of a store's orders: those that wait for too long, and those that need a person."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.doctor.finding import Finding, Level, lasting
from bridge.doctor.sight import StoreSight
from bridge.ledger.waiting import PENDING, PENDING_PAID, UNKNOWN_STATUS


def look_at_orders(sight: StoreSight) -> Iterator[Finding]:
    """Each kind in turn; nothing where no order waits for a person."""
    store = sight.store.name
    listing = f"spacebridge orders list --store {store}"
    setting = f"spacebridge stores set {store}"
    yield from _waiting(
        sight,
        PENDING_PAID,
        Level.WRONG,
        "Orders that are pending, although the shop says that they are paid",
        f"{listing} --rule pending; set each to processing in the shop, or, if pending orders are to have "
        f"documents: {setting} issue_pending=true",
    )
    yield from _waiting(
        sight,
        UNKNOWN_STATUS,
        Level.WRONG,
        "Orders of a status that is not WooCommerce's own, so that nothing is issued for them",
        f"{listing} --rule unknown_status; say what the status means: {setting} status_map=CUSTOM:STANDARD",
    )
    yield from _waiting(
        sight,
        PENDING,
        Level.WARNING,
        "Orders that are pending and unpaid",
        f"{listing} --rule pending; cancel in the shop what was abandoned, or, if pending orders are to "
        f"have documents: {setting} issue_pending=true",
    )
    attention = sight.backlog.attention
    if attention.orders:
        message = f"Orders that need a person: {attention.orders}"
        if attention.newest_at is not None:
            message += f", the last since {lasting(sight.now - attention.newest_at)} ago"
        mend = f"{listing} --decision attention; the reason of each says what is to be done"
        yield sight.finding("orders", Level.WARNING, f"{message}.", mend)


def _waiting(sight: StoreSight, why: str, level: Level, what: str, mend: str) -> Iterator[Finding]:
    found = sight.backlog.waiting.get(why)
    if found is not None:
        message = f"{what}: {found.orders}, the first for {lasting(sight.now - found.since)}."
        yield sight.finding("orders", level, message, mend)
