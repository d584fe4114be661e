"""Reports the orders that were found by comparing with the shop: each is one that a webhook did not tell."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.doctor.finding import WEBHOOKS, Level
from bridge.doctor.observation import Result, StoreObservation
from bridge.pipeline import comparison

FEW = 3  # a day: a webhook that WP-Cron runs late now and then is no fault

_MENDS = {
    comparison.SWITCHED_OFF: f"{WEBHOOKS}: they are made anew by themselves where the key may write.",
    comparison.NO_WEBHOOK: "spacebridge stores install-webhooks {name}",
    comparison.PAUSED_THERE: f"{WEBHOOKS}: set the paused ones to Active, if nobody means them to rest.",
    comparison.SWALLOWED: (
        "Something between the shop and the bridge takes deliveries: look for a firewall, a redirect or "
        "another service at the delivery URL."
    ),
    comparison.REFUSED: (
        "spacebridge stores rotate-secret {name}: a webhook of the shop is signed with another secret."
    ),
    comparison.NEVER_TRIED: (
        "See that the shop's WP-Cron runs: WooCommerce > Status > Scheduled Actions shows what is past due."
    ),
}


def check_finds(observation: StoreObservation) -> Iterator[Result]:
    """Report, for each reason, how many orders of the last day were found so."""
    for reason, number in sorted(observation.found.items()):
        message = f"Orders of the last day of which no webhook told ({reason}), found in the shop: {number}."
        mend = _MENDS.get(reason)
        if mend is None or (reason == comparison.NEVER_TRIED and number <= FEW):
            yield Level.OK, message, None
        else:
            yield Level.WARNING, message, mend.format(name=observation.store.name)
