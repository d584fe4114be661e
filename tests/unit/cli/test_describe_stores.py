"""The state of a store, described in sentences."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.cli.stores import describe
from bridge.ledger.store import Store
from tests.support.connected import shop_of
from tests.support.stored import NOW, STORE

PAUSED = replace(STORE, paused_at=NOW - timedelta(minutes=3), pause_reason="paused by anna@host: stock count")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "just now"),
        (0.9, "just now"),
        (1, "1 second ago"),
        (59, "59 seconds ago"),
        (60, "1 minute ago"),
        (7199, "1 hour ago"),
        (7200, "2 hours ago"),
        (86_400, "1 day ago"),
        (86_400 * 400, "400 days ago"),
        (-0.5, "just now"),
        (-90, "in 1 minute"),
        (-86_400 * 2, "in 2 days"),
    ],
)
def test_how_far_away_a_moment_is(seconds: float, said: str) -> None:
    assert describe.distance(NOW - timedelta(seconds=seconds), NOW) == said


def test_a_moment_that_has_not_come_is_never() -> None:
    assert describe.when(None, NOW) == "never"
    assert describe.when(NOW - timedelta(hours=1), NOW) == "2026-11-23 02:00:00+00:00, 1 hour ago"


@pytest.mark.parametrize(
    ("store", "said"),
    [
        (STORE, "is active."),
        (replace(STORE, config=None), "is new: its config has not been fetched yet, and its orders wait."),
        (replace(STORE, config=None, config_error="It answered 401."), "It answered 401."),
        (replace(STORE, config={"active": False}), "Activate it there"),
        (replace(STORE, config={"_isDeleted": True}), "is not in Space Invoices any more"),
        (replace(STORE, removed_at=NOW), "was removed, 2026-11-23 03:00:00+00:00, just now"),
        (
            PAUSED,
            "3 minutes ago: paused by anna@host: stock count. `spacebridge stores resume shop` has it go on.",
        ),
        (replace(PAUSED, next_probe_at=NOW + timedelta(seconds=12)), "It is tried again in 12 seconds."),
        (replace(PAUSED, next_probe_at=NOW), "It is tried again with the next order that is due."),
        (replace(PAUSED, config={"active": False}), "is paused since"),
    ],
)
def test_the_state_of_a_store_says_why_and_what_to_do(store: Store, said: str) -> None:
    assert said in describe.state(store, NOW)


@pytest.mark.parametrize(
    ("for_bank_payment", "on_complete", "bank", "invoices"),
    [
        (
            False,
            False,
            "gets an estimate when",
            "received, and for a bank payment, as soon as that is there.",
        ),
        (True, False, "gets an invoice when", "as soon as its order is received."),
        (False, True, "gets an estimate when", "when its order is completed"),
        (True, True, "gets no estimate", "when its order is completed"),
    ],
)
def test_the_two_flags_are_told_as_they_decide(
    for_bank_payment: bool, on_complete: bool, bank: str, invoices: str
) -> None:
    told = describe.config(
        {"issueInvoiceForBankPayment": for_bank_payment, "issueInvoiceOnComplete": on_complete}
    )
    assert bank in told[0]
    assert invoices in told[1]


@pytest.mark.parametrize(
    ("invoices", "estimates", "said"),
    [
        (True, True, "sends invoices and estimates to"),
        (True, False, "sends invoices to"),
        (False, True, "sends estimates to"),
        (None, None, "sends neither invoices nor estimates to"),
    ],
)
def test_what_is_mailed_is_told(invoices: bool | None, estimates: bool | None, said: str) -> None:
    config = {"sendInvoiceAutomatically": invoices, "sendEstimateAutomatically": estimates}
    assert said in describe.config(config)[2]


def test_an_object_that_is_not_listed_is_told_until_that_is_believed() -> None:
    assert describe.not_listed(STORE, NOW) is None
    missing = replace(STORE, config_missing_since=NOW - timedelta(minutes=2))
    assert "first said 2 minutes ago" in (describe.not_listed(missing, NOW) or "")
    assert "does not list" in describe.state(replace(missing, config=None), NOW)
    assert describe.state(missing, NOW) == "is active."
    gone = replace(missing, config={"_isDeleted": True})
    assert describe.not_listed(gone, NOW) is None
    assert "not in Space Invoices any more" in describe.state(gone, NOW)


def test_a_rotation_is_told_as_far_as_it_has_come() -> None:
    begun = replace(STORE, encrypted_previous_secrets=["c"])
    assert describe.webhook_secret(STORE, NOW) is None
    assert "no delivery has been signed with it yet" in (describe.webhook_secret(begun, NOW) or "")
    seen = replace(begun, webhook_secret_seen_at=NOW - timedelta(hours=1))
    told = describe.webhook_secret(seen, NOW) or ""
    assert "first seen 1 hour ago" in told
    assert "good until 2026-11-24 02:00:00+00:00, in 23 hours" in told
    over = replace(begun, webhook_secret_seen_at=NOW - timedelta(days=1))
    assert describe.webhook_secret(over, NOW) is None


def test_a_store_tells_no_secret_of_its_own_accord() -> None:
    assert "encrypted" not in repr(STORE)


def test_a_connection_is_described_with_what_its_key_may_and_why_it_fails() -> None:
    shop = shop_of(NOW - timedelta(days=2))
    well = " ".join(describe.connection(shop, NOW))
    assert well.startswith("https://shop.example, connected 2026-11-21 03:00:00+00:00, 2 days ago")
    assert "may read and write. It logs in by basic. Compared with the ledger: never" in well
    failing = replace(shop, can_write=False, error="It is away.", failing_since=NOW - timedelta(hours=1))
    ill = " ".join(describe.connection(failing, NOW))
    assert "may read, and not write: webhooks are not mended" in ill
    assert ill.endswith("It cannot be asked, since 2026-11-23 02:00:00+00:00, 1 hour ago: It is away.")
