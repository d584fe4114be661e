"""The commands for a store's options, in the test's own process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from bridge.db import Ledger, tables
from bridge.issuance import OPTIONS, Policy
from bridge.ledger.stores import Store
from tests.support.commands import Here, done
from tests.support.counter import IDS, Counter, open_counter
from tests.support.shop import ORGANIZATION, TOKEN, WOOCOMMERCE

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
