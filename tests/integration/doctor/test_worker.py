"""Whether anyone works, and what tells that nobody does."""

from __future__ import annotations

import fcntl
from datetime import UTC, datetime

import redis

from bridge.admin import operate
from bridge.data_folder import UP_LOCK
from bridge.db.tables import actions as action_table
from bridge.db.tables import deliveries as delivery_table
from bridge.db.tables import stores as store_table
from bridge.doctor import Level
from tests.integration.doctor.patient import (
    NOWHERE,
    ON_SQLITE,
    Patient,
    hours_ago,
    names,
    the,
)


def test_deliveries_that_wait_for_an_hour_tell_that_no_worker_runs(patient: Patient) -> None:
    patient.change(delivery_table, state="received", last_received_at=hours_ago(1))
    found = the("worker", patient.look())
    assert "wait to be processed: 1, the oldest for 60 minutes" in found.message
    assert "No message is in the broker" in found.message
    assert (found.mend or "").startswith("celery --app worker.app worker")
    with redis.Redis.from_url(patient.settings.broker_url.get_secret_value()) as client:
        client.lpush("spacebridge", "a message that nobody takes")
    found = the("worker", patient.look())
    assert "Messages in the broker: 1, which no worker takes" in found.message
    assert (found.mend or "").startswith("celery --app worker.app worker")


@ON_SQLITE
def test_where_up_runs_it_is_what_has_to_be_started_again(patient: Patient) -> None:
    patient.change(delivery_table, state="received", last_received_at=hours_ago(1))
    with (patient.settings.data_dir / UP_LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = the("worker", patient.look())
    assert (found.mend or "").startswith(
        "systemctl restart spacebridge; or Ctrl-C, and again: spacebridge up"
    )


@ON_SQLITE
def test_without_any_order_the_configs_tell_that_nobody_works(patient: Patient) -> None:
    patient.change(store_table, config_tried_at=hours_ago(3))
    assert "config of shop was not asked for in the last 3 hours" in the("worker", patient.look()).message
    # While Space Invoices does not answer, they tell nothing.
    found = patient.look(api_url=NOWHERE)
    assert names(found, Level.WRONG) == ["api"]


@ON_SQLITE
def test_a_store_that_was_never_looked_after_tells_it_too(patient: Patient) -> None:
    patient.change(store_table, config=None, config_tried_at=None, created_at=hours_ago(1))
    found = patient.look()
    assert names(found, Level.WRONG) == ["worker"]
    assert the("config", found).level is Level.WARNING
    patient.change(store_table, created_at=datetime.now(UTC))
    assert names(patient.look(), Level.WRONG) == []  # it is too young to tell


def test_a_delivery_that_was_just_replayed_does_not_wait_since_it_came(patient: Patient) -> None:
    patient.change(delivery_table, state="failed", last_received_at=hours_ago(3))
    replayed = operate.replay(patient.shop.context.ledger, 1, who="me", now=datetime.now(UTC))
    assert replayed.has_changed
    assert names(patient.look(), Level.WRONG) == []
    patient.change(action_table, at=hours_ago(2))
    assert "the oldest for 2 hours" in the("worker", patient.look()).message
