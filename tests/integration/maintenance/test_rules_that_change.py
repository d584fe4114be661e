"""Open orders are decided again when the rules of their store have changed, and keep theirs at an upgrade."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import func, select, update

from bridge.db import Ledger, tables
from bridge.issuance import StoreOptions
from bridge.ledger import deliveries, orders, store_configs, stores
from bridge.maintenance.redecide import BATCH, REDECIDE_FOR, redecide
from bridge.pipeline.process import process_deliveries
from bridge.telemetry.counts import REGISTRY
from bridge.vault.encryption import Vault, make_key
from tests.integration.db.test_migrations_of_a_full_ledger import SCRIPTS
from tests.support.shop import Shop, at, record


def set_options(shop: Shop, store_id: int | None = None, **changes: Any) -> None:
    with shop.context.ledger.write() as connection:
        store = stores.get(connection, store_id or shop.store_id)
        stores.set_options(connection, store, replace(store.options, **changes), shop.clock.now())


def received(shop: Shop, *numbers: int, store_id: int | None = None, **fields: Any) -> None:
    """Orders of these numbers, on hold if nothing else is said, received and processed together."""
    with shop.context.ledger.write() as connection:
        ids = [
            record(
                connection,
                store_id or shop.store_id,
                {**at(1, **{"status": "on-hold", **fields}), "id": one, "order_key": f"k{one}"},
                "order.updated",
                now=shop.clock.now(),
            )
            for one in numbers
        ]
    process_deliveries(shop.context, ids)


def decisions(shop: Shop, store_id: int | None = None) -> Mapping[str, int]:
    """How many orders of a store stand how."""
    query = select(tables.orders.c.decision, func.count()).group_by(tables.orders.c.decision)
    query = query.where(tables.orders.c.store_id == (store_id or shop.store_id))
    with shop.context.ledger.read() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}


def second_store(shop: Shop) -> int:
    vault = Vault([make_key()])
    with shop.context.ledger.write() as connection:
        store_id = stores.add(
            connection,
            vault=vault,
            name="second",
            organization_id="o",
            woocommerce_id="w2",
            api_token="t",
            webhook_secret="s",
            options=StoreOptions(),
            now=shop.clock.now(),
        )
        store_configs.save(connection, stores.get(connection, store_id), {"id": "w2"}, shop.clock.now())
    return store_id


def finished(shop: Shop) -> bool:
    """Decide again until nothing is left of it; whether that ended."""
    return not all(redecide(shop.context).has_more for _ in range(20))


def test_open_orders_are_decided_again_by_new_rules(shop: Shop) -> None:
    received(shop, 1, 2, 3)
    assert decisions(shop) == {"invoice": 3}
    set_options(shop, unpaid_on_hold="wait")
    assert finished(shop)
    assert decisions(shop) == {"wait": 3}
    with shop.context.ledger.read() as connection:
        assert [one.state for one in shop_issuances(shop)] == ["withdrawn"] * 3
        assert orders.to_redecide(connection, shop.store_id, shop.store().decision_version, limit=9) == []


def shop_issuances(shop: Shop) -> list[Any]:
    with shop.context.ledger.read() as connection:
        return list(connection.execute(select(tables.issuances)))


def test_orders_of_several_batches_are_all_decided_again(shop: Shop) -> None:
    received(shop, *range(1, 2 * BATCH + 4))
    set_options(shop, unpaid_on_hold="wait")
    assert finished(shop)
    assert decisions(shop) == {"wait": 2 * BATCH + 3}


def test_the_rules_are_settled_when_no_order_can_have_missed_them(shop: Shop) -> None:
    """Who has read the old rules may still be deciding by them, for as long as a transaction may last."""
    received(shop, 1)
    set_options(shop, unpaid_on_hold="wait")
    assert finished(shop)
    shop.clock.advance(seconds=REDECIDE_FOR.total_seconds())
    assert finished(shop)
    assert shop.store().deciding_anew_since is not None
    with shop.context.ledger.write() as connection:
        connection.execute(update(tables.orders).values(decided_version=0, decision="invoice"))
    shop.clock.advance(seconds=1)
    assert finished(shop)
    assert decisions(shop) == {"wait": 1}
    assert shop.store().deciding_anew_since is None


def test_settled_orders_stay_settled(shop: Shop) -> None:
    received(shop, 1)
    with shop.context.ledger.write() as connection:
        connection.execute(
            update(tables.issuances).values(state="issued", total="126.98", currency="EUR", content=None)
        )
        connection.execute(update(tables.orders).values(decision="done"))
    before = shop.order()
    set_options(shop, unpaid_on_hold="wait")
    assert finished(shop)
    assert shop.order() == before


def test_a_rule_on_metadata_has_the_orders_read_again(shop: Shop) -> None:
    meta = [{"id": 1, "key": "_wcpdf_invoice_number", "value": "2026-7"}]
    received(shop, 1, meta_data=meta, status="processing")
    assert shop.order().decision == "invoice"
    set_options(shop, invoiced_meta=frozenset({"_wcpdf_invoice_number"}))
    redecide(shop.context)
    assert (shop.order().decision, shop.order().reason) == (
        "skip",
        "Another plugin has invoiced the order: _wcpdf_invoice_number is 2026-7.",
    )
    set_options(shop, invoiced_meta=frozenset())
    redecide(shop.context)
    assert shop.order().decision == "invoice"


def test_an_order_whose_body_is_erased_is_decided_by_what_was_kept_of_it(shop: Shop) -> None:
    received(shop, 1)
    with shop.context.ledger.write() as connection:
        connection.execute(update(tables.deliveries).values(body=b""))
    set_options(shop, unpaid_on_hold="wait")
    redecide(shop.context)
    assert shop.order().decision == "wait"


def decided_so_far() -> float:
    """How many decisions this process has counted."""
    samples = [one for metric in REGISTRY.collect() for one in metric.samples]
    return sum(one.value for one in samples if one.name == "spacebridge_decisions_total")


def test_two_that_decide_again_at_once_decide_each_order_once(shop: Shop) -> None:
    """As where a worker leads that does not know yet that another does."""
    received(shop, *range(1, 2 * BATCH + 4))
    set_options(shop, unpaid_on_hold="wait")
    before = decided_so_far()
    with ThreadPoolExecutor() as pool:
        list(pool.map(redecide, [shop.context, replace(shop.context)]))
    assert finished(shop)
    assert decisions(shop) == {"wait": 2 * BATCH + 3}
    assert {one.state for one in shop_issuances(shop)} == {"withdrawn"}
    assert decided_so_far() - before == 2 * BATCH + 3


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_store_of_many_orders_keeps_no_other_waiting(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """One batch of each store, in turn, and others have theirs when the time is up."""
    second = second_store(shop)
    received(shop, *range(1, 3 * BATCH + 1))
    received(shop, 1, 2, store_id=second)
    for one in (shop.store_id, second):
        set_options(shop, one, unpaid_on_hold="wait")
    moments = iter([0.0, 1.0, 9.0, 10.0, 99.0])
    clock = SimpleNamespace(monotonic=lambda: next(moments))
    monkeypatch.setattr("bridge.maintenance.redecide.time", clock)
    assert redecide(shop.context).has_more
    assert decisions(shop, second) == {"wait": 2}
    assert decisions(shop) == {"wait": 2 * BATCH, "invoice": BATCH}
    assert redecide(shop.context).has_more  # its time is up at once, and it gets on all the same
    assert decisions(shop) == {"wait": 3 * BATCH}
    monkeypatch.undo()
    assert finished(shop)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_order_that_cannot_be_decided_keeps_no_other_from_it(shop: Shop) -> None:
    received(shop, 1, 2, 3)
    with shop.context.ledger.write() as connection:
        (broken,) = orders.of_resource(connection, shop.store_id, 2)
        connection.execute(
            update(tables.orders).where(tables.orders.c.id == broken.id).values(details="{no JSON")
        )
    set_options(shop, unpaid_on_hold="wait")
    assert finished(shop)
    assert decisions(shop) == {"wait": 2, "invoice": 1}
    assert shop.store().deciding_anew_since is not None
    with shop.context.ledger.write() as connection:
        connection.execute(update(tables.orders).where(tables.orders.c.id == broken.id).values(details=None))
    redecide(shop.context)
    assert decisions(shop) == {"wait": 3}


# The upgrade.


def upgraded_from_0004(ledger: Ledger) -> None:
    """What the version before has written, by this one: the columns that it did not know are empty."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    with ledger.write() as connection:
        database = connection.engine
    with database.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0004")
        connection.commit()
    ledger.upgrade()


