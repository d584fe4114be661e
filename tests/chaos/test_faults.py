"""The faults suite's short form: each fault once, on one database or the other, and the accounts add up."""

from __future__ import annotations

import pytest
from rich.console import Console

from tests.chaos.disk import open_folder
from tests.chaos.run import Plan, run, show


def is_at_space_invoices(name: str) -> bool:
    return name.startswith("Space Invoices") or name in {"the whole bridge killed", "the ledger's disk full"}


def is_on_this_side(name: str) -> bool:
    return not name.startswith("Space Invoices")


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(Plan("sqlite", 600, 18, 30, seed=1, kinds=is_at_space_invoices, haste=3), id="sqlite"),
        pytest.param(
            Plan("postgresql", 600, 15, 30, seed=2, kinds=is_on_this_side, haste=3), id="postgresql"
        ),
    ],
)
def test_under_every_fault_nothing_is_lost_and_nothing_is_issued_twice(plan: Plan) -> None:
    with open_folder() as folder:
        result = run(plan, folder, tell=print)
    show(result, Console(highlight=False, width=110))
    assert result.accounts.problems == []
    assert result.accounts.acknowledged >= plan.deliveries
