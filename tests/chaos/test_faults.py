"""The faults suite's short form: each fault once, on one database or the other, and the accounts add up."""

from __future__ import annotations

import pytest
from rich.console import Console

from tests.chaos.disk import open_folder
from tests.chaos.run import Plan, run, show

_ON_BOTH = {"the whole bridge killed", "the ledger's disk full", "a power failure", "all clocks step"}


def is_on_sqlite(name: str) -> bool:
    """What it stands beside, and how its parts end."""
    parts = ("Space Invoices:", "Redis", "SIGTERM")
    return name in _ON_BOTH or (any(part in name for part in parts) and "clock" not in name)


def is_on_postgresql(name: str) -> bool:
    """What it stands on. To wait until leases have ended is for the long form."""
    return (not is_on_sqlite(name) or name in _ON_BOTH) and "leases" not in name


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(Plan("sqlite", 600, None, 30, 1, is_on_sqlite, haste=4), id="sqlite"),
        pytest.param(Plan("postgresql", 600, None, 30, 2, is_on_postgresql, haste=4), id="postgresql"),
    ],
)
def test_under_every_fault_nothing_is_lost_and_nothing_is_issued_twice(plan: Plan) -> None:
    with open_folder() as folder:
        result = run(plan, folder, tell=print)
    show(result, Console(highlight=False, width=110))
    assert result.accounts.problems == []
    assert result.accounts.acknowledged >= plan.deliveries
