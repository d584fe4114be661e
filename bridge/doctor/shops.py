"""Checks a store's connection to its shop: whether the shop can be asked, and was lately."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from bridge.doctor.finding import Level
from bridge.doctor.observation import Result, StoreObservation
from bridge.ledger.shops import Shop

# Errors of bridge.shop that pass, mostly: only one that stays is wrong.
_PASSING = {"ShopUnreachableError", "MaintenanceError", "BusyError", "AnswerError"}
_OF_THE_KEY = {"KeyRefusedError", "RightsError"}
LONGEST_FAILURE = timedelta(hours=1)
LONGEST_ROUND = timedelta(hours=1)  # they begin every ten minutes; the first one may take a while


def check_connection(observation: StoreObservation) -> Iterator[Result]:
    """Report on the shop of a connected store; nothing for one that is not connected."""
    shop = observation.shop
    if shop is None:
        return
    if shop.error is not None and shop.failing_since is not None:
        yield _failing(observation, shop, shop.error)
        return
    may_read_only = "" if shop.can_write else " Its key may only read: webhooks are not mended by themselves."
    seen_at = shop.compared_at or shop.connected_at
    seen = f"{'compared' if shop.compared_at else 'connected'} {observation.since(seen_at)} ago"
    is_being_compared = shop.lease_ends_at is not None and shop.lease_ends_at > observation.now
    if observation.now - max(seen_at, shop.connected_at) <= LONGEST_ROUND or is_being_compared:
        yield Level.OK, f"The shop at {shop.url} can be asked; it was {seen}.{may_read_only}", None
        return
    message = f"The shop at {shop.url} was {seen}, and not since: orders without a webhook are not found."
    if observation.cause is not None:
        yield observation.consequence(message)
    else:
        yield Level.WRONG, message, f"spacebridge stores reconcile {observation.store.name}"


def _failing(observation: StoreObservation, shop: Shop, error: str) -> Result:
    name, kind = observation.store.name, shop.error_kind
    failing_since = shop.failing_since or observation.now
    message = (
        f"The shop at {shop.url} cannot be asked, for {observation.since(failing_since)}: {error} Until "
        "then, orders without a webhook are not found."
    )
    mend = f"When that is mended, at once: spacebridge stores reconcile {name}"
    if kind in _OF_THE_KEY:
        mend = f"spacebridge stores connect {name} --url {shop.url}"
    elif kind == "WrongKeyError":
        return Level.WARNING, message, "It goes on by itself when what is wrong with the key is mended."
    is_new = observation.now - failing_since < LONGEST_FAILURE
    if is_new and (kind in _PASSING or (kind == "KeyRefusedError" and shop.refusals < 2)):
        return Level.WARNING, f"{message} It is tried again by itself.", mend
    return Level.WRONG, message, mend
