"""The webhooks of a connected shop, and the orders that only a comparison has found."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bridge.db import tables
from bridge.doctor import Finding, Level
from bridge.ledger import finds, shop_webhooks
from bridge.ledger.finds import Find
from bridge.ledger.shop_webhooks import TOPICS
from tests.integration.doctor.patient import ON_SQLITE, Patient
from tests.integration.doctor.test_shops import compared, connect

pytestmark = ON_SQLITE


@pytest.fixture
def connected(patient: Patient) -> Patient:
    """The patient, connected to its shop, whose four webhooks are active."""
    connect(patient)
    compared(patient, datetime.now(UTC))
    for topic in TOPICS:
        see(patient, topic, "active")
    return patient


def see(patient: Patient, topic: str, status: str, *, problem: str | None = None) -> None:
    with patient.shop.context.ledger.write() as connection:
        shop_webhooks.save(
            connection,
            patient.shop.store_id,
            topic,
            webhook_id=None if status == "deleted" else 7,
            status=status,
            modified=datetime.now(UTC),
            now=datetime.now(UTC),
        )
        shop_webhooks.note_problem(connection, patient.shop.store_id, topic, problem)


def find(patient: Patient, reason: str, number: int) -> None:
    now = datetime.now(UTC)
    one = Find(patient.shop.store_id, 1, finds.MISSING, reason, None, now, now)
    with patient.shop.context.ledger.write() as connection:
        finds.add(connection, [one] * number)


def only(check: str, patient: Patient) -> Finding:
    """The finding of this check, whatever its level, of which there is one that matters."""
    found = [one for one in patient.look() if one.check == check]
    return next((one for one in found if one.level is not Level.OK), found[0])


def test_webhooks_that_are_active_are_said_to_be(connected: Patient) -> None:
    found = only("webhooks", connected)
    assert (found.level, found.message) == (Level.OK, "All 4 webhooks are active in the shop.")


@pytest.mark.parametrize(
    ("topic", "status", "problem", "level", "says"),
    [
        ("order.updated", "deleted", None, Level.WRONG, "has no webhook for order.updated"),
        ("order.restored", "deleted", None, Level.WARNING, "has no webhook for order.restored"),
        ("order.created", "paused", None, Level.WARNING, "Somebody has paused"),
        ("order.created", "disabled", None, Level.WARNING, "it is remade"),
        ("order.created", "disabled", "nothing answers", Level.WRONG, "since nothing answers"),
        (
            "order.created",
            "active",
            "a.example redirects",
            Level.WRONG,
            "Deliveries of order.created are lost",
        ),
    ],
)
def test_each_topic_is_looked_at_by_itself(
    connected: Patient, topic: str, status: str, problem: str | None, level: Level, says: str
) -> None:
    see(connected, topic, status, problem=problem)
    found = only("webhooks", connected)
    assert found.level is level
    assert says in found.message
    assert found.mend


def test_a_store_that_is_not_connected_has_no_webhooks_to_look_at(patient: Patient) -> None:
    assert "webhooks" not in {one.check for one in patient.look()}


@pytest.mark.parametrize(
    ("reason", "number", "level"),
    [
        ("switched off", 1, Level.WARNING),
        ("never tried", 4, Level.WARNING),
        ("never tried", 3, Level.OK),
        ("the bridge was away", 9, Level.OK),
        ("refused by us", 1, Level.WARNING),
    ],
)
def test_orders_that_only_a_comparison_has_found_are_told_with_the_mend(
    connected: Patient, reason: str, number: int, level: Level
) -> None:
    find(connected, reason, number)
    found = only("found", connected)
    assert found.level is level
    assert f"({reason}), found in the shop: {number}" in found.message
    assert (found.mend is None) is (level is Level.OK)


def test_what_was_found_long_ago_is_not_told(connected: Patient) -> None:
    find(connected, "switched off", 1)
    with connected.shop.context.ledger.write() as connection:
        connection.execute(tables.finds.update().values(found_at=datetime(2026, 1, 1, tzinfo=UTC)))
    assert "found" not in {one.check for one in connected.look()}
