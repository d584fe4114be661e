"""The commands for a store's options, and for orders that wait for a person, in the test's own process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bridge.db import Ledger, tables
from bridge.issuance import OPTIONS, Policy
from bridge.ledger.stores import Store
from tests.counter import IDS, Counter, open_counter
from tests.integration.test_cli_stores_refused import Here
from tests.shop import ORGANIZATION, TOKEN, WOOCOMMERCE, Shop, at, open_shop

TOKEN_FILE = ["--token-file", "-"]


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


def done(here: Here, *arguments: str, given: str = "", **environment: str) -> str:
    """What a command prints that has to succeed."""
    ended = here.run(*arguments, given=given, **environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def added(here: Here, counter: Counter, *options: str) -> Store:
    done(here, "stores", "add", "shop", *IDS, *TOKEN_FILE, "--offline", *options, given=TOKEN)
    return counter.store()


# A new store.


def test_a_new_store_leaves_the_past_alone_and_learns_where_its_shop_is(here: Here, counter: Counter) -> None:
    store = added(here, counter)
    assert store.options.issue_from is not None
    assert abs(store.options.issue_from - store.created_at) < timedelta(minutes=1)
    assert list(store.options.shop_urls) == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("all", None),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_a_new_store_says_from_when_on_and_where_its_shop_is(
    here: Here, counter: Counter, said: str, expected: datetime | None
) -> None:
    store = added(here, counter, "--issue-from", said, "--url", "https://www.Shop.example/de/")
    assert store.options.issue_from == expected
    assert list(store.options.shop_urls) == ["shop.example/de"]


NO_DATE = "issue_from is a date such as 2026-11-01, or all, not {!r}."
NO_ADDRESS = (
    "shop_urls are the addresses of the shop, such as shop.example or https://shop.example/de, not {!r}."
)


NOT_ADDED = [
    (["--issue-from", "yesterday"], f"--issue-from: {NO_DATE.format('yesterday')}"),
    (["--issue-from", "2026-02-30"], f"--issue-from: {NO_DATE.format('2026-02-30')}"),
    (["--issue-from", ""], f"--issue-from: {NO_DATE.format('')}"),
    (["--issue-from", "0001-01-01T00:00+14:00"], "--issue-from: issue_from is a date"),
    (["--url", ""], f"--url: {NO_ADDRESS.format('')}"),
    (["--url", "https://"], f"--url: {NO_ADDRESS.format('https://')}"),
    (["--url", "our shop"], f"--url: {NO_ADDRESS.format('our shop')}"),
    (["--url", "https://shop.example/?p=5"], "--url: shop_urls are the addresses"),
]


def test_a_new_store_with_a_value_that_an_option_cannot_have_is_not_added(
    here: Here, counter: Counter
) -> None:
    for options, said in NOT_ADDED:
        ended = here.run("stores", "add", "shop", *IDS, *TOKEN_FILE, *options, given=TOKEN)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr.startswith(said)
        assert ended.stderr.endswith(" Nothing is changed.\n")
        assert ended.stderr.count("\n") == 1
    assert counter.find() is None


# Set, shown and applied.

VALUES = {
    # of each option, what is typed, and what it is then: as JSON, and as text
    "issue_pending=true": (True, "true"),
    "bank_payment_methods=bacs,Mollie_*": (["Mollie_*", "bacs"], "Mollie_*,bacs"),
    "status_map=shipped:completed": ({"shipped": "completed"}, "shipped:completed"),
    "issue_from=2026-01-31": ("2026-01-31T00:00:00+00:00", "2026-01-31T00:00:00+00:00"),
    "issue_from=all": ("all", "all"),
    "sub_orders=skip": ("skip", "skip"),
    "unpaid_on_hold=wait": ("wait", "wait"),
    "zero_total=skip": ("skip", "skip"),
    "test_orders=issue": ("issue", "issue"),
    "invoiced_meta=_wcpdf_invoice_number,a": (
        ["_wcpdf_invoice_number", "a"],
        "_wcpdf_invoice_number,a",
    ),
    "invoiced_meta=none": ([], "none"),
    "order_body=bare": ("bare", "bare"),
    "unknown_outcome=resend": ("resend", "resend"),
    "shop_urls=https://Shop.example/,www.shop.example/de": (
        ["shop.example", "shop.example/de"],
        "shop.example,shop.example/de",
    ),
}


def name_of(assignment: str) -> str:
    return assignment.partition("=")[0]


def test_the_values_are_of_all_options() -> None:
    assert list(dict.fromkeys(map(name_of, VALUES))) == list(OPTIONS)


@pytest.mark.parametrize("typed", VALUES)
def test_an_option_is_set_shown_stored_and_set_again_without_a_change(
    here: Here, counter: Counter, typed: str
) -> None:
    before, name, (value, text) = added(here, counter), name_of(typed), VALUES[typed]
    changes = done(here, "stores", "set", "shop", typed)
    assert changes.startswith(f"{name}: ")
    assert changes.splitlines()[0].endswith(f" -> {text}")
    assert json.loads(done(here, "stores", "show", "shop", "--json"))[name] == value
    assert [name, text] in [
        line.split(maxsplit=1) for line in done(here, "stores", "show", "shop").splitlines()
    ]
    with counter.ledger.read() as connection:
        assert connection.execute(select(tables.stores.c[name])).scalar_one() == value
    after = counter.store()
    decides = name in {field.name for field in fields(Policy)}
    assert (after.decision_version > before.decision_version) == decides
    assert done(here, "stores", "set", "shop", typed) == "Nothing has changed.\n"
    assert counter.store() == after


@pytest.mark.parametrize("typed", VALUES)
def test_a_file_sets_an_option_and_without_it_the_default_unless_the_bridge_learns_it(
    here: Here, counter: Counter, typed: str
) -> None:
    apply = ["stores", "apply", "-", "--offline"]
    name, (value, text) = name_of(typed), VALUES[typed]
    done(here, *apply, given=FILE, **GIVEN)
    default = json.loads(done(here, "stores", "show", "shop", "--json"))[name]
    toml = json.dumps(value).replace(": ", " = ")  # which is TOML of the same, for what these values are
    assert f"  {name}: " in done(here, *apply, given=f"{FILE}{name} = {toml}\n", **GIVEN)
    assert json.loads(done(here, "stores", "show", "shop", "--json"))[name] == value
    changes = done(here, *apply, given=FILE, **GIVEN)
    after = json.loads(done(here, "stores", "show", "shop", "--json"))[name]
    if OPTIONS[name].is_learned:
        assert (after, changes) == (value, "shop: unchanged\n")
    else:
        assert (after, changes.splitlines()[1].partition(" -> ")[0]) == (default, f"  {name}: {text}")


def test_now_is_the_moment_at_which_it_is_set(here: Here, counter: Counter) -> None:
    added(here, counter, "--issue-from", "all")
    before = datetime.now(UTC)
    done(here, "stores", "set", "shop", "issue_from=now")
    issue_from = counter.store().options.issue_from
    assert issue_from is not None
    assert before <= issue_from <= datetime.now(UTC)


def test_without_addresses_a_store_learns_its_own_again(here: Here, counter: Counter) -> None:
    added(here, counter, "--url", "shop.example")
    assert "shop_urls: shop.example -> none" in done(here, "stores", "set", "shop", "shop_urls=none")
    assert list(counter.store().options.shop_urls) == []


REFUSED = {
    "issue_from=never": NO_DATE.format("never"),
    "issue_from=2026-13-01": NO_DATE.format("2026-13-01"),
    "issue_from=": NO_DATE.format(""),
    "shop_urls=https://": NO_ADDRESS.format("https://"),
    "shop_urls=shop.example,,": NO_ADDRESS.format(""),
    "sub_orders=maybe": "sub_orders is ask, issue or skip, not 'maybe'.",
    "unpaid_on_hold=skip": "unpaid_on_hold is issue or wait, not 'skip'.",
    "zero_total=ask": "zero_total is issue or skip, not 'ask'.",
    "test_orders=": "test_orders is skip or issue, not ''.",
    "invoiced_meta=a b": "invoiced_meta are keys of an order's metadata, not ['a b'].",
    "bank_payment_methods=*": "* alone would make a bank payment of every payment",
    "bank_payment_methods=*bacs": "bank_payment_methods are ids of payment methods",
    "subOrders=skip": "'subOrders' is no option of a store",
    "status_map=shipped:done": "shipped cannot be mapped to 'done'",
}


def test_a_value_that_an_option_cannot_have_is_refused_with_a_sentence_and_changes_nothing(
    here: Here, counter: Counter
) -> None:
    before = added(here, counter)
    for typed, said in REFUSED.items():
        ended = here.run("stores", "set", "shop", "unknown_outcome=resend", typed)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert said in ended.stderr
    assert counter.store() == before


@pytest.mark.parametrize("typed", ["status_map=shipped:completed", "bank_payment_methods=bacs,cheque"])
def test_a_bare_order_does_not_go_with_what_it_cannot_say(here: Here, counter: Counter, typed: str) -> None:
    added(here, counter)
    for first, second in ((typed, "order_body=bare"), ("order_body=bare", typed)):
        done(here, "stores", "set", "shop", first)
        before = counter.store()
        for given in ([second], [second, "issue_pending=true"]):
            ended = here.run("stores", "set", "shop", *given)
            assert (ended.returncode, ended.stdout) == (1, "")
            assert ended.stderr.startswith("order_body=bare and ")
            assert ended.stderr.endswith(" Nothing is changed.\n")
            assert counter.store() == before
        done(
            here, "stores", "set", "shop", "order_body=merged", "status_map=none", "bank_payment_methods=bacs"
        )


FILE = f"""
[stores.shop]
organization = "{ORGANIZATION}"
woocommerce = "{WOOCOMMERCE}"
token_env = "TOKEN"
webhook_secret_env = "SECRET"
"""
GIVEN = {"TOKEN": TOKEN, "SECRET": "of the webhooks"}
OPTIONS_IN_FILE = """
issue_from = 2026-01-31
shop_urls = ["https://shop.example"]
sub_orders = "issue"
unpaid_on_hold = "wait"
zero_total = "skip"
test_orders = "issue"
invoiced_meta = ["a"]
"""


def test_a_file_sets_all_options_and_leaves_what_a_store_has_learned(here: Here, counter: Counter) -> None:
    apply = ["stores", "apply", "-", "--offline"]
    done(here, *apply, given=FILE + OPTIONS_IN_FILE, **GIVEN)
    shown = json.loads(done(here, "stores", "show", "shop", "--json"))
    assert {key: shown[key] for key in ("issue_from", "shop_urls", "sub_orders", "unpaid_on_hold")} == {
        "issue_from": "2026-01-31T00:00:00+00:00",
        "shop_urls": ["shop.example"],
        "sub_orders": "issue",
        "unpaid_on_hold": "wait",
    }
    assert (shown["zero_total"], shown["test_orders"], shown["invoiced_meta"]) == ("skip", "issue", ["a"])
    applied = counter.store()
    done(here, *apply, given=FILE + OPTIONS_IN_FILE, **GIVEN)
    assert counter.store() == applied
    done(here, *apply, given=FILE, **GIVEN)
    after = counter.store()
    assert (after.options.issue_from, list(after.options.shop_urls)) == (
        applied.options.issue_from,
        ["shop.example"],
    )
    assert (after.options.sub_orders, after.options.test_orders) == ("ask", "skip")
    assert after.options.invoiced_meta == {"apollo_invoice_id"}


def test_a_store_that_a_file_adds_leaves_the_past_alone(here: Here, counter: Counter) -> None:
    done(here, "stores", "apply", "-", "--offline", given=FILE, **GIVEN)
    issue_from = counter.store().options.issue_from
    assert issue_from is not None
    assert abs(issue_from - counter.store().created_at) < timedelta(minutes=1)


NOT_APPLIED = [
    ('issue_from = "never"', NO_DATE.format("never")),
    ('issue_from = "now"', "In a file, leave it out for now."),
    ("issue_from = 5", "issue_from is a date"),
    ('shop_urls = "shop"\nzero_total = "no"', "zero_total is issue or skip"),
    ('shop_urls = ["https://"]', NO_ADDRESS.format("https://")),
    ("shop_urls = 5", "shop_urls are the addresses"),
    ("sub_orders = true", "sub_orders is ask, issue or skip, not True."),
    ('invoiced_meta = "a"', "invoiced_meta are keys"),
    ('order_body = "bare"\nstatus_map = { shipped = "completed" }', "do not go together"),
]


def test_a_file_with_a_value_that_an_option_cannot_have_is_not_applied(here: Here, counter: Counter) -> None:
    for line, said in NOT_APPLIED:
        ended = here.run("stores", "apply", "-", "--offline", given=f"{FILE}{line}\n", **GIVEN)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr.startswith("Nothing is changed, since - cannot be applied.\n")
        assert said in ended.stderr
    assert counter.find() is None


# What waits for a person.


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


def listed(here: Here, *arguments: str) -> Any:
    return json.loads(done(here, *arguments, "--json"))


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
