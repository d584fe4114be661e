"""Checks in the ledger whether a worker runs: with one, nothing waits for long."""

from __future__ import annotations

from datetime import datetime

from bridge.doctor.finding import Finding, Level, format_duration
from bridge.doctor.installation import BrokerCheck, LedgerContents

# A healthy worker takes less than a second, and retries a delivery that it cannot process for a minute.
LONGEST_PROCESSING = 120.0  # seconds
LONGEST_FETCH = 300.0  # seconds beyond a config's time to live, in which all stores are fetched

WORKER = "celery --app worker.app worker"


def check_worker(
    contents: LedgerContents, broker: BrokerCheck, now: datetime, *, config_ttl: float, api_answers: bool
) -> Finding:
    """Check that nothing waits too long for a worker.

    If no orders come in, the configs show it: a worker fetches each one again after its time to
    live, `config_ttl` seconds. If the API does not answer, late configs say nothing about the worker.
    """
    waiting = _deliveries(contents)
    if api_answers:
        waiting += _configs(contents, now, config_ttl)
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
    else:
        message += " No message is in the broker: no worker runs, or it is stuck."
    return Finding("worker", Level.WRONG, message, f"{WORKER}; if one does run, again")


def _deliveries(contents: LedgerContents) -> list[str]:
    oldest = max((backlog.oldest_unprocessed_seconds for backlog in contents.backlogs.values()), default=0.0)
    if oldest <= LONGEST_PROCESSING:
        return []
    number = sum(backlog.unprocessed for backlog in contents.backlogs.values())
    return [f"Deliveries that wait to be processed: {number}, the oldest for {format_duration(oldest)}"]


def _configs(contents: LedgerContents, now: datetime, ttl: float) -> list[str]:
    """The config that is most overdue to be fetched, if any is."""
    ages = [
        (contents.backlogs[store.id].added_seconds_ago, LONGEST_FETCH, store.name)
        if store.config_tried_at is None
        else ((now - store.config_tried_at).total_seconds(), ttl + LONGEST_FETCH, store.name)
        for store in contents.stores
    ]
    late = [(seconds, name) for seconds, allowed, name in ages if seconds > allowed]
    if not late:
        return []
    seconds, name = max(late)
    return [f"The config of {name} was not asked for in the last {format_duration(seconds)}"]
