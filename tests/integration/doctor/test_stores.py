"""Each store: what keeps its documents back, and what to type or to click."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from bridge.db.tables import deliveries as delivery_table
from bridge.db.tables import issuances as issuance_table
from bridge.db.tables import orders as order_table
from bridge.db.tables import stores as store_table
from bridge.doctor import Level
from bridge.ledger import store_configs
from tests.integration.doctor.patient import (
    NOWHERE,
    ON_SQLITE,
    Patient,
    answering,
    hours_ago,
    names,
    the,
)
from tests.support.misbehaving import MisbehavingServer, Visit
from tests.support.shop import ORGANIZATION, TOKEN, at, forward_issuance


@ON_SQLITE
def test_one_store_of_which_nothing_was_learned_excuses_no_other(patient: Patient) -> None:
    """Two accounts: of the first one that is asked, nothing is learned."""
    patient.add_store("second", patient.new_config())
    vault = patient.shop.context.vault
    patient.change(store_table, api_token=vault.encrypt("geheim"), config=None, config_error="It failed.")
    patient.shop.set_token(TOKEN)
    config = json.dumps([{"id": patient.shop.store().woocommerce_id}])

    def by_token(visit: Visit) -> None:
        is_of_shop = f"Authorization: {TOKEN}".encode() in visit.receive_head().head
        visit.say(f"HTTP/1.1 {200 if is_of_shop else 503} Said\r\nConnection: close\r\n\r\n{config}".encode())

    with MisbehavingServer(answering(404), by_token, by_token) as api:
        found = patient.look(api_url=api.url)
    assert names(found, Level.WRONG) == ["api", "shop config"]
    assert the("config", found, "second").level is Level.WARNING


@ON_SQLITE
def test_a_refused_token_is_to_be_set_anew(patient: Patient) -> None:
    patient.shop.set_token("geheim")
    found = patient.look()
    assert names(found, Level.WRONG) == ["shop token"]
    assert "401" in the("token", found).message
    assert the("token", found).mend == "spacebridge stores set-token shop"


@ON_SQLITE
def test_a_pause_by_a_refused_token_is_told_once_with_what_waits(patient: Patient) -> None:
    patient.shop.set_token("geheim")
    patient.shop.clock.at = datetime.now(UTC) - timedelta(minutes=30)
    forward_issuance(patient.shop.context, patient.shop.paid(2))
    for settings in ({}, {"api_url": NOWHERE}):  # also by what Space Invoices said when it was there
        found = patient.look(**settings)
        assert names(found, Level.WRONG)[-1:] == ["shop pause"]
        pause = the("pause", found)
        assert "Paused for 30 minutes: Space Invoices answered 401" in pause.message
        assert "Documents that wait: 1" in pause.message
        assert pause.mend == "spacebridge stores set-token shop"
        assert "shop token" not in names(found, Level.WRONG)


@ON_SQLITE
def test_a_pause_whose_token_is_accepted_by_now_goes_on_by_itself(patient: Patient) -> None:
    patient.change(
        store_table,
        paused_at=hours_ago(3),
        pause_reason="Space Invoices answered 401",
        next_probe_at=datetime.now(UTC),
    )
    found = patient.look()
    assert "spacebridge stores resume shop" in (the("pause", found).mend or "")
    assert "shop token" in names(found, Level.OK)


@ON_SQLITE
def test_an_operators_pause_is_a_note_with_its_reason(patient: Patient) -> None:
    patient.shop.paid(2)
    patient.change(issuance_table, next_attempt_at=hours_ago(3))
    patient.change(store_table, paused_at=hours_ago(3), pause_reason="stock-taking")
    found = patient.look()
    assert names(found, Level.WRONG) == []
    assert the("pause", found).message.startswith("Paused for 3 hours: stock-taking. Documents that wait: 1")
    assert the("pause", found).mend == "spacebridge stores resume shop"


@ON_SQLITE
def test_a_config_that_is_gone_holds_everything_up(patient: Patient) -> None:
    patient.change(store_table, woocommerce_id="f" * 24)
    found = patient.look()
    assert names(found, Level.WRONG) == ["shop config"]
    assert "f" * 24 in the("config", found).message
    assert (the("config", found).mend or "").startswith("spacebridge stores remove shop")


@ON_SQLITE
def test_an_organization_that_is_not_known_is_to_be_compared(patient: Patient) -> None:
    with MisbehavingServer(answering(404), answering(404)) as api:
        found = patient.look(api_url=api.url)
    assert names(found, Level.WRONG) == ["shop token"]
    assert ORGANIZATION in the("token", found).message
    assert "SPACEBRIDGE_API_URL" in (the("token", found).mend or "")


@ON_SQLITE
def test_an_inactive_config_is_a_note_whether_space_invoices_answers_or_not(patient: Patient) -> None:
    changed = patient.shop.sandbox.test_client().patch(
        f"/v1/Woocommerce/{patient.shop.store().woocommerce_id}",
        json={"active": False},
        headers={"Authorization": TOKEN},
    )
    assert changed.status_code == 200
    asked = the("config", patient.look())
    patient.change(store_table, config={"active": False})
    remembered = the("config", patient.look(api_url=NOWHERE))
    assert asked == remembered
    assert asked.level is Level.WARNING
    assert patient.shop.store().woocommerce_id in (asked.mend or "")


@ON_SQLITE
def test_a_config_that_was_never_fetched_is_to_be_fetched(patient: Patient) -> None:
    patient.change(store_table, config=None, config_error="Space Invoices answered 503.")
    found = patient.look()
    assert names(found, Level.WRONG) == ["shop config"]
    assert "503" in the("config", found).message
    assert the("config", found).mend == "spacebridge stores sync shop"


@ON_SQLITE
def test_a_shop_that_never_came_is_a_note_on_its_webhooks(patient: Patient) -> None:
    patient.add_store("second", patient.new_config())
    found = patient.look()
    assert names(found, Level.WARNING) == ["second deliveries"]
    note = the("deliveries", found)
    assert note.message == "No delivery ever came; no ping ever came."
    assert "/webhooks/second" in (note.mend or "")


@pytest.mark.parametrize(
    ("state", "mend"),
    [("held", "spacebridge issuances mark-issued ID"), ("failed", "spacebridge issuances resend ID")],
)
def test_issuances_that_wait_for_an_operator_are_counted(patient: Patient, state: str, mend: str) -> None:
    patient.change(issuance_table, state=state)
    found = patient.look()
    assert names(found, Level.WRONG) == ["shop issuances"]
    mended = the("issuances", found).mend or ""
    assert mended.startswith(f"spacebridge issuances list --store shop --state {state}")
    assert mend in mended


def test_what_is_due_for_long_is_told_if_nothing_else_explains_it(patient: Patient) -> None:
    for number in (2, 3):
        patient.shop.paid(number)
    patient.change(issuance_table, next_attempt_at=hours_ago(3))
    found = patient.look()
    assert names(found, Level.WRONG) == ["shop issuances"]
    assert the("issuances", found).message == "Documents that are due: 2, the oldest for 3 hours."
    patient.change(issuance_table, next_attempt_at=datetime.now(UTC) + timedelta(minutes=50))
    assert names(patient.look(), Level.WRONG) == []


def test_deliveries_that_could_not_be_processed_are_to_be_replayed(patient: Patient) -> None:
    patient.change(delivery_table, state="failed")
    found = patient.look()
    assert names(found, Level.WRONG) == ["shop deliveries"]
    assert "spacebridge deliveries replay ID" in (the("deliveries", found).mend or "")


@pytest.mark.parametrize(
    ("state", "ways_out"),
    [
        (
            "quarantined",
            ["spacebridge stores set shop shop_urls=OLD,NEW", "spacebridge deliveries ignore ID"],
        ),
        (
            "unreadable",
            ["save it there", "spacebridge deliveries replay ID", "spacebridge deliveries ignore ID"],
        ),
    ],
)
def test_deliveries_that_are_kept_for_a_person_are_told_with_the_ways_out(
    patient: Patient, state: str, ways_out: Sequence[str]
) -> None:
    patient.change(delivery_table, state=state)
    found = patient.look()
    assert names(found, Level.WRONG) == ["shop deliveries"]
    mend = the("deliveries", found).mend or ""
    assert mend.startswith(f"spacebridge deliveries list --store shop --state {state}; ")
    assert [one for one in ways_out if one not in mend] == []


def test_refused_deliveries_after_which_no_good_one_came_are_told(patient: Patient) -> None:
    patient.change(store_table, refused_deliveries=3, last_refused_at=hours_ago(5))
    assert names(patient.look(), Level.WRONG) == []  # a good one has come since
    patient.change(delivery_table, last_received_at=hours_ago(6))
    found = patient.look()
    assert names(found, Level.WRONG) == ["shop deliveries"]
    assert "3 so far, the last 5 hours ago" in the("deliveries", found).message
    assert "spacebridge stores rotate-secret shop" in (the("deliveries", found).mend or "")
    patient.change(store_table, last_refused_at=hours_ago(25))
    patient.change(delivery_table, last_received_at=hours_ago(26))
    assert names(patient.look(), Level.WRONG) == []  # whoever it was, they have stopped


@pytest.mark.parametrize(
    ("rule", "is_paid", "hours", "level", "mend"),
    [
        ("pending", False, 49, Level.WARNING, "issue_pending=true"),
        ("pending", True, 2, Level.WRONG, "issue_pending=true"),
        ("unknown_status", False, 49, Level.WRONG, "status_map=CUSTOM:STANDARD"),
    ],
)
def test_orders_that_wait_for_too_long_are_told_with_what_to_type(
    patient: Patient, rule: str, is_paid: bool, hours: int, level: Level, mend: str
) -> None:
    since = hours_ago(hours)
    patient.change(order_table, decision="wait", rule=rule, rule_since=since, has_date_paid=is_paid)
    found = the("orders", patient.look())
    assert found.level is level
    assert ": 1, the first for " in found.message
    assert (found.mend or "").startswith(f"spacebridge orders list --store shop --rule {rule}; ")
    assert f"spacebridge stores set shop {mend}" in (found.mend or "")
    patient.change(order_table, rule_since=datetime.now(UTC) - timedelta(minutes=50))
    assert [one for one in patient.look() if one.check == "orders"] == []


def test_orders_for_attention_are_a_note(patient: Patient) -> None:
    patient.change(order_table, decision="attention", rule="refunded_after_invoice", rule_since=hours_ago(3))
    found = the("orders", patient.look())
    assert (found.level, found.message) == (
        Level.WARNING,
        "Orders that need a person: 1, the last since 3 hours ago.",
    )
    assert (found.mend or "").startswith("spacebridge orders list --store shop --decision attention")


def test_orders_that_come_in_for_an_inactive_store_are_told(patient: Patient) -> None:
    inactive = {**patient.new_config(), "active": False}
    with patient.shop.context.ledger.write() as connection:
        store_configs.save(connection, patient.shop.store(), inactive, hours_ago(3))
    found = the("config", patient.look(api_url=NOWHERE))
    assert found.level is Level.WARNING
    patient.shop.process(patient.shop.receive(at(1, status="processing", id=2, order_key="wc_order_2")))
    found = the("config", patient.look(api_url=NOWHERE))
    assert found.level is Level.WRONG
    assert "inactive in Space Invoices for 3 hours" in found.message
    assert "nothing is issued: 1, the last" in found.message
    assert "spacebridge stores remove shop" in (found.mend or "")


@ON_SQLITE
def test_a_config_that_is_missing_from_one_answer_is_told_as_what_it_is(patient: Patient) -> None:
    patient.change(store_table, woocommerce_id="f" * 24, config_missing_since=hours_ago(1 / 30))
    message = the("config", patient.look()).message
    assert "when a second look, minutes later, confirms this" in message
    assert "The bridge first saw this 2 minutes ago." in message
    patient.change(store_table, config={"_isDeleted": True})
    assert the("config", patient.look()).message.endswith("(any more): nothing is forwarded.")


def test_a_document_that_is_only_tried_again_is_a_note_and_one_that_is_deferred_is_not(
    patient: Patient,
) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=4)
    patient.change(issuance_table, state="due", due_since=hours_ago(3), attempts=4, next_attempt_at=soon)
    found = the("issuances", patient.look())
    assert found.level is Level.WARNING
    assert found.message == (
        "Documents that are due: 1, the oldest for 3 hours. They are tried again by themselves."
    )
    patient.change(issuance_table, attempts=0)
    assert the("issuances", patient.look()).level is Level.WRONG


@ON_SQLITE
def test_all_stores_of_an_account_are_asked_about_in_one_request(patient: Patient) -> None:
    for number in range(40):
        patient.add_store(f"shop-{number:02}", patient.new_config())
    before = patient.shop.requests()
    found = patient.look()
    assert patient.shop.requests() - before == 1
    assert names(found, Level.WRONG) == []
    about = [one.store for one in found if one.store]
    assert about == sorted(about)  # each store's are together
    patient.add_store("shop-gone", {"id": "f" * 24})  # not listed, so asked for by itself
    before = patient.shop.requests()
    assert names(patient.look(), Level.WRONG) == ["shop-gone config"]
    assert patient.shop.requests() - before == 2


@ON_SQLITE
def test_an_api_that_lists_nothing_by_several_ids_is_asked_for_each(patient: Patient) -> None:
    patient.add_store("second", patient.new_config())
    with MisbehavingServer(*map(answering, (404, 400, 401, 401))) as api:
        found = patient.look(api_url=api.url)
    assert names(found, Level.WRONG) == ["second token", "shop token"]
    assert "401" in the("token", found, "second").message
