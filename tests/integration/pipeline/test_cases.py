"""Inputs that were once decided wrongly, each played to a running bridge by a store of its own."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.admin import store_options
from bridge.ledger import deliveries, orders
from tests import ROOT
from tests.support.running import RunningBridge

CASES = ROOT / "tests" / "data" / "cases"
EST, INV = "estimate", "invoice"
NUMBERS = itertools.count()
FLAGS = ("issueInvoiceForBankPayment", "issueInvoiceOnComplete")


@dataclass(frozen=True)
class Right:
    """What is to come of a case: documents by order, each order's decision, and what each delivery is."""

    documents: dict[int, list[str]] = field(default_factory=dict)
    decisions: dict[int, str] = field(default_factory=dict)
    says: str = ""  # in the reason of the last order
    answers: tuple[str, ...] = ()  # of the deliveries that are not accepted, in their order


RIGHT = {
    "01-bank-method-cheque": Right({1001: [EST, INV]}, {1001: "done"}),
    "01-bank-method-mollie": Right({1001: [EST, INV]}, {1001: "done"}),
    "02-mapped-to-on-hold": Right({1004: [EST, INV]}, {1004: "done"}),
    "03-mapped-to-completed": Right({1003: [INV]}, {1003: "done"}),
    "04-old-orders-touched": Right({}, {2000: "skip", 2001: "skip", 2002: "skip"}, "from before the bridge"),
    "04-old-orders-unpaid": Right({}, {7301: "skip", 7302: "skip"}, "from before the bridge"),
    "05-staging-clone": Right(
        {3000: [EST], 3001: [INV]}, {3000: "wait", 3001: "done"}, answers=("quarantined", "quarantined")
    ),
    "06-multisite-deletion": Right({}, {20: "wait"}, "on completion", answers=("quarantined",)),
    "07-marketplace-parent-and-children": Right(
        {428: [INV]}, {428: "done", 430: "attention", 431: "attention"}, "part of order 428"
    ),
    "08-deposit-and-child-payments": Right(
        {5001: [INV]}, {5001: "done", 5002: "attention", 5003: "attention"}, "part of order 5001"
    ),
    "09-failed-after-invoice-on-hold": Right({5410: [INV]}, {5410: "attention"}, "payment failed"),
    "09-failed-after-invoice": Right({5400: [INV]}, {5400: "attention"}, "credit note"),
    "10-fully-refunded-first-seen": Right({}, {4002: "skip"}, "paid back before any invoice"),
    "10-partly-refunded-first-seen": Right({4001: [INV]}, {4001: "attention"}, "10.00 EUR was paid back"),
    "11-estimate-changed": Right({5501: [EST]}, {5501: "attention"}, "it says 100.00 EUR, and 120.00 EUR"),
    "12-empty-order-key": Right({4300: [INV]}, {4300: "done"}),
    "13-currency-empty": Right(answers=("unreadable",)),
    "13-total-decimal-comma": Right(answers=("unreadable",)),
    "13-total-with-separator": Right(answers=("unreadable",)),
    "14-zero-by-gift-card": Right({4160: [INV]}, {4160: "done"}),  # the owner's choice
    "14-zero-estimate": Right({}, {4102: "wait"}, "nothing to estimate"),
    "14-zero-total": Right({4150: [INV]}, {4150: "done"}),
    "15-negative-total": Right({}, {4103: "attention"}, "no document can be negative"),
    "16-authorised-not-captured": Right({5301: [INV]}, {5301: "attention"}),  # the owner's choice, too
    "17-bacs-by-another-name": Right({5309: [EST], 5310: [INV]}, {5309: "wait", 5310: "done"}),
    "17-prepayment": Right({5316: [INV], 5304: [INV]}, {5316: "done", 5304: "done"}),
    "18-chargeback-first-seen": Right({}, {6300: "skip"}, "is chargeback"),
    "18-refund-requested": Right({}, {6301: "skip", 6308: "wait"}, "map it in the store's status_map"),
    "19-test-mode": Right({}, {4700: "skip"}, "test mode"),
    "20-v1-and-v3-webhooks": Right({6001: [EST, INV]}, {6001: "done"}),
    "21-key-shortened": Right({6503: [INV]}, {6503: "attention"}, "changed the order's key"),
    "22-pending-and-paid": Right({}, {5601: "wait"}, "date_paid says that it was paid"),
}
# What an owner can choose instead.
CHOSEN = {
    ("14-zero-total", "zero_total=skip"): Right({}, {4150: "skip"}, "zero_total"),
    ("14-zero-by-gift-card", "zero_total=skip"): Right({}, {4160: "skip"}, "zero_total"),
    ("16-authorised-not-captured", "unpaid_on_hold=wait"): Right({}, {5301: "skip"}, "is cancelled"),
    ("17-prepayment", "bank_payment_methods=bacs,german_market_*,mollie*"): Right(
        {5316: [EST], 5304: [EST]}, {5316: "wait", 5304: "wait"}
    ),
    ("07-marketplace-parent-and-children", "sub_orders=skip"): Right(
        {428: [INV]}, {428: "done", 430: "skip", 431: "skip"}
    ),
    ("07-marketplace-parent-and-children", "sub_orders=issue"): Right(
        {428: [INV], 430: [INV], 431: [INV]}, {428: "done", 430: "done", 431: "done"}
    ),
    ("19-test-mode", "test_orders=issue"): Right({4700: [INV]}, {4700: "done"}),
    ("04-old-orders-touched", "issue_from=2021-01-01"): Right(
        {2001: [INV], 2002: [INV]}, {2000: "skip", 2001: "done", 2002: "done"}
    ),
    ("04-old-orders-touched", "issue_from=all"): Right(
        {2000: [INV], 2001: [INV], 2002: [INV]}, {2000: "done", 2001: "done", 2002: "done"}
    ),
    ("18-chargeback-first-seen", "status_map=chargeback:processing"): Right({6300: [INV]}, {6300: "done"}),
    ("05-staging-clone", "shop_urls=shop.example,staging.shop.example"): Right(
        {3000: [EST, INV], 3001: [INV]},
        {3000: "done", 3001: "attention"},  # one id, two orders of one time
    ),
}


