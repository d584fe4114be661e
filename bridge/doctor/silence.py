"""Reports topics of which a store's webhooks deliver nothing any more, if nobody can ask the shop why."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.doctor.finding import WEBHOOKS, Level
from bridge.doctor.observation import Result, StoreObservation
from bridge.ledger.silence import LOOKBACK, Silence


def check_silence(observation: StoreObservation) -> Iterator[Result]:
    """Report silences of a store that is not connected; the shop of one that is can be asked instead."""
    if observation.shop is not None:
        return
    for silence in observation.silences:
        yield _silent(observation, silence)
    last_at = observation.backlog.last_delivery_at
    if last_at is not None and observation.now - last_at > LOOKBACK:
        message = f"Nothing has come for {observation.since(last_at)}: no orders, or no webhooks."
        yield Level.WARNING, message, _mend(observation)


def _silent(observation: StoreObservation, silence: Silence) -> Result:
    pause = f"No {silence.topic} has come for {observation.since(silence.since)}"
    if silence.orders:
        return (
            Level.WRONG,
            f"{pause}, while {silence.orders} orders were created: that webhook is most likely off, and what "
            "was paid, completed or cancelled since then is not known here.",
            _mend(observation),
        )
    return (
        Level.WARNING,
        f"{pause}, and in {silence.usual_hours:.0f} hours of that time one usually does: no orders, or no "
        "webhooks. Connect the shop to know.",
        _mend(observation),
    )


def _mend(observation: StoreObservation) -> str:
    return (
        f"spacebridge stores connect {observation.store.name} --url https://SHOP; or see in the shop "
        f"({WEBHOOKS}) that each is Active: WooCommerce disables one after seven failures in a row."
    )
