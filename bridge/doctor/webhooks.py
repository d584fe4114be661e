"""Checks the webhooks of a connected shop, each topic by itself, as the shop showed them last."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.doctor.finding import WEBHOOKS, Level
from bridge.doctor.observation import Result, StoreObservation
from bridge.ledger.shop_webhooks import ACTIVE, DELETED, DISABLED, PAUSED

# Without the others, comparing with the shop still tells of the trash once a day.
_OF_ORDERS = ("order.created", "order.updated")


def check_webhooks(observation: StoreObservation) -> Iterator[Result]:
    """Report topics of which the shop tells nothing; nothing for a shop that was never asked."""
    if not observation.webhooks:
        return
    install = f"spacebridge stores install-webhooks {observation.store.name}"
    for webhook in observation.webhooks:
        since = observation.since(webhook.since)
        if webhook.status == DELETED:
            level = Level.WRONG if webhook.topic in _OF_ORDERS else Level.WARNING
            yield level, f"The shop has no webhook for {webhook.topic}, for {since}.", install
        elif webhook.status == ACTIVE and webhook.problem is not None:
            message = f"Deliveries of {webhook.topic} are lost, although the shop sees none fail"
            yield Level.WRONG, f"{message}: {webhook.problem}.", f"Mend that; then {install}"
        elif webhook.status == DISABLED and webhook.problem is not None:
            yield (
                Level.WRONG,
                f"WooCommerce has switched the webhook for {webhook.topic} off, and it stays so, since "
                f"{webhook.problem}.",
                f"Mend that; then {install}",
            )
        elif webhook.status == DISABLED:
            yield (
                Level.WARNING,
                f"WooCommerce has switched the webhook for {webhook.topic} off, {since} ago; it is remade.",
                f"At once: spacebridge stores reconcile {observation.store.name}",
            )
        elif webhook.status == PAUSED:
            yield (
                Level.WARNING,
                f"Somebody has paused the webhook for {webhook.topic}, {since} ago. Its orders come late, "
                "by comparing with the shop.",
                f"{WEBHOOKS}: set it to Active.",
            )
    active = sum(webhook.status == ACTIVE and webhook.problem is None for webhook in observation.webhooks)
    if active == len(observation.webhooks):
        yield Level.OK, f"All {active} webhooks are active in the shop.", None
