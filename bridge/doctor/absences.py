"""Reports the times in which no receiver took a store's deliveries, until they are compared with its shop."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from bridge.doctor.finding import WEBHOOKS, Level, format_duration
from bridge.doctor.observation import Result, StoreObservation


def check_absences(observation: StoreObservation) -> Iterator[Result]:
    """Report what may be missing: a warning if the shop is connected, which is then compared by itself."""
    absences, name = observation.absences, observation.store.name
    if not absences:
        return
    last = absences[-1]
    away = sum((absence.ended_at - absence.began_at for absence in absences), timedelta())
    when = f"For {format_duration(away)}, until {observation.since(last.ended_at)} ago,"
    if len(absences) > 1:
        when = (
            f"{len(absences)} times in the last {observation.since(absences[0].began_at)}, "
            f"{format_duration(away)} altogether, the last until {observation.since(last.ended_at)} ago,"
        )
    message = f"{when} no receiver was up or had the ledger: orders of that time may be missing"
    if observation.shop is not None:
        mend = f"The shop is compared by itself within minutes; at once: spacebridge stores reconcile {name}"
        yield Level.WARNING, f"{message}.", mend
        return
    yield (
        Level.WRONG,
        f"{message}, and WooCommerce may have switched webhooks off.",
        f"{WEBHOOKS}: set each to Active again. Then connect the shop, which is compared by itself: "
        f"spacebridge stores connect {name} --url https://SHOP; or compare its orders of that time by hand, "
        f"and when none is missing: spacebridge stores reconcile {name} --nothing-missing",
    )
