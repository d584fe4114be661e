"""The commands for deliveries and orders that wait for a person, in the test's own process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.db import Ledger
from tests.support.commands import Here, done, listed
from tests.support.counter import Counter, open_counter
from tests.support.shop import Shop, at, open_shop


@pytest.fixture
def ledger_file(migrated_file: Path, tmp_path: Path) -> Path:
    file = tmp_path / "ledger.db"
    file.write_bytes(migrated_file.read_bytes())
    return file


@pytest.fixture
def counter(ledger_file: Path, tmp_path: Path) -> Iterator[Counter]:
    ledger = Ledger(f"sqlite:///{ledger_file}")
    with open_counter(ledger, f"sqlite:///{ledger_file}", tmp_path) as counter:
        yield counter
    ledger.close()


@pytest.fixture
def here(counter: Counter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(counter, monkeypatch, capsys)


@pytest.fixture
def shop(ledger_file: Path, here: Here) -> Iterator[Shop]:
    """A store with an address, in the ledger that the commands open."""
    ledger = Ledger(f"sqlite:///{ledger_file}")
    with open_shop(ledger) as shop:
        done(here, "stores", "set", "shop", "shop_urls=shop.example")
        yield shop
    ledger.close()


def order(site: str = "shop.example", second: int = 1, **fields: Any) -> dict[str, Any]:
    links = {"self": [{"href": f"https://{site}/wp-json/wc/v3/orders/1"}]}
    return at(second, **{"status": "processing", "_links": links, **fields})


def test_what_is_quarantined_or_unreadable_is_listed_by_its_state_and_can_be_ignored(
    here: Here, shop: Shop
) -> None:
    of_copy, waiting = shop.receive(order("copy.example")), shop.receive(order(total="12,50"))
    shop.process(of_copy, shop.receive(order(id=5, order_key="k5")))
    for one, state, reason in (
        (of_copy, "quarantined", "it comes from copy.example, and the store's shop is shop.example"),
        (waiting, "unreadable", "it looks like an order, and cannot be read: total '12,50'"),
    ):
        (row,) = listed(here, "deliveries", "list", "--state", state)
        assert (row["id"], row["state"], row["reason"]) == (str(one), state, reason)
        assert reason in done(here, "deliveries", "list", "--state", state, "--store", "shop")
        ended = here.run("deliveries", "ignore", str(one), "--as", "ana")
        assert (ended.returncode, ended.stderr) == (
            0,
            f"Delivery {one} is ignored: it changes no order.\n",
        )
        assert listed(here, "deliveries", "list", "--state", state) == []
        assert here.run("deliveries", "ignore", str(one)).returncode == 0
    assert here.run("deliveries", "ignore", "99").returncode == 1
    assert here.run("deliveries", "list", "--state", "lost").returncode == 2


def test_an_order_that_cannot_be_read_is_shown_among_the_orders(here: Here, shop: Shop) -> None:
    waiting = shop.receive(order(total="12,50"))
    shop.process(shop.receive(order(id=5, order_key="k5")))
    reason = f"Delivery {waiting} is unreadable: it looks like an order, and cannot be read: total '12,50'."
    for arguments in (["orders", "list"], ["orders", "list", "--decision", "attention", "--store", "shop"]):
        row = listed(here, *arguments)[0]
        assert (row["id"], row["decision"], row["reason"]) == (1, "attention", reason)
    assert [row["id"] for row in listed(here, "orders", "list")] == [1, 5]
    assert [row["id"] for row in listed(here, "orders", "list", "--limit", "1")] == [1]
    assert [row["id"] for row in listed(here, "orders", "list", "--decision", "invoice")] == [5]
    assert reason in done(here, "orders", "show", "shop", "1")
    assert listed(here, "orders", "show", "shop", "1") == [
        {**listed(here, "orders", "list")[0], "issuances": []}
    ]
    assert f"Now: attention. {reason}" in done(here, "orders", "explain", "shop", "1")
    assert [one["reason"] for one in listed(here, "orders", "explain", "shop", "1")["orders"]] == [reason]
    shop.process(shop.receive(order(second=2, total="12.50")))
    assert [row["decision"] for row in listed(here, "orders", "list")] == ["invoice", "invoice"]
    assert "Now: attention" not in done(here, "orders", "explain", "shop", "1")


def test_an_order_is_issued_anyway_and_its_timeline_says_by_whom(here: Here, shop: Shop) -> None:
    shop.process(shop.receive(order(parent_id=9)), shop.receive(order(id=5, order_key="k5")))
    given = ["orders", "issue", "shop", "1", "--reason", "the owner wants it", "--as", "ana"]
    ended = here.run(*given)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert (
        ended.stderr
        == "The invoice of order 1 of shop is due, and sent within seconds while the bridge runs.\n"
    )
    timeline = done(here, "orders", "explain", "shop", "1")
    assert "issue of the order by ana" in timeline
    assert "the owner wants it; was attention -> invoice: " in timeline
    assert timeline.count("issue of the order") == 1
    again = here.run(*given[:-1], "ben")
    assert again.returncode == 0
    assert "is issued anyway already, by ana" in again.stderr
    assert done(here, "orders", "explain", "shop", "1") == timeline
    (row,) = listed(here, "orders", "issue", "shop", "1", "1")
    assert (row["id"], row["decision"]) == (1, "invoice")


NOT_ISSUED: list[tuple[list[str], int, str]] = [
    (["shop", "404"], 1, "Nothing is known of an order 404 of store shop"),
    (["shop", "1", "404"], 1, "Nothing is known of an order 404 of store shop"),
    (["nobody", "1"], 1, "There is no store named nobody."),
    (["shop"], 2, "ORDER"),
    (["shop", "A-1"], 2, "A-1"),
    (["shop", "1", "--as", " "], 2, "--as"),
    (
        ["shop", "2"],
        1,
        "Order 2 of shop is not issued. skip: The order is cancelled. Nothing is",
    ),
]


def test_an_order_that_cannot_be_issued_anyway_is_named(here: Here, shop: Shop) -> None:
    shop.process(shop.receive(order()), shop.receive(order(id=2, order_key="k2", status="cancelled")))
    for arguments, status, said in NOT_ISSUED:
        ended = here.run("orders", "issue", *arguments)
        assert (ended.returncode, ended.stdout) == (status, "")
        assert said in ended.stderr
        assert "Traceback" not in ended.stderr
