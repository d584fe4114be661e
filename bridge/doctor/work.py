"""Whether a worker and the schedule are alive, told by the ledger: with both, nothing waits for long."""

from __future__ import annotations

from datetime import datetime

from bridge.doctor.finding import Finding, Level, lasting
from bridge.doctor.installation import BrokerSight, Known

# A worker that is well takes less than a second, and tries a delivery that it cannot process for a minute.
LONGEST_PROCESSING = 120.0  # seconds
LONGEST_FETCH = 300.0  # seconds beyond a config's time to live, for all stores to have their turn

WORKER = "celery --app worker.app worker"
SCHEDULE = "celery --app worker.app beat"


def look_at_work(
    known: Known, broker: BrokerSight, now: datetime, *, config_ttl: float, api_answers: bool
) -> Finding:
    """What waits for a worker for longer than it should.

    Where no order comes, the configs tell: the schedule has a worker ask for each again when its time to live
    (in seconds) is over, which takes as long as Space Invoices does to answer.
    """
    waiting = _deliveries(known)
    if api_answers:
        waiting += _configs(known, now, config_ttl)
    if not waiting:
        return Finding("worker", Level.OK, "Nothing waits for a worker.")
    message = f"{'; '.join(waiting)}."
    if broker.finding.level is Level.WRONG:
        mend = "It goes on by itself when what is wrong with the broker is mended."
        return Finding("worker", Level.WARNING, message, mend)
    if broker.is_up:
        mend = (
            "systemctl restart spacebridge; or Ctrl-C, and again: spacebridge up. Its log says what kept it."
        )
        return Finding("worker", Level.WRONG, message, mend)
    if broker.messages:
        message += f" Messages in the broker: {broker.messages}, which no worker takes, or too few do."
        return Finding("worker", Level.WRONG, message, f"{WORKER}; and unless it runs: {SCHEDULE}")
    message += " No message is in the broker: the schedule does not run, or the worker is stuck."
    return Finding("worker", Level.WRONG, message, f"{SCHEDULE}; if it does run, again: {WORKER}")


def _deliveries(known: Known) -> list[str]:
    oldest = max((one.oldest_unprocessed_seconds for one in known.backlogs.values()), default=0.0)
    if oldest <= LONGEST_PROCESSING:
        return []
    number = sum(one.unprocessed for one in known.backlogs.values())
    return [f"Deliveries that wait to be processed: {number}, the oldest for {lasting(oldest)}"]


def _configs(known: Known, now: datetime, ttl: float) -> list[str]:
    """Of the configs that should have been asked for by now, the one that was not for longest."""
    waited = [
        (known.backlogs[store.id].added_seconds_ago, LONGEST_FETCH, store.name)
        if store.config_tried_at is None
        else ((now - store.config_tried_at).total_seconds(), ttl + LONGEST_FETCH, store.name)
        for store in known.stores
    ]
    late = [(seconds, name) for seconds, allowed, name in waited if seconds > allowed]
    if not late:
        return []
    seconds, name = max(late)
    return [f"The config of {name} was not asked for in the last {lasting(seconds)}"]
