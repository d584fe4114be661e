"""How decisions are saved: what has changed since the last time, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from bridge.ledger import issuances, orders
from bridge.ledger.issuances import DUE, WITHDRAWN
from bridge.pipeline.decide import OrderState, decide_on, save
from bridge.telemetry import counts
from tests.support.shop import Shop

SECOND = timedelta(seconds=1)


def counted(decision: str, rule: str) -> float:
    """The decisions that were counted under these names, in this process."""
    value = counts.REGISTRY.get_sample_value(
        "spacebridge_decisions_total", {"decision": decision, "reason": rule}
    )
    return value or 0.0


def test_an_order_that_is_saved_again_goes_on_from_what_was_saved_last(shop: Shop) -> None:
    shop.paid(1)
    store, order_id, now = shop.store(), shop.order().id, shop.clock.now()
    skipped, invoiced = counted("skip", "dead"), counted("invoice", "received")
    with shop.context.ledger.write() as connection:
        state = OrderState.of(orders.lock(connection, order_id), issuances.of_order(connection, order_id))
        snapshot = state.order.snapshot
        assert snapshot is not None
        for later, (status, became) in enumerate([("cancelled", WITHDRAWN), ("processing", DUE)], start=1):
            state.order = replace(state.order, snapshot=replace(snapshot, status=status))
            decide_on(state, store)
            save(connection, [state], now + later * SECOND)
            (issuance,) = issuances.of_order(connection, order_id)
            assert issuance.state == became
            assert orders.lock(connection, order_id).rule_since == now + later * SECOND
        save(connection, [state], now + 3 * SECOND)
        assert orders.lock(connection, order_id) == state.order
        assert state.order.rule_since == now + 2 * SECOND
    assert counted("skip", "dead") == skipped + 1
    assert counted("invoice", "received") == invoiced + 1


def test_a_document_that_falls_due_has_its_id_once_it_is_saved(shop: Shop) -> None:
    invoice = shop.paid(1)
    store, order_id, now = shop.store(), shop.order().id, shop.clock.now()
    with shop.context.ledger.write() as connection:
        state = OrderState.of(orders.lock(connection, order_id), issuances.of_order(connection, order_id))
        assert state.order.snapshot is not None
        by_bank = replace(state.order.snapshot, status="on-hold", payment_method="bacs")
        state.order = replace(state.order, snapshot=by_bank)
        decide_on(state, store)
        save(connection, [state], now)
        of_order = issuances.of_order(connection, order_id)
    assert {one.kind: one.id for one in of_order} == {kind: one.id for kind, one in state.issuances.items()}
    assert {one.id: one.state for one in of_order if one.id == invoice} == {invoice: WITHDRAWN}
    assert [one.state for one in of_order if one.id != invoice] == [DUE]
