"""Stores: found by their names, stopped and started, and fetched and probed by one worker at a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

import pytest
from sqlalchemy.exc import NoResultFound

from bridge.db import LedgerFaultError, tables
from bridge.issuance import StoreOptions
from bridge.ledger import store_configs, store_pauses, stores
from bridge.ledger.stores import Store, StoreExistsError
from bridge.vault import Vault, WrongKeyError
from bridge.vault.encryption import make_key
from tests.support.books import LATER, NOW, SECRET, TOKEN, VAULT, Books, add_store
from tests.support.crowds import Other, at_once

CONFIG = {
    "id": "64b7e0c0a1b2c3d4e5f60719",
    "name": "Trgovina “Čaj” 🫖",
    "active": True,
    "custom": {"numbers": [0, -1, 2**60, 0.1, 1e-9, 1.0], "nothing": None, "odd": "\x00\ud800", "": {}},
    "issueInvoiceOnComplete": False,
}


def test_a_store_is_found_by_its_name_as_it_was_added(books: Books) -> None:
    options = StoreOptions(
        issue_pending=True,
        bank_payment_methods=frozenset({"bacs", "čekovi"}),
        status_map={"wc-packed": "processing"},
    )
    store_id = books.write(add_store, "second", options=options)
    found = books.read(stores.find, "second")
    assert found is not None
    assert (found.id, found.name, found.options) == (store_id, "second", options)
    assert (found.config, found.decision_config, found.paused_at, found.failures) == (None, None, None, 0)
    assert books.store(store_id) == found
    assert books.read(stores.find, "SECOND") is None
    assert books.read(stores.find, "third") is None
    with pytest.raises(NoResultFound):
        books.store(99)


def test_stores_are_listed_by_name(books: Books) -> None:
    for name in ("b", "a", "z"):
        books.write(add_store, name)
    assert [one.name for one in books.read(stores.every)] == ["a", "b", "shop", "z"]


def test_secrets_are_kept_encrypted_and_are_in_nothing_that_is_printed(books: Books) -> None:
    found = books.store()
    row = books.row(tables.stores, books.store_id)
    assert (found.api_token(VAULT), found.webhook_secret(VAULT)) == (TOKEN, SECRET)
    assert TOKEN not in str(row)
    assert SECRET not in str(row)
    for secret in (TOKEN, SECRET, row["api_token"], row["webhook_secret"]):
        assert secret not in repr(found)
        assert secret not in str(found)
    with pytest.raises(WrongKeyError):
        found.api_token(Vault([make_key()]))


def test_a_name_that_is_taken_is_refused_and_the_transaction_goes_on(books: Books) -> None:
    with books.ledger.write() as connection:
        before = add_store(connection, "before")
        with pytest.raises(StoreExistsError, match="shop") as refused:
            add_store(connection)
        after = add_store(connection, "after")
    assert TOKEN not in str(refused.value)
    assert [one.id for one in books.read(stores.every)] == [after, before, books.store_id]


def test_of_many_who_add_a_store_of_the_same_name_one_does(books: Books) -> None:
    def add(_: int) -> bool:
        try:
            books.write(add_store, "new")
        except StoreExistsError:
            return False
        return True

    assert sorted(at_once(8, add)) == [False] * 7 + [True]
    assert [one.name for one in books.read(stores.every)] == ["new", "shop"]


def test_who_adds_a_store_that_another_is_just_adding_waits_for_it(books: Books) -> None:
    with books.ledger.write() as connection:
        add_store(connection, "new")
        other = Other(lambda: books.write(add_store, "new"))
        other.wait_until_it_waits(books.ledger)
    with pytest.raises(StoreExistsError):
        other.result()


def test_what_else_is_wrong_with_a_store_is_not_taken_for_a_name_that_exists(books: Books) -> None:
    nothing: str = None  # type: ignore[assignment]
    with pytest.raises(LedgerFaultError):
        books.write(add_store, nothing)


def test_a_config_comes_back_as_it_was_fetched(books: Books) -> None:
    books.write(store_configs.save, books.store(), CONFIG, NOW)
    found = books.store()
    assert found.config == CONFIG
    assert (found.config_fetched_at, found.config_tried_at, found.config_error) == (NOW, NOW, None)


def test_one_of_many_fetches_a_config(books: Books) -> None:
    for moment in (NOW, LATER):  # never fetched before, and fetched before
        claims = at_once(8, partial(_claim_fetch, books, books.store(), moment))
        assert sorted(claims) == [False] * 7 + [True]
        assert books.store().config_tried_at == moment


def _claim_fetch(books: Books, store: Store, moment: datetime, _: int) -> bool:
    return books.write(store_configs.start_fetch, store, moment)


def test_a_config_that_could_not_be_fetched_leaves_the_one_before(books: Books) -> None:
    books.write(store_configs.save, books.store(), CONFIG, NOW)
    assert books.write(store_configs.start_fetch, books.store(), LATER)
    books.write(store_configs.save_error, books.store_id, "Space Invoices answered 503")
    found = books.store()
    assert (found.config, found.config_fetched_at, found.config_tried_at) == (CONFIG, NOW, LATER)
    assert found.config_error == "Space Invoices answered 503"
    assert books.write(store_configs.start_fetch, found, LATER + timedelta(seconds=15))
    assert books.store().config_error is None


def test_configs_that_were_not_asked_for_of_late_are_found(books: Books) -> None:
    with books.ledger.write() as connection:
        old, recent = add_store(connection, "old"), add_store(connection, "recent")
    for store_id, moment in ((old, NOW), (recent, NOW + timedelta(microseconds=1))):
        books.write(store_configs.save, books.store(store_id), CONFIG, moment)
    assert sorted(books.read(store_configs.stale, tried_before=NOW, limit=9)) == [books.store_id, old]
    assert len(books.read(store_configs.stale, tried_before=NOW, limit=1)) == 1


def test_open_orders_are_decided_anew_when_a_config_decides_otherwise_and_only_then(books: Books) -> None:
    versions = []
    for config in (CONFIG, CONFIG | {"name": "x"}, CONFIG | {"active": False}, CONFIG | {"active": False}):
        books.write(store_configs.save, books.store(), config, NOW)
        versions.append(books.store().decision_version)
    assert versions == [2, 2, 3, 3]
    (found,) = books.read(stores.to_redecide)
    assert (found.id, found.deciding_anew_since) == (books.store_id, NOW)
    books.write(stores.finish_redeciding, found)
    assert books.read(stores.to_redecide) == []


def test_deciding_anew_goes_on_if_the_rules_changed_again_meanwhile(books: Books) -> None:
    books.write(store_configs.save, books.store(), CONFIG, NOW)
    before = books.store()
    books.write(store_configs.save, before, CONFIG | {"active": False}, LATER)
    books.write(stores.finish_redeciding, before)
    assert [one.deciding_anew_since for one in books.read(stores.to_redecide)] == [LATER]


def test_a_pause_keeps_its_first_moment_and_its_last_reason(books: Books) -> None:
    books.write(store_pauses.pause, books.store_id, reason="first", now=NOW, next_probe_at=NOW)
    books.write(store_pauses.pause, books.store_id, reason="second", now=LATER, next_probe_at=None)
    found = books.store()
    assert (found.paused_at, found.pause_reason, found.next_probe_at) == (NOW, "second", None)


def test_a_store_that_goes_on_is_as_if_it_had_never_been_paused(books: Books) -> None:
    before = books.row(tables.stores, books.store_id)
    books.write(store_pauses.count_failure, books.store_id)
    books.write(store_pauses.pause, books.store_id, reason="why", now=NOW, next_probe_at=LATER)
    books.write(store_pauses.resume, books.store_id, LATER, by_operator=True)
    assert books.row(tables.stores, books.store_id) == {**before, "resumed_at": LATER}


def test_failures_counted_by_many_at_once_are_all_counted(books: Books) -> None:
    counted = at_once(
        8, lambda _: [books.write(store_pauses.count_failure, books.store_id) for _ in range(5)]
    )
    assert sorted(number for of_one in counted for number in of_one) == list(range(1, 41))
    assert books.store().failures == 40


def test_one_of_many_makes_the_probe_that_is_due(books: Books) -> None:
    books.write(store_pauses.pause, books.store_id, reason="why", now=NOW, next_probe_at=NOW)
    store = books.store()
    claims = at_once(8, lambda _: books.write(store_pauses.claim_probe, store, LATER))
    assert sorted(claims) == [False] * 7 + [True]
    assert books.store().next_probe_at == LATER


def test_a_probe_is_not_made_of_a_store_that_was_paused_by_an_operator_meanwhile(books: Books) -> None:
    books.write(store_pauses.pause, books.store_id, reason="503", now=NOW, next_probe_at=NOW)
    store = books.store()
    books.write(store_pauses.pause, books.store_id, reason="maja", now=NOW, next_probe_at=None)
    assert not books.write(store_pauses.claim_probe, store, LATER)
    books.write(store_pauses.leave_probe, books.store_id, NOW)
    assert books.store().next_probe_at is None


def test_a_probe_that_had_nothing_to_send_may_be_made_again_at_once(books: Books) -> None:
    books.write(store_pauses.pause, books.store_id, reason="503", now=NOW, next_probe_at=NOW)
    assert books.write(store_pauses.claim_probe, books.store(), LATER)
    books.write(store_pauses.leave_probe, books.store_id, NOW)
    assert books.store().next_probe_at == NOW


def test_a_ping_is_kept_and_is_no_other_stores(books: Books) -> None:
    other = books.write(add_store, "other")
    books.write(stores.record_ping, other, NOW)
    assert (books.store(other).last_ping_at, books.store().last_ping_at) == (NOW, None)


@pytest.mark.parametrize(
    ("seconds", "is_written"), [(0, False), (29, False), (-29, False), (30, True), (-30, True), (-3600, True)]
)
def test_a_ping_is_known_for_thirty_seconds_whatever_the_clock_does(
    books: Books, seconds: int, is_written: bool
) -> None:
    assert not stores.is_ping_known(books.store(), NOW)
    books.write(stores.record_ping, books.store_id, NOW)
    assert stores.is_ping_known(books.store(), NOW + timedelta(seconds=seconds)) is not is_written


def test_what_an_operator_has_paused_neither_a_failure_nor_a_success_sets_going(books: Books) -> None:
    books.write(store_pauses.pause, books.store_id, reason="by hand", now=NOW, next_probe_at=None)
    before = books.row(tables.stores, books.store_id)
    books.write(store_pauses.pause, books.store_id, reason="503", now=LATER, next_probe_at=LATER)
    books.write(store_pauses.resume, books.store_id, LATER, by_operator=False)
    assert books.row(tables.stores, books.store_id) == before
