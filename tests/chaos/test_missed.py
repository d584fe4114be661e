"""A shop's webhooks are lost while the bridge is away: a short form of `python -m tests.chaos.missed`."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.missed import Plan, run


def test_each_order_of_a_shop_has_its_document_whatever_became_of_its_webhook(tmp_path: Path) -> None:
    plan = Plan("sqlite", orders=80, rate=8.0, outages=1, seed=1)
    outcome = run(plan, tmp_path, tell=print)
    assert (outcome.missing, outcome.too_many) == ([], [])
    assert outcome.orders == 80
    assert outcome.found.total() > 0, "no webhook was lost, so this has shown nothing"
