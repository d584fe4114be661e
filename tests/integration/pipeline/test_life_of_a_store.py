"""A shop's life, delivered by HTTP to a running bridge: the documents that come of it, whatever is done."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import requests

from bridge.admin.copying import copy
from bridge.broker import TaskPublisher, make_celery
from bridge.db import Ledger
from bridge.issuance import StoreOptions
from tests.support.recorded import Recorded, load
from tests.support.running import RunningBridge, run_command
from tests.support.servers import RedisServer, wait_until
from tests.support.shop import at

EST, INV = "estimate", "invoice"

# By (issueInvoiceForBankPayment, issueInvoiceOnComplete): the documents of each order, in their order.
BOTH_OFF = {
    328: [EST, INV],  # bank: on hold, processing, completed
    329: [INV],  # on delivery, refunded later
    330: [INV],  # card: pending, processing, completed
    331: [INV],  # pending, completed
    332: [INV],  # paid, then refunded in three parts
    333: [INV],  # completed at once
    334: [INV],  # cancelled, then revived
    335: [INV],  # failed, then paid
    336: [INV],  # nothing to pay
    337: [INV],  # a coupon over all of it
    338: [INV],
    339: [INV],
    340: [EST, INV],  # bank: on hold, and five quick changes to completed
    341: [INV],
    342: [INV],
    343: [INV],
    344: [INV],
    345: [EST],
    346: [INV],
    347: [EST],
    348: [EST],
    349: [INV],  # a custom status, then completed
    350: [EST],  # a draft, pending, on hold
    351: [EST],
    352: [INV],
    354: [INV],
    356: [INV],
    # 355 was pending and trashed, 357 stayed pending, 364 was trashed before anything was delivered
}
BANK_INVOICE = {order: [INV] for order in BOTH_OFF}
COMPLETED = [328, 330, 331, 333, 340, 349, 352, 356]
ON_COMPLETE = {order: [EST] for order in (345, 347, 348, 350, 351)} | {
    order: [EST, INV] if order in {328, 340} else [INV] for order in COMPLETED
}
BOTH_ON = {order: [INV] for order in COMPLETED}

COMBINATIONS = {
    "both-off": ({}, BOTH_OFF),
    "bank-invoice": ({"issueInvoiceForBankPayment": True}, BANK_INVOICE),
    "on-complete": ({"issueInvoiceOnComplete": True}, ON_COMPLETE),
    "both-on": ({"issueInvoiceForBankPayment": True, "issueInvoiceOnComplete": True}, BOTH_ON),
}


def add_stores(bridge: RunningBridge, prefix: str) -> dict[str, str]:
    """A store for each combination of the flags, with its config known; their ids in Space Invoices."""
    ids = {}
    for name, (flags, _) in COMBINATIONS.items():
        ids[name] = bridge.add_store(f"{prefix}-{name}", flags)
    for name in COMBINATIONS:
        bridge.wait_for_config(f"{prefix}-{name}")
    return ids


def play(bridge: RunningBridge, prefix: str, deliveries: Iterable[Recorded]) -> None:
    """Send each delivery to all of the stores, and let each have its effect before the next one."""
    for delivery in deliveries:
        for name in COMBINATIONS:
            answer = bridge.deliver(f"{prefix}-{name}", delivery.body, delivery.headers)
            assert answer.status_code == 200, answer.text
        bridge.wait_until_settled()


def signed(name: str) -> list[Recorded]:
    return [delivery for delivery in load(name) if not delivery.is_ping]


def test_a_shops_life_ends_with_the_right_documents_for_every_combination_of_the_flags(
    bridge: RunningBridge,
) -> None:
    ids = add_stores(bridge, "life")
    play(bridge, "life", signed("life-of-a-store"))
    issued = {name: bridge.issued(ids[name]) for name in COMBINATIONS}
    assert issued == {name: expected for name, (_, expected) in COMBINATIONS.items()}
    counts = bridge.sandbox()["counts"]
    assert (counts["duplicates"], counts["out_of_order"], counts["nothing"], counts["refused"]) == (
        0,
        0,
        0,
        0,
    )


def test_updated_before_created_and_each_delivery_twice_change_nothing(bridge: RunningBridge) -> None:
    ids = add_stores(bridge, "twice")
    deliveries = signed("life-of-a-store")
    for place, (first, second) in enumerate(itertools.pairwise(deliveries)):
        if (first.topic, second.topic) == ("order.created", "order.updated"):
            deliveries[place], deliveries[place + 1] = second, first
    play(bridge, "twice", (delivery for delivery in deliveries for _ in range(2)))
    issued = {name: bridge.issued(ids[name]) for name in COMBINATIONS}
    assert issued == {name: expected for name, (_, expected) in COMBINATIONS.items()}
    assert bridge.sandbox()["counts"]["duplicates"] == 0


def test_fifteen_orders_of_one_second_that_share_a_delivery_id_get_fifteen_invoices(
    bridge: RunningBridge,
) -> None:
    burst = signed("same-second-burst")
    assert len({delivery.headers["X-WC-Webhook-Delivery-ID"] for delivery in burst}) == 1
    woocommerce = bridge.add_store(
        "burst",
        {"issueInvoiceForBankPayment": True},
        options=StoreOptions(issue_pending=True),
        secret=burst[0].secret,
    )
    for delivery in burst:
        assert bridge.deliver("burst", delivery.body, delivery.headers).json()["status"] == "accepted"
    bridge.wait_for_config("burst")
    bridge.wait_until_settled()
    assert bridge.issued(woocommerce) == {order: [INV] for order in range(371, 386)}


def by_secret(deliveries: Iterable[Recorded]) -> dict[str, list[Recorded]]:
    found: dict[str, list[Recorded]] = {}
    for delivery in deliveries:
        found.setdefault(delivery.secret, []).append(delivery)
    return found


def test_what_is_no_order_is_recorded_with_a_reason_and_never_forwarded(bridge: RunningBridge) -> None:
    for number, (secret, deliveries) in enumerate(by_secret(signed("not-a-current-order")).items()):
        store = f"no-orders-{number}"
        woocommerce = bridge.add_store(store, secret=secret)
        bridge.wait_for_config(store)
        for delivery in deliveries:
            answer = bridge.deliver(store, delivery.body, delivery.headers)
            assert answer.status_code == 200
            if answer.json()["status"] != "duplicate":
                assert answer.json()["status"] == "ignored"
                assert answer.json()["reason"]
        bridge.wait_until_settled()
        assert bridge.issued(woocommerce) == {}


def test_deliveries_under_odd_secrets_are_accepted_and_under_an_empty_one_refused(
    bridge: RunningBridge,
) -> None:
    for number, (secret, deliveries) in enumerate(by_secret(signed("odd-secrets")).items()):
        store = f"odd-{number}"
        woocommerce = bridge.add_store(store, secret=secret)
        bridge.wait_for_config(store)
        for delivery in deliveries:
            answer = bridge.deliver(store, delivery.body, delivery.headers)
            assert answer.status_code == (200 if secret else 401), (secret, answer.text)
        bridge.wait_until_settled()
        assert bridge.issued(woocommerce) == ({328: [EST], 345: [EST]} if secret else {})


# What operators and others do while it runs. Each with a store of its own: to start a bridge takes seconds.


def test_messages_that_are_delivered_five_times_have_the_effect_of_one(bridge: RunningBridge) -> None:
    woocommerce = bridge.add_store("five")
    bridge.wait_for_config("five")
    announcer = TaskPublisher(make_celery(bridge.environment["SPACEBRIDGE_BROKER_URL"]))
    order = load("life-of-a-store")[4]
    delivery = int(bridge.deliver("five", order.body, order.headers).json()["delivery"])
    store = bridge.store("five").id
    for _ in range(5):
        announcer.deliveries([delivery])
        announcer.due_stores([store])
        announcer.configs([store])
    bridge.wait_until_settled()
    assert bridge.issued(woocommerce) == {328: ["estimate"]}
    assert bridge.sandbox()["counts"]["duplicates"] == 0


def test_a_change_that_is_synced_has_the_waiting_orders_of_a_running_bridge_issued(
    bridge: RunningBridge,
) -> None:
    woocommerce = bridge.add_store("synced", {"issueInvoiceOnComplete": True})
    bridge.wait_for_config("synced")
    assert bridge.deliver("synced", json.dumps(at(1, status="processing")).encode()).status_code == 200
    bridge.wait_until_settled()
    assert bridge.issued(woocommerce) == {}
    changed = requests.patch(
        f"{bridge.sandbox_url}/v1/Woocommerce/{woocommerce}",
        json={"issueInvoiceOnComplete": False},
        headers={"Authorization": bridge.token},
        timeout=10,
    )
    assert changed.status_code == 200
    synced = run_command(bridge.folder / "data", "stores", "sync", "synced", "--json", **bridge.environment)
    assert json.loads(synced.stdout) == {
        "name": "synced",
        "changes": ["issueInvoiceOnComplete: true -> false"],
        "decided_anew": 1,
    }
    wait_until(lambda: bridge.issued(woocommerce) == {1: ["invoice"]}, "the invoice")


def test_the_delivery_url_of_a_removed_store_answers_404(bridge: RunningBridge) -> None:
    woocommerce = bridge.add_store("leaves")
    order = load("life-of-a-store")[4]
    bridge.wait_for_config("leaves")
    assert bridge.deliver("leaves", order.body).status_code == 200
    bridge.wait_until_settled()
    removed = run_command(
        bridge.folder / "data", "stores", "remove", "leaves", "--yes", "--json", **bridge.environment
    )
    assert removed.returncode == 0, removed.stderr
    for name in ("leaves", f"leaves.removed-{removed_id(removed.stdout)}"):
        answer = bridge.deliver(name, order.body + b" ")
        assert (answer.status_code, answer.json()["error"]) == (404, "unknown_store")
        assert bridge.deliver(name, b"webhook_id=1", {"X-WC-Webhook-Signature": ""}).status_code == 404
    assert bridge.issued(woocommerce) == {328: ["estimate"]}


def removed_id(printed: str) -> str:
    return printed.partition(".removed-")[2].partition('"')[0]


def test_a_refused_delivery_is_counted_and_shown(bridge: RunningBridge) -> None:
    bridge.add_store("refusing")
    for _ in range(2):
        wrong = {"X-WC-Webhook-Signature": "wrong"}
        assert bridge.deliver("refusing", b"{}", wrong).status_code == 401
    wait_until(lambda: bridge.store("refusing").refused_deliveries == 2, "both of them", within=40)
    data = bridge.folder / "data"
    shown = run_command(data, "stores", "show", "refusing", **bridge.environment)
    assert "Refused" in shown.stdout
    assert "2 (401), the last " in shown.stdout
    assert bridge.store("refusing").last_ping_at is None


def test_a_receiver_that_was_left_running_acknowledges_nothing_after_a_copy(
    bridge: RunningBridge, tmp_path: Path
) -> None:
    bridge.add_store("left-running")
    life = signed("life-of-a-store")
    assert bridge.deliver("left-running", life[0].body, life[0].headers).status_code == 200
    with closing(Ledger(f"sqlite:///{tmp_path / 'copy.db'}")) as target:
        copy(bridge.ledger, target, report=lambda _table, _rows: None)
        try:
            for delivery in (life[0], life[1]):
                refused = bridge.deliver("left-running", delivery.body, delivery.headers)
                assert refused.status_code == 503, refused.text
            ready = requests.get(f"{bridge.url}/readyz", timeout=10)
            assert (ready.status_code, ready.json()["ledger"]) == (503, "moved")
            assert "copied to another database" in ready.json()["reason"]
        finally:
            bridge.ledger.reopen()
    assert bridge.deliver("left-running", life[1].body, life[1].headers).status_code == 200


def test_an_accounts_token_is_in_no_key_of_the_broker(
    bridge: RunningBridge, redis_server: RedisServer
) -> None:
    bridge.add_store("keys")
    bridge.wait_for_config("keys")
    with redis_server.client() as client:
        client.select(int(bridge.environment["SPACEBRIDGE_BROKER_URL"].rpartition("/")[2]))
        keys = [key.decode() for key in client.scan_iter("spacebridge:pace:*")]
    assert keys
    assert not any(bridge.token in key for key in keys)
