"""Which requests a fault is given to."""

from __future__ import annotations

from random import Random

import pytest

from bridge.sandbox.shop.faults import FaultPlan, Faults


def test_by_default_nothing_goes_wrong() -> None:
    assert FaultPlan(Faults()).pick("/wp-json/wc/v3/orders") is None


def test_it_is_given_as_often_as_asked_for_and_only_where_asked_for() -> None:
    plan = FaultPlan(Faults(answer="busy", times=1, where="orders"))
    assert [plan.pick(address) for address in ("/webhooks", "/orders", "/orders")] == [None, "busy", None]


def test_it_is_given_to_a_share() -> None:
    plan = FaultPlan(Faults(answer="busy", share=0.25), Random(1))
    given = sum(plan.pick("/orders") == "busy" for _ in range(4_000))
    assert 800 < given < 1_200


def test_changes_are_checked_and_can_be_undone() -> None:
    plan = FaultPlan(Faults())
    for changes in ({"answer": "rain"}, {"rain": 1}):
        with pytest.raises(ValueError, match="no fault"):
            plan.change(changes)
    plan.change({"latency": 2, "ignores": ["after"]})
    assert plan.now == Faults(latency=2, ignores=("after",))
    plan.clear()
    assert plan.now == Faults()
