"""Two operators who add stores for one Woocommerce object at the same time: one store, and one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from bridge.admin import manage_stores, store_removal
from bridge.admin.manage_stores import NewStore, WoocommerceTakenError
from bridge.db import Ledger, LedgerFaultError
from bridge.issuance import StoreOptions
from bridge.ledger import stores
from bridge.ledger.stores import StoreExistsError
from tests.support.books import NOW, VAULT

ROUNDS = 5


def add_at_once(ledger: Ledger, *names: str, organizations: Sequence[str] = ("o", "o")) -> list[str]:
    """What each of them hears who adds a store of these names at the same time: the kind of error, if any."""
    together = Barrier(len(names))

    def add(name: str, organization: str) -> str:
        new = NewStore(name, organization, "w", "token", "secret", StoreOptions())
        together.wait()
        try:
            with ledger.write() as connection:
                manage_stores.add(connection, VAULT, new, None, who="maja", now=NOW)
        except (WoocommerceTakenError, StoreExistsError) as error:
            return type(error).__name__
        return "added"

    with ThreadPoolExecutor(len(names)) as pool:
        return sorted(pool.map(add, names, organizations))


def remove_all(ledger: Ledger) -> None:
    with ledger.write() as connection:
        for store in stores.every(connection):
            store_removal.remove(connection, store, who="maja", now=NOW)


@pytest.mark.parametrize("organizations", [("o", "o"), ("o", "another")])
def test_of_two_names_one_has_the_object_and_the_other_hears_whose_it_is(
    ledger: Ledger, organizations: Sequence[str]
) -> None:
    for _ in range(ROUNDS):  # from the second on, the store is one that had been removed
        said = add_at_once(ledger, "one", "two", organizations=organizations)
        assert said == ["WoocommerceTakenError", "added"]
        with ledger.read() as connection:
            assert len(stores.every(connection)) == 1
            assert len(stores.every(connection, removed=True)) == 1
        remove_all(ledger)


def test_of_one_name_twice_one_is_added_and_the_other_hears_that_it_is_there(ledger: Ledger) -> None:
    for _ in range(ROUNDS):
        assert add_at_once(ledger, "one", "one") == ["StoreExistsError", "added"]
        remove_all(ledger)


def test_no_second_store_for_an_object_gets_into_the_ledger_by_any_way(ledger: Ledger) -> None:
    add_at_once(ledger, "one")
    with ledger.write() as connection, pytest.raises(StoreExistsError):
        stores.add(
            connection,
            vault=VAULT,
            name="two",
            organization_id="another",
            woocommerce_id="w",
            api_token="token",
            webhook_secret="secret",
            options=StoreOptions(),
            now=NOW,
        )
    with ledger.write() as connection:
        store_removal.remove(connection, stores.get(connection, 1), who="maja", now=NOW)
    add_at_once(ledger, "two")
    with pytest.raises(LedgerFaultError), ledger.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO stores (name, organization_id, woocommerce_id, api_token, webhook_secret, "
            "bank_payment_methods, status_map, created_at) SELECT 'three', organization_id, woocommerce_id, "
            "api_token, webhook_secret, bank_payment_methods, status_map, created_at FROM stores WHERE name "
            "= 'two'"
        )
