"""The connection to a store's shop: whether the shop can be asked, and what to do if it cannot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bridge.db import tables
from bridge.doctor import Finding, Level
from bridge.ledger import shops
from bridge.vault import Vault
from bridge.vault.encryption import make_key
from tests.integration.doctor.patient import ON_SQLITE, Patient, hours_ago, names, the
from tests.support.connected import CONSUMER_SECRET, KEY, connect_shop

pytestmark = ON_SQLITE


@pytest.fixture
def connected(patient: Patient) -> Patient:
    """The patient, connected to its shop an hour and a half ago, and compared a moment ago."""
    connect(patient)
    compared(patient, datetime.now(UTC))
    return patient


def connect(patient: Patient, *, can_write: bool = True, vault: Vault | None = None) -> None:
    context = patient.shop.context
    with context.ledger.write() as connection:
        connect_shop(
            connection, vault or context.vault, patient.shop.store_id, hours_ago(1.5), can_write=can_write
        )


def compared(patient: Patient, at: datetime) -> None:
    with patient.shop.context.ledger.write() as connection:
        shops.note_compared(connection, patient.shop.store_id, until=at, compare_from=None, kinds=(), now=at)


def fail(patient: Patient, kind: str, *, for_minutes: float, times: int = 1) -> None:
    with patient.shop.context.ledger.write() as connection:
        for _ in range(times):
            shops.note_error(
                connection,
                patient.shop.store_id,
                error="The shop said something.",
                kind=kind,
                is_refusal=kind == "KeyRefusedError",
                now=datetime.now(UTC) - timedelta(minutes=for_minutes),
            )


def of_connection(found: list[Finding]) -> list[Finding]:
    return [one for one in found if one.check == "connection"]


def test_a_store_that_is_not_connected_is_told_nothing(patient: Patient) -> None:
    assert of_connection(patient.look()) == []


def test_a_shop_that_was_compared_lately_is_well(connected: Patient) -> None:
    (finding,) = of_connection(found := connected.look())
    assert finding.level is Level.OK
    assert "https://shop.example" in finding.message
    assert "only read" not in finding.message
    assert names(found, Level.WRONG) == []
    assert not any(secret in repr(found) for secret in (KEY, CONSUMER_SECRET))


def test_a_key_that_may_only_read_is_a_remark(patient: Patient) -> None:
    connect(patient, can_write=False)
    compared(patient, datetime.now(UTC))
    (finding,) = of_connection(patient.look())
    assert finding.level is Level.OK
    assert "only read" in finding.message


@pytest.mark.parametrize("kind", ["ShopUnreachableError", "MaintenanceError", "BusyError", "AnswerError"])
def test_what_passes_by_itself_is_wrong_only_after_an_hour(connected: Patient, kind: str) -> None:
    fail(connected, kind, for_minutes=30)
    new = the("connection", connected.look())
    assert new.level is Level.WARNING
    assert "for 30 minutes: The shop said something." in new.message
    with connected.shop.context.ledger.write() as connection:
        shops.note_success(connection, connected.shop.store_id)
    fail(connected, kind, for_minutes=90)
    old = the("connection", connected.look())
    assert old.level is Level.WRONG
    assert "spacebridge stores reconcile shop" in (old.mend or "")


def test_a_key_that_is_refused_once_may_be_a_mistake_and_twice_is_to_be_replaced(connected: Patient) -> None:
    fail(connected, "KeyRefusedError", for_minutes=5)
    assert the("connection", connected.look()).level is Level.WARNING
    fail(connected, "KeyRefusedError", for_minutes=1)
    refused = the("connection", connected.look())
    assert refused.level is Level.WRONG
    assert refused.mend == "spacebridge stores connect shop --url https://shop.example"


@pytest.mark.parametrize("kind", ["CertificateError", "RedirectedError", "FirewallError", "NotAShopError"])
def test_what_does_not_pass_by_itself_is_wrong_at_once(connected: Patient, kind: str) -> None:
    fail(connected, kind, for_minutes=1)
    assert the("connection", connected.look()).level is Level.WRONG


def test_a_shop_that_nobody_asks_any_more_is_told(connected: Patient) -> None:
    connected.change(tables.shops, compared_at=hours_ago(1.2), lease_ends_at=None)
    forgotten = the("connection", connected.look())
    assert forgotten.level is Level.WRONG
    assert forgotten.mend == "spacebridge stores reconcile shop"
    connected.change(tables.shops, lease_ends_at=datetime.now(UTC) + timedelta(minutes=4))
    (finding,) = of_connection(connected.look())
    assert finding.level is Level.OK


def test_keys_of_a_shop_that_no_key_decrypts_are_told_with_the_key(patient: Patient) -> None:
    connect(patient, vault=Vault([make_key()]))
    compared(patient, datetime.now(UTC))
    key = the("key", patient.look())
    assert "Secrets of shop were encrypted with another key" in key.message
    assert (key.mend or "").endswith("spacebridge stores connect NAME --url URL")