def all_cases() -> Iterator[Any]:
    for name, right in RIGHT.items():
        settings = ["issue_from=all"] if not name.startswith("04") else []
        yield pytest.param(name, settings, right, id=name)
    for (name, setting), right in CHOSEN.items():
        yield pytest.param(name, ["issue_from=all", setting], right, id=f"{name}-{setting.partition('=')[0]}")


def test_every_case_is_played() -> None:
    assert sorted(RIGHT) == sorted(path.stem for path in CASES.glob("*.json"))


@pytest.mark.parametrize("bridge", ["sqlite"], indirect=True)  # no database decides
@pytest.mark.parametrize(("name", "settings", "right"), list(all_cases()))
def test_a_case_ends_as_it_should(
    bridge: RunningBridge, name: str, settings: list[str], right: Right
) -> None:
    case = json.loads((CASES / f"{name}.json").read_text())
    now = datetime.now(UTC)
    given = dict(one.split("=", 1) for one in [*settings, *case["store"].get("settings", [])])
    values = {key: store_options.parse(key, text, now) for key, text in given.items()}
    options = store_options.with_values(store_options.of_new_store(now), values)
    store = f"case-{next(NUMBERS)}"
    flags = {flag: case["store"].get(flag, False) for flag in FLAGS}
    woocommerce = bridge.add_store(store, flags, options=options, is_config_known=True)
    answers = []
    for one in case["send"]:
        body = one["raw"].encode() if "raw" in one else json.dumps(one["body"]).encode()
        headers = {"X-WC-Webhook-Topic": one.get("topic", "order.updated"), **one.get("headers", {})}
        answer = bridge.deliver(store, body, headers)
        assert answer.status_code == 200, answer.text
        answers.append(answer.json()["status"])
        bridge.wait_until_settled()
    assert bridge.issued(woocommerce) == right.documents
    with bridge.ledger.read() as connection:
        known = orders.listed(connection, store=store)
        waiting = [
            one
            for state in ("quarantined", "unreadable")
            for one in deliveries.listed(connection, store=store, state=state)
        ]
    assert {one.resource_id: one.decision for one in known} == right.decisions
    assert tuple(one for one in answers if one != "accepted") == right.answers
    assert len(waiting) == len(right.answers)
    assert not right.says or right.says in (known[0].reason or "")
    assert not [one["number"] for one in bridge.sandbox()["documents"] if one["duplicate"]]
