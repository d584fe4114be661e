"""Actions: what operators did is kept with what it did, and told with the order it was about."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Connection

from bridge.db import LedgerFaultError, tables
from bridge.ledger import actions, issuances
from bridge.ledger.actions import Action
from bridge.ledger.issuances import Issuance
from tests.support.books import NOW, Books, add_due, add_store, delivery_of, insert_delivery


def test_actions_are_told_with_the_order_they_were_about_from_the_oldest(books: Books) -> None:
    other = books.write(add_store, "other")
    issuance = books.due(5)
    with books.ledger.write() as connection:
        of_another_order = add_due(connection, books.store_id, 6)
        of_another_store = add_due(connection, other, 5)
    delivery = books.deliver(b"5", resource_id=5).delivery_id
    elsewhere = books.write(insert_delivery, **delivery_of(other, b"5", resource_id=5)).delivery_id
    resent = Action(NOW, "maja (čez noč)", "resend", "due now", None, issuance.id)
    expected = [
        resent,
        replace(resent, verb="replay", delivery_id=delivery, issuance_id=None),
        replace(resent, verb="withdraw", at=NOW - timedelta(hours=1)),  # by a clock that was set back
    ]
    for action in (
        *expected[:2],
        replace(resent, issuance_id=of_another_order.id),
        replace(resent, issuance_id=of_another_store.id),
        replace(resent, issuance_id=None, delivery_id=elsewhere),
        expected[2],
    ):
        books.write(actions.record, action)
    assert books.read(actions.of_resource, books.store_id, 5) == expected
    assert books.read(actions.of_resource, books.store_id, 7) == []


def test_an_action_is_there_only_with_what_it_did(books: Books) -> None:
    issuance = books.due()
    action = Action(NOW, "maja", "withdraw", "withdrawn", None, issuance.id)
    with pytest.raises(ZeroDivisionError):
        books.write(_withdraw_and_fail, issuance, action)
    assert books.issuance(issuance.id).state == "due"
    assert books.count(tables.actions) == 0


def test_an_action_is_about_something_that_is_there(books: Books) -> None:
    with pytest.raises(LedgerFaultError):
        books.write(actions.record, Action(NOW, "maja", "resend", "due now", None, 99))


def _withdraw_and_fail(connection: Connection, issuance: Issuance, action: Action) -> None:
    assert issuances.withdraw_for_good(connection, issuance.id, NOW, who=action.who)
    actions.record(connection, action)
    raise ZeroDivisionError
