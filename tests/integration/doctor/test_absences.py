"""Times without a receiver, and topics that are silent: which stores may lack orders, and what to do then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert

from bridge.admin.absences import nothing_missing
from bridge.db.tables import deliveries
from bridge.doctor import Level
from bridge.ledger import absences, stores
from bridge.ledger.silence import CREATED, UPDATED
from tests.integration.doctor.patient import ON_SQLITE, Patient, hours_ago, names, the
from tests.support.connected import connect_shop

HOUR = timedelta(hours=1)
BY_HAND = "spacebridge stores reconcile shop --nothing-missing"
CONNECT = "spacebridge stores connect shop --url https://SHOP"


def be_away(patient: Patient, since: datetime, until: datetime) -> None:
    with patient.shop.context.ledger.write() as connection:
        if not absences.go_on(connection, since):
            absences.beat(connection, since)
        absences.beat(connection, until)


def connect(patient: Patient) -> None:
    context = patient.shop.context
    with context.ledger.write() as connection:
        connect_shop(connection, context.vault, patient.shop.store_id, datetime.now(UTC))


def deliver(patient: Patient, topic: str, hours: range) -> None:
    """One delivery in each of these hours ago, in the order of their times."""
    with patient.shop.context.ledger.write() as connection:
        connection.execute(
            insert(deliveries),
            [
                {
                    "store_id": patient.shop.store_id,
                    "topic": topic,
                    "digest": f"{topic} {number}".encode().rjust(32),
                    "body": b"",
                    "is_deletion": False,
                    "state": "processed",
                    "received_at": hours_ago(number),
                    "last_received_at": hours_ago(number),
                }
                for number in reversed(hours)
            ],
        )


def test_after_an_absence_orders_may_be_missing_until_somebody_says_that_none_is(patient: Patient) -> None:
    be_away(patient, hours_ago(3.5), hours_ago(3))
    found = patient.look()
    assert names(found, Level.WRONG) == ["shop absences"]
    finding = the("absences", found)
    assert finding.message == (
        "For 30 minutes, until 3 hours ago, no receiver was up or had the ledger: orders of that time may be "
        "missing, and WooCommerce may have switched webhooks off."
    )
    assert finding.mend is not None
    assert "set each to Active" in finding.mend
    assert CONNECT in finding.mend
    assert finding.mend.endswith(BY_HAND)
    with patient.shop.context.ledger.write() as connection:
        store = stores.lock(connection, patient.shop.store_id)
        assert len(nothing_missing(connection, store, who="ana", now=datetime.now(UTC))) == 1
    assert names(patient.look(), Level.WRONG) == []


@ON_SQLITE
def test_several_absences_are_one_finding(patient: Patient) -> None:
    for began, ended in ((50, 49), (30, 29.4), (3, 2.2)):
        be_away(patient, hours_ago(began), hours_ago(ended))
    finding = the("absences", patient.look())
    assert finding.message.startswith(
        "3 times in the last 2 days, 2 hours altogether, the last until 2 hours ago, no receiver was up"
    )


@ON_SQLITE
def test_a_store_without_a_delivery_has_lost_nothing(patient: Patient) -> None:
    patient.add_store("new", patient.new_config())
    be_away(patient, hours_ago(3.5), hours_ago(3))
    assert names(patient.look(), Level.WRONG) == ["shop absences"]


@ON_SQLITE
def test_a_shop_that_is_connected_is_compared_by_itself(patient: Patient) -> None:
    be_away(patient, hours_ago(1), hours_ago(0.1))
    connect(patient)
    finding = the("absences", patient.look())
    assert finding.level is Level.WARNING
    assert finding.mend is not None
    assert finding.mend.endswith("at once: spacebridge stores reconcile shop")


def test_a_silent_topic_is_a_note_unless_the_shop_can_be_asked(patient: Patient) -> None:
    deliver(patient, CREATED, range(48, 40 * 24))
    finding = the("silence", patient.look())
    assert finding.level is Level.WARNING
    assert finding.message.startswith("No order.created has come for 2 days, and in 4")
    assert "no orders, or no webhooks" in finding.message
    assert (finding.mend or "").startswith(CONNECT)
    connect(patient)
    assert not [one for one in patient.look() if one.check == "silence"]


@ON_SQLITE
def test_updates_that_cease_while_orders_are_created_are_wrong(patient: Patient) -> None:
    """An order that is paid by bank would stay unpaid here for ever."""
    patient.change(deliveries, received_at=hours_ago(1000))  # an update
    deliver(patient, CREATED, range(1, 40 * 24, 3))
    deliver(patient, UPDATED, range(72, 40 * 24, 3))
    finding = the("silence", patient.look())
    assert finding.level is Level.WRONG
    assert finding.message.startswith("No order.updated has come for 3 days, while 2")
    assert "orders were created: that webhook is most likely off" in finding.message
    assert (finding.mend or "").startswith(CONNECT)


@ON_SQLITE
@pytest.mark.parametrize(("days", "is_silent"), [(30, False), (57, True)])
def test_a_shop_with_few_orders_is_silent_after_eight_weeks(
    patient: Patient, days: int, is_silent: bool
) -> None:
    patient.change(deliveries, received_at=hours_ago(24 * days), last_received_at=hours_ago(24 * days))
    found = [one for one in patient.look() if one.check == "silence"]
    assert [one.level for one in found] == ([Level.WARNING] if is_silent else [])
    assert [one.message for one in found] == (
        ["Nothing has come for 57 days: no orders, or no webhooks."] if is_silent else []
    )
