"""The rule that decided on an order is kept, with the time since when it has."""

from __future__ import annotations

from datetime import datetime

from bridge.ledger import orders, store_configs, stores
from bridge.maintenance.redecide import redecide
from tests.support.shop import Shop, at, forward_issuance


def rule(shop: Shop) -> tuple[str | None, datetime | None]:
    return shop.order().rule, shop.order().rule_since


def test_a_rule_is_dated_by_when_it_first_decided_of_those_in_a_row(shop: Shop) -> None:
    shop.process(shop.receive(at(1, status="pending")))
    began = shop.clock.now()
    assert rule(shop) == ("pending", began)
    shop.clock.advance(days=1)
    shop.process(shop.receive(at(2, status="pending", total="99.00")))
    assert rule(shop) == ("pending", began)
    shop.process(shop.receive(at(3, status="packed")))
    packed = shop.clock.now()
    assert rule(shop) == ("unknown_status", packed)
    shop.clock.advance(days=1)
    shop.process(shop.receive(at(4, status="pending")))
    assert rule(shop) == ("pending", shop.clock.now())


def test_deciding_again_by_other_rules_of_the_store_dates_what_changes_and_no_more(shop: Shop) -> None:
    shop.process(shop.receive(at(1, status="processing")))
    received = rule(shop)
    assert received == ("received", shop.clock.now())
    shop.clock.advance(hours=1)
    for active, expected in [(True, received), (False, ("inactive", shop.clock.now()))]:
        with shop.context.ledger.write() as connection:
            config = {**(shop.store().config or {}), "active": active}
            store_configs.save(connection, shop.store(), config, shop.clock.now())
            stores.start_redeciding(connection, shop.store_id, shop.clock.now())
        redecide(shop.context)
        assert rule(shop) == expected


def test_what_becomes_of_the_document_is_a_rule_too(shop: Shop) -> None:
    (invoice,) = shop.process(shop.receive(at(1, status="processing")))
    shop.clock.advance(hours=1)
    forward_issuance(shop.context, invoice)
    assert rule(shop) == ("invoiced", shop.clock.now())


def test_orders_are_listed_by_rule(shop: Shop) -> None:
    for number, status in enumerate(["pending", "packed", "pending"], 1):
        shop.process(shop.receive(at(1, status=status, id=number, order_key=f"wc_order_{number}")))
    with shop.context.ledger.read() as connection:
        assert [one.resource_id for one in orders.listed(connection, rule="pending")] == [3, 1]
        assert [one.resource_id for one in orders.listed(connection, rule="unknown_status")] == [2]