OLD: dict[str, Any] = {"date_created_gmt": "2019-05-01T08:00:00", "date_created": "2019-05-01T10:00:00"}


@pytest.fixture
def before(shop: Shop) -> Shop:
    """A shop of which an order of 2019 is pending, a part of another waits, and one was trashed."""
    received(shop, 1, status="pending", **OLD)
    received(shop, 2, status="pending", parent_id=1)
    received(shop, 3, status="pending")
    shop.process(shop.receive({"id": 3}, "order.deleted"))
    upgraded_from_0004(shop.context.ledger)
    return shop


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestAnUpgrade:
    def test_a_store_issues_for_orders_from_when_it_was_added(self, before: Shop) -> None:
        assert before.store().options == StoreOptions(issue_from=before.store().created_at)

    @pytest.mark.parametrize(("number", "fields"), [(1, OLD), (2, {"parent_id": 1})])
    def test_orders_that_are_known_keep_their_road(
        self, before: Shop, number: int, fields: dict[str, Any]
    ) -> None:
        body = {**at(5, status="processing", **fields), "id": number, "order_key": f"k{number}"}
        assert len(before.process(before.receive(body))) == 1

    @pytest.mark.parametrize(("fields", "decision"), [(OLD, "skip"), ({"parent_id": 1}, "attention")])
    def test_orders_that_are_new_do_not(self, before: Shop, fields: dict[str, Any], decision: str) -> None:
        later = {"date_created_gmt": "2026-11-23T12:30:00", "date_created": "2026-11-23T13:30:00"}
        body = {**at(5, status="processing", **{**later, **fields}), "id": 4, "order_key": "k4"}
        assert before.process(before.receive(body)) == []
        with before.context.ledger.read() as connection:
            (order,) = orders.of_resource(connection, before.store_id, 4)
        assert order.decision == decision

    def test_an_order_that_was_trashed_is_trashed_until_it_is_restored(self, before: Shop) -> None:
        body = {**at(1, status="processing", total="2.00"), "id": 3, "order_key": "k3"}
        before.process(before.receive(body))
        with before.context.ledger.read() as connection:
            (order,) = orders.of_resource(connection, before.store_id, 3)
        assert order.deleted_at is not None
        later = at(9)["date_modified_gmt"]
        assert len(before.process(before.receive({**body, "date_modified_gmt": later}))) == 1

    def test_its_deliveries_arrived_as_they_were_numbered(self, before: Shop) -> None:
        with before.context.ledger.read() as connection:
            found = deliveries.listed(connection)
        assert [one.arrival for one in found] == [one.id for one in found]
        assert [one.shop_url for one in found] == [None] * 4

    def test_a_new_order_that_is_dated_after_it_is_issued(self, before: Shop) -> None:
        created = datetime(2026, 11, 23, 13, tzinfo=UTC).replace(tzinfo=None).isoformat()
        body = {**at(5, status="processing", date_created_gmt=created), "id": 5, "order_key": "k5"}
        assert len(before.process(before.receive(body))) == 1
